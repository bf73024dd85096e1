with

source as (

    select * from {{ source('raw_retail', 'customers') }}

),

newest as (

    {{ newest_version('source', ['id']) }}

),

final as (

    select
        id as customer_id,
        first_name,
        last_name,
        email,
        date_of_birth,
        phone_number,
        segment,
        address,
        city,
        country,
        postcode,
        last_change as last_changed_on
    from newest

)

select * from final
