{#-
    Several conditions on the rows of one table for the price of one test; a row comes back once for each it breaks.
    A source table that hasn't arrived yet has no rows that could break any.
-#}
{% test rows_satisfy(model, conditions) %}

{% if execute and load_relation(model) is none %}
select 'no such table yet' as broken_condition where false
{% else %}
{% for name, condition in conditions.items() %}
select '{{ name | replace("'", "''") }}' as broken_condition, rows_of_model.*
from {{ model }} as rows_of_model
where ({{ condition }}) is not true
{{ "union all" if not loop.last }}
{% endfor %}
{% endif %}

{% endtest %}
