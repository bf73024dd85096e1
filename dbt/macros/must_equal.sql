{#-
    A post-hook: stops a mart whose figures are not those of what it was made from.

    Both queries return one row; the two rows, written as text, must be the same. dbt runs the hook inside the
    transaction that puts the new table in the place of the old one, so a difference leaves the last good table as it
    was.
-#}
{% macro must_equal(actual, expected) -%}
do $check$
declare
    actual text;
    expected text;
begin
    select figures::text into actual from ({{ actual }}) as figures;
    select figures::text into expected from ({{ expected }}) as figures;
    if actual is distinct from expected then
        raise exception '{{ this.schema }}.{{ this.identifier }} adds up to %, what it was made from to %', actual, expected
            using hint = 'The table of the last good build was left in place. Look for a join that drops or doubles rows.';
    end if;
end
$check$
{%- endmacro %}
