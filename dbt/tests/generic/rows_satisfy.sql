{#- Several conditions on the rows of one model for the price of one test; a row comes back once for each it breaks. -#}
{% test rows_satisfy(model, conditions) %}

{% for name, condition in conditions.items() %}
    select
        '{{ name }}' as broken_condition,
        rows_of_model.*
    from {{ model }} as rows_of_model
    where ({{ condition }}) is not true
    {{ "union all" if not loop.last }}
{% endfor %}

{% endtest %}
