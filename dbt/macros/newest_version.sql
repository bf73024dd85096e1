{#-
    The newest version of each row of a landed table, which holds every version. `relation` is the name of a CTE or a
    relation, `key` a list of the key's columns. Landing calls the same version the newest, in <table>_current.
-#}
{% macro newest_version(relation, key) -%}
select distinct on ({{ key | join(', ') }}) *
    from {{ relation }}
    order by {{ key | join(' asc, ') }} asc, _loaded_at desc, _file desc, _line desc
{%- endmacro %}
