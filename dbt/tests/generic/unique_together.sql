{#- The columns together are unique, nulls counted as equal. A column alone takes dbt's own test `unique`. -#}
{% test unique_together(model, columns) %}

select {{ columns | join(', ') }}, count(*) as rows_of_key
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
