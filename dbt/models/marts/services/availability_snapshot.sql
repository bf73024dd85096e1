{{
    config(
        post_hook="{{ must_equal(
            'select sum(1), min(day), max(day) from ' ~ this,
            'select 1 + max(day) - min(day), min(day), max(day)
             from (select (occurred_at at time zone \\'utc\\')::date as day from ' ~ ref('stg_services__events') ~ ') as events'
        ) }}"
    )
}}

with

events as (

    select
        *,
        (occurred_at at time zone 'utc')::date as day
    from {{ ref('stg_services__events') }}

),

last_change_of_a_day as (

    select distinct on (professional_id, day)
        professional_id,
        day,
        event_type = 'became_able_to_propose' as is_active
    from events
    where event_type in ('became_able_to_propose', 'became_unable_to_propose')
    order by professional_id asc, day asc, occurred_at desc, event_id desc

),

changes as (

    select
        day,
        is_active,
        lag(is_active, 1, false) over (partition by professional_id order by day) as was_active
    from last_change_of_a_day

),

changes_by_day as (

    select
        day,
        sum(is_active::integer - was_active::integer) as difference
    from changes
    group by day

),

days as (

    select generate_series(min(day), max(day), interval '1 day')::date as day
    from events

),

final as (

    select
        days.day,
        coalesce(sum(changes_by_day.difference) over (order by days.day), 0)::bigint as active_professionals
    from days
    left join changes_by_day on days.day = changes_by_day.day

)

select * from final
