with

source as (

    select * from {{ source('raw_retail', 'products') }}

),

newest as (

    {{ newest_version('source', ['sku']) }}

),

final as (

    select
        sku,
        name as product_name,
        price,
        category,
        popularity
    from newest

)

select * from final
