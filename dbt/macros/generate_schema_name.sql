{#- Schemas are called what dbt_project.yml calls them: `marts`, not `<schema of the profile>_marts`. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name | default(target.schema, true) | trim }}
{%- endmacro %}
