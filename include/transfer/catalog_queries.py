"""The catalog queries behind `include.transfer.catalog`. Each gives named columns, and one of them is `table_oid`.

They run on the source and on the target, with the parameters `oids` (the tables), `since_17` and `other_since_17`
(whether the server itself and the other one are of PostgreSQL 17 or newer).
"""

# A parent's own estimate (reltuples) doesn't count its children, so the larger of the two is taken.
TABLES = """
select c.oid as table_oid, n.nspname as schema, c.relname as table, c.relkind::text as kind,
    exists (select from pg_inherits i where i.inhparent = c.oid) as has_children,
    greatest(c.reltuples, (select coalesce(sum(greatest(k.reltuples, 0)), 0) from pg_inherits i
        join pg_class k on k.oid = i.inhrelid where i.inhparent = c.oid))::bigint as rows,
    case when c.relkind in ('r', 'm') then pg_relation_size(c.oid) else 0 end as bytes,
    obj_description(c.oid, 'pg_class') as comment,
    array(select array[kn.nspname::text, k.relname::text] from pg_inherits i join pg_class k on k.oid = i.inhrelid
        join pg_namespace kn on kn.oid = k.relnamespace where i.inhparent = c.oid) as child_tables
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.oid = any(%(oids)s)
"""

# Three types are told apart:
#   t        the column's own type, which may be a domain or an array
#   base     what is left when all domains are taken off `t`: its binary form and its hash are those of the values
#   element  the element of an array type, which is the type that has to exist in the target
# A NOT NULL that is NOT VALID doesn't count: old rows may break it.
# `identity` includes an integer whose sequence is owned by the column (serial): those values come from it as well.
# `binary` excludes types whose binary form holds an OID of the server (reg*, and all that users make: arrays and ranges
# carry the OID of their element). Interval gained infinity in 17: before, the same bytes are a number of days.
COLUMNS = """
select a.attrelid as table_oid, a.attnum::int as number, a.attname as name, t.oid::bigint as type_oid,
    coalesce(en.nspname, tn.nspname) as type_schema, coalesce(element.typname, t.typname) as type_name,
    element.oid is not null as is_array, format_type(a.atttypid, a.atttypmod) as shown,
    case when base.typnamespace = 11 and base.oid < 16384 then format_type(base.oid, null) else '' end as base,
    case when t.typtype = 'd' then t.typtypmod else a.atttypmod end as typmod,
    exists (select from pg_depend e where e.classid = 'pg_type'::regclass and e.objid = coalesce(element.oid, t.oid)
        and e.deptype = 'e') as of_extension,
    a.attnotnull and not exists (select from pg_constraint n where n.conrelid = a.attrelid and n.contype = 'n'
        and not n.convalidated and n.conkey = array[a.attnum]) as not_null,
    a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) and (a.attidentity <> '' or exists (
        select from pg_depend o join pg_class s on s.oid = o.objid and s.relkind = 'S'
        where o.classid = 'pg_class'::regclass and o.refclassid = 'pg_class'::regclass and o.refobjid = a.attrelid
        and o.refobjsubid = a.attnum and o.deptype in ('a', 'i'))) as identity,
    a.attgenerated::text as generated, pg_get_expr(d.adbin, d.adrelid) as default,
    case when co.collname is not null then quote_ident(con.nspname) || '.' || quote_ident(co.collname) end as collation,
    col_description(a.attrelid, a.attnum) as comment,
    base.typsend <> 0 and base.typreceive <> 0 and base.oid < 16384 and base.typtype in ('b', 'r', 'm')
        and base.typname not like 'reg%%' and base.typname not like '\\_reg%%'
        and not (base.typname in ('interval', '_interval') and %(other_since_17)s <> %(since_17)s) as binary
from pg_attribute a
join pg_type t on t.oid = a.atttypid
join pg_namespace tn on tn.oid = t.typnamespace
join lateral (
    with recursive down(oid, typtype, typbasetype, depth) as (
        select t.oid, t.typtype, t.typbasetype, 0
        union all
        select b.oid, b.typtype, b.typbasetype, depth + 1 from down join pg_type b on b.oid = down.typbasetype
        where down.typtype = 'd'
    ) select b.* from down join pg_type b using (oid) order by depth desc limit 1
) base on true
left join pg_type element on element.oid = t.typelem and t.typcategory = 'A'
left join pg_namespace en on en.oid = element.typnamespace
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
left join pg_collation co on co.oid = a.attcollation and a.attcollation <> t.typcollation and co.collname <> 'default'
left join pg_namespace con on con.oid = co.collnamespace
where a.attrelid = any(%(oids)s) and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum
"""

# Only what every row is known to obey: no constraint that is NOT VALID, no exclusion constraint, no foreign key.
CONSTRAINTS = """
select conrelid as table_oid, conname as name, contype::text as kind, pg_get_constraintdef(oid) as definition
from pg_constraint where conrelid = any(%(oids)s) and contype in ('p', 'u', 'c') and convalidated
order by conrelid, contype <> 'p', conname
"""

# pg_get_indexdef gives CREATE INDEX as one text. How it begins is known to the letter, so cutting that many characters
# off leaves the part from the access method on, whatever quotes and parentheses the names hold.
INDEXES = """
select i.indrelid as table_oid, ic.relname as name, i.indisunique as unique,
    substr(pg_get_indexdef(i.indexrelid), 1 + length(format('CREATE %%sINDEX %%I ON %%s%%I.%%I USING ',
        case when i.indisunique then 'UNIQUE ' else '' end, ic.relname,
        case when c.relkind = 'p' then 'ONLY ' else '' end, n.nspname, c.relname))) as definition
from pg_index i join pg_class ic on ic.oid = i.indexrelid join pg_class c on c.oid = i.indrelid
join pg_namespace n on n.oid = c.relnamespace
where i.indrelid = any(%(oids)s) and i.indislive and (i.indisvalid or c.relkind = 'p') and not i.indisexclusion
and not exists (select from pg_constraint where conindid = i.indexrelid and contype in ('p', 'u', 'x'))
order by i.indrelid, ic.relname
"""

# The key that mode `key` compares by: the primary key, else the unique index of the fewest columns. It has to identify
# every row all the time: it is not partial, not on expressions, not deferrable, and no column is generated or NULL.
KEYS = """
select distinct on (i.indrelid) i.indrelid as table_oid,
    array(select attname::text from unnest(i.indkey[0:i.indnkeyatts - 1]) with ordinality k(num, position)
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.num order by position) as columns
from pg_index i
where i.indrelid = any(%(oids)s) and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null
and i.indexprs is null and not exists (select from unnest(i.indkey[0:i.indnkeyatts - 1]) num
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = num where not a.attnotnull or a.attgenerated <> ''
    or exists (select from pg_constraint n where n.conrelid = i.indrelid and n.contype = 'n' and not n.convalidated
        and n.conkey = array[num]))
order by i.indrelid, not i.indisprimary, i.indnkeyatts, i.indexrelid
"""
