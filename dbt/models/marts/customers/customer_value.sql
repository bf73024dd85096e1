{{
    config(
        post_hook="{{ must_equal(
            'select sum(nullif(orders, 0)), sum(nullif(items, 0)), sum(nullif(revenue, 0)) from ' ~ this,
            'select sum(1), sum(nullif(items, 0)), sum(nullif(revenue, 0)) from ' ~ ref('int_orders')
            ~ ' where held_back_reason is null'
        ) }}"
    )
}}

with

customers as (

    select * from {{ ref('stg_retail__customers') }}

),

orders as (

    select * from {{ ref('int_orders') }}

),

orders_of_customers as (

    select
        customer_id,
        min(ordered_at) as first_order_at,
        max(ordered_at) as last_order_at,
        count(*) as orders,
        sum(items) as items,
        sum(revenue) as revenue
    from orders
    where held_back_reason is null
    group by customer_id

),

final as (

    select
        customers.customer_id,
        customers.country,
        customers.segment,
        orders_of_customers.first_order_at,
        orders_of_customers.last_order_at,
        coalesce(orders_of_customers.orders, 0) as orders,
        coalesce(orders_of_customers.items, 0)::bigint as items,
        coalesce(orders_of_customers.revenue, 0)::numeric(38, 2) as revenue,
        (orders_of_customers.revenue / orders_of_customers.orders)::numeric(38, 2) as average_order_value
    from customers
    left join orders_of_customers on customers.customer_id = orders_of_customers.customer_id

)

select * from final
