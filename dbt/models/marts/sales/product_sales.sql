{{
    config(
        post_hook="{{ must_equal(
            'select sum(items), sum(revenue) from ' ~ this,
            'select sum(items), sum(revenue) from ' ~ ref('int_orders') ~ ' where held_back_reason is null'
        ) }}"
    )
}}

with

orders as (

    select * from {{ ref('int_orders') }}

),

order_lines as (

    select * from {{ ref('int_order_lines') }}

),

final as (

    select
        orders.order_day as day,
        order_lines.sku,
        order_lines.product_name,
        order_lines.category,
        count(distinct orders.order_id) as orders,
        sum(order_lines.quantity)::bigint as items,
        sum(order_lines.revenue)::numeric(38, 2) as revenue
    from orders
    inner join order_lines on orders.order_id = order_lines.order_id
    where orders.held_back_reason is null
    group by orders.order_day, order_lines.sku, order_lines.product_name, order_lines.category

)

select * from final
