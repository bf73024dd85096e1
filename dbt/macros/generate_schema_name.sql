{#-
    In prod, schemas are called what dbt_project.yml calls them: `marts`. In every other target the profile's schema
    comes first, `dbt_ann_marts`, so that nobody's build overwrites prod's tables. include/transform/targets.py has
    the same rule.
-#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- if target.name == 'prod' -%}
        {{ custom_schema_name | default(target.schema, true) | trim }}
    {%- else -%}
        {{ plain_name(target.schema) }}_{{ custom_schema_name | default('marts', true) | trim }}
    {%- endif -%}
{%- endmacro %}

{#- A name as the beginning of a schema's: small letters, digits and _, and short enough for `_intermediate` behind it. -#}
{% macro plain_name(name) -%}
    {%- set plain = modules.re.sub('[^a-z0-9]+', '_', name | lower).strip('_') -%}
    {{ plain if plain | length <= 48 else plain[:39].strip('_') ~ '_' ~ local_md5(plain)[:8] }}
{%- endmacro %}
