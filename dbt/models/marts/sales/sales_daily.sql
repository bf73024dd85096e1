{{
    config(
        post_hook="{{ must_equal(
            'select sum(orders), sum(items), sum(revenue) from ' ~ this,
            'select sum(1), sum(items), sum(revenue) from ' ~ ref('int_orders') ~ ' where held_back_reason is null'
        ) }}"
    )
}}

with

orders as (

    select * from {{ ref('int_orders') }}

),

final as (

    select
        order_day as day,
        country,
        count(*) as orders,
        sum(items)::bigint as items,
        sum(revenue)::numeric(38, 2) as revenue
    from orders
    where held_back_reason is null
    group by order_day, country

)

select * from final
