with

orders as (

    select * from {{ ref('stg_retail__transactions') }}

),

customers as (

    select * from {{ ref('stg_retail__customers') }}

),

order_lines as (

    select * from {{ ref('int_order_lines') }}

),

sums_of_lines as (

    select
        order_id,
        count(*) as line_count,
        sum(quantity) as items,
        sum(revenue) as revenue,
        bool_or(product_is_missing) as product_is_missing
    from order_lines
    group by order_id

),

final as (

    select
        orders.order_id,
        orders.ordered_at,
        (orders.ordered_at at time zone 'utc')::date as order_day,
        orders.customer_id,
        orders.delivery_country as country,
        coalesce(sums_of_lines.line_count, 0) as line_count,
        coalesce(sums_of_lines.items, 0) as items,
        coalesce(sums_of_lines.revenue, 0) as revenue,
        orders.total_cost,
        orders.landed_at,
        case
            when customers.customer_id is null and sums_of_lines.product_is_missing
                then 'customer and product missing'
            when customers.customer_id is null then 'customer missing'
            when sums_of_lines.product_is_missing then 'product missing'
        end as held_back_reason
    from orders
    left join customers on orders.customer_id = customers.customer_id
    left join sums_of_lines on orders.order_id = sums_of_lines.order_id

)

select * from final
