with

orders as (

    select * from {{ ref('stg_retail__transactions') }}

),

products as (

    select * from {{ ref('stg_retail__products') }}

),

lines as (

    select
        orders.order_id,
        entry.line_number,
        (entry.content ->> 'sku')::integer as sku,
        (entry.content ->> 'quantity')::integer as quantity,
        (entry.content ->> 'price')::numeric as price
    from orders
    cross join lateral jsonb_array_elements(orders.order_lines) with ordinality as entry (content, line_number)

),

final as (

    select
        lines.order_id,
        lines.line_number,
        lines.sku,
        products.product_name,
        products.category,
        lines.quantity,
        lines.price,
        (lines.quantity * lines.price)::numeric(38, 2) as revenue,
        products.sku is null as product_is_missing
    from lines
    left join products on lines.sku = products.sku

)

select * from final
