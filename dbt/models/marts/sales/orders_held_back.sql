with

orders as (

    select * from {{ ref('int_orders') }}

),

order_lines as (

    select * from {{ ref('int_order_lines') }}

),

missing_products as (

    select
        order_id,
        array_agg(distinct sku order by sku) as missing_skus
    from order_lines
    where product_is_missing
    group by order_id

),

final as (

    select
        orders.order_id,
        orders.order_day,
        orders.customer_id,
        orders.country,
        orders.revenue,
        orders.held_back_reason as reason,
        missing_products.missing_skus,
        orders.landed_at
    from orders
    left join missing_products on orders.order_id = missing_products.order_id
    where orders.held_back_reason is not null

)

select * from final
