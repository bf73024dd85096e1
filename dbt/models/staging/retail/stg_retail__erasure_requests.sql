with

source as (

    select * from {{ source('raw_retail', 'erasure_requests') }}

),

newest as (

    {{ newest_version('source', ['customer_id', 'email']) }}

),

final as (

    select
        customer_id,
        email,
        _loaded_at as landed_at
    from newest

)

select * from final
