{#-
    The rows of a landed table without a key whose contract says `withoutKey: replaceFile`: those of the newest version
    of each file. `relation` is the name of a CTE or a relation. Landing shows the same rows in <table>_current.
-#}
{% macro newest_file_version(relation) -%}
select {{ relation }}.*
    from {{ relation }}
    inner join (
        select _file, max(_loaded_at) as _loaded_at
        from {{ relation }}
        group by _file
    ) as newest_files
        on {{ relation }}._file = newest_files._file and {{ relation }}._loaded_at = newest_files._loaded_at
{%- endmacro %}
