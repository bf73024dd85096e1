with

source as (

    select * from {{ source('raw_retail', 'erasure_requests') }}

),

newest as (

    select distinct on (customer_id, email) *
    from source
    order by customer_id asc, email asc, _loaded_at desc, _file desc, _line desc

),

final as (

    select
        customer_id,
        email,
        _loaded_at as landed_at
    from newest

)

select * from final
