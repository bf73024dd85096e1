with

source as (

    select * from {{ source('raw_services', 'events') }}

),

newest as (

    {{ newest_version('source', ['event_id']) }}

),

parsed as (

    select
        *,
        -- one match for the whole text: a part that is not as agreed makes all four null, never a shifted value
        regexp_match(meta_data, '^([0-9]{1,9})_([^_]+)_([^_]+)_([0-9]+(?:[.][0-9]+)?)$') as service
    from newest

),

final as (

    select
        event_id,
        event_type,
        professional_id_anonymized as professional_id,
        created_at as occurred_at,
        service[1]::integer as service_id,
        service[2] as service_name_nl,
        service[3] as service_name_en,
        service[4]::numeric as lead_fee
    from parsed

)

select * from final
