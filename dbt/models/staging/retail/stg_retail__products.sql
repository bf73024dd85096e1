with

source as (

    select * from {{ source('raw_retail', 'products') }}

),

newest as (

    select distinct on (sku) *
    from source
    order by sku asc, _loaded_at desc, _file desc, _line desc

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
