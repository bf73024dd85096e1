-- Every order that landed is counted in sales_daily and for its customer, or is listed as held back: each figure
-- here is the number of all orders.
with

figures as (

    select
        (select count(*) from {{ ref('stg_retail__transactions') }}) as landed,
        (select count(*) from {{ ref('orders_held_back') }}) as held_back,
        (select coalesce(sum(orders), 0) from {{ ref('sales_daily') }}) as in_sales_daily,
        (select coalesce(sum(orders), 0) from {{ ref('customer_value') }}) as in_customer_value

)

select *
from figures
where landed <> held_back + in_sales_daily or landed <> held_back + in_customer_value
