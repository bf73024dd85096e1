with

source as (

    select * from {{ source('raw_retail', 'transactions') }}

),

newest as (

    {{ newest_version('source', ['transaction_id']) }}

),

final as (

    select
        transaction_id as order_id,
        transaction_time as ordered_at,
        customer_id,
        delivery_address,
        delivery_postcode,
        delivery_city,
        delivery_country,
        products as order_lines,
        total_cost,
        _loaded_at as landed_at
    from newest

)

select * from final
