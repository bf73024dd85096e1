"""What a server's catalog says of a table: columns, keys, checks, indexes, comments. Reads, never writes.

Type names are given as the *target* should spell them: a type of the source's schema `x` lives in prefix + `x` there,
a type of an extension keeps its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from include.postgres import Connection, query
from include.transfer.model import TableName


@dataclass(frozen=True)
class Column:
    """A column as the source has it and as the target will."""

    number: int
    name: str
    type: str  # for the target, with its length or precision
    base: str  # the built-in type below its domains, without typmod; "" for the types users make
    typmod: int
    type_oid: int
    type_schema: str
    type_name: str
    type_kind: str  # pg_type.typtype of the innermost type: b, d, e, c, r, m
    not_null: bool
    identity: bool  # identity, or an integer whose default is taken from a sequence that it owns
    generated: str  # pg_attribute.attgenerated: s, v or none
    default: str | None
    collation: str | None
    comment: str | None
    binary: bool


@dataclass(frozen=True)
class Constraint:
    """A primary key, unique key or check."""

    name: str
    kind: str  # p, u, c
    definition: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Index:
    """An index that belongs to no constraint; `tail` is its definition from the access method on."""

    name: str
    unique: bool
    tail: str


@dataclass(frozen=True)
class Table:
    """A table, as one server's catalog describes it."""

    oid: int
    name: TableName
    kind: str  # pg_class.relkind
    has_children: bool
    rows: int
    bytes: int
    comment: str | None
    columns: tuple[Column, ...]
    constraints: tuple[Constraint, ...]
    indexes: tuple[Index, ...]
    key: tuple[str, ...]  # the columns of a key that no row lacks, or none
    xid_column: str  # an append-only table's column of the writing transaction, or ""
    stores: tuple[TableName, ...]  # for a table of the target: the tables that inherit from it


_TABLES = """
select c.oid, n.nspname, c.relname, c.relkind::text,
    exists (select from pg_inherits i where i.inhparent = c.oid),
    greatest(c.reltuples, (select coalesce(sum(greatest(k.reltuples, 0)), 0) from pg_inherits i
        join pg_class k on k.oid = i.inhrelid where i.inhparent = c.oid))::bigint,
    case when c.relkind in ('r', 'm') then pg_relation_size(c.oid) else 0 end,
    obj_description(c.oid, 'pg_class'),
    array(select array[kn.nspname::text, k.relname::text] from pg_inherits i join pg_class k on k.oid = i.inhrelid
        join pg_namespace kn on kn.oid = k.relnamespace where i.inhparent = c.oid)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.oid = any(%(oids)s)
"""

# binary: the type's binary form is a value and nothing of the server it comes from (no OID of a type, relation, role).
_COLUMNS = """
select a.attrelid, a.attnum::int, a.attname, t.typtype::text, t.oid::bigint, tn.nspname, t.typname,
    format_type(a.atttypid, a.atttypmod), format_type(base.oid, null), base.typnamespace = 11 and base.oid < 16384,
    case when t.typtype = 'd' then t.typtypmod else a.atttypmod end,
    element.typname, en.nspname, coalesce(element.typtype, t.typtype)::text,
    exists (select from pg_depend e where e.classid = 'pg_type'::regclass and e.objid = coalesce(element.oid, t.oid)
        and e.deptype = 'e'),
    a.attnotnull and not exists (select from pg_constraint n where n.conrelid = a.attrelid and n.contype = 'n'
        and not n.convalidated and n.conkey = array[a.attnum]),
    a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) and (a.attidentity <> '' or exists (
        select from pg_depend o join pg_class s on s.oid = o.objid and s.relkind = 'S'
        where o.classid = 'pg_class'::regclass and o.refclassid = 'pg_class'::regclass and o.refobjid = a.attrelid
        and o.refobjsubid = a.attnum and o.deptype in ('a', 'i'))),
    a.attgenerated::text, pg_get_expr(d.adbin, d.adrelid),
    case when co.collname is not null then quote_ident(con.nspname) || '.' || quote_ident(co.collname) end,
    col_description(a.attrelid, a.attnum),
    base.typsend <> 0 and base.typreceive <> 0 and base.oid < 16384 and base.typtype in ('b', 'r', 'm')
        and base.typname not like 'reg%%' and base.typname not like '\\_reg%%'
        and not (base.typname in ('interval', '_interval') and %(other_major)s <> %(major)s)
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

_CONSTRAINTS = """
select conrelid, conname, contype::text, pg_get_constraintdef(oid),
    array(select attname::text from unnest(conkey) with ordinality k(num, place)
        join pg_attribute a on a.attrelid = conrelid and a.attnum = k.num order by place)
from pg_constraint where conrelid = any(%(oids)s) and contype in ('p', 'u', 'c') and convalidated
order by conrelid, contype <> 'p', conname
"""

# Everything up to the access method is known word for word, so the rest can be told from it whatever the names hold.
_INDEXES = """
select i.indrelid, ic.relname, i.indisunique,
    substr(pg_get_indexdef(i.indexrelid), 1 + length(format('CREATE %%sINDEX %%I ON %%s%%I.%%I USING ',
        case when i.indisunique then 'UNIQUE ' else '' end, ic.relname,
        case when c.relkind = 'p' then 'ONLY ' else '' end, n.nspname, c.relname)))
from pg_index i join pg_class ic on ic.oid = i.indexrelid join pg_class c on c.oid = i.indrelid
join pg_namespace n on n.oid = c.relnamespace
where i.indrelid = any(%(oids)s) and i.indislive and (i.indisvalid or c.relkind = 'p') and not i.indisexclusion
and not exists (select from pg_constraint where conindid = i.indexrelid and contype in ('p', 'u', 'x'))
order by i.indrelid, ic.relname
"""

# A key: the primary one, else the narrowest unique one whose columns are plain, complete and never null.
_KEYS = """
select distinct on (i.indrelid) i.indrelid,
    array(select attname::text from unnest(i.indkey[0:i.indnkeyatts - 1]) with ordinality k(num, place)
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.num order by place)
from pg_index i
where i.indrelid = any(%(oids)s) and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null
and i.indexprs is null and not exists (select from unnest(i.indkey[0:i.indnkeyatts - 1]) num
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = num where not a.attnotnull or a.attgenerated <> ''
    or exists (select from pg_constraint n where n.conrelid = i.indrelid and n.contype = 'n' and not n.convalidated
        and n.conkey = array[num]))
order by i.indrelid, not i.indisprimary, i.indnkeyatts, i.indexrelid
"""

# What a snapshot shows of a table and of all that it reads through it, beside what everybody sees now: pg_class is read
# at the snapshot, the functions aren't. A table that VACUUM or ANALYZE found empty (0; -1 is unknown) had nothing to
# lose.
_SINCE = """
with recursive tree(oid) as (
    select %(oid)s::oid union select i.inhrelid from tree join pg_inherits i on i.inhparent = tree.oid
)
select c.oid::bigint, n.nspname, c.relname,
    case when c.oid = %(oid)s then to_regclass(format('%%I.%%I', n.nspname, c.relname)) is distinct from c.oid
        else %(partitioned)s and c.oid not in (select relid from pg_partition_tree(%(oid)s::oid::regclass)) end,
    c.relkind = 'r' and c.reltuples <> 0 and pg_relation_filenode(c.oid) is distinct from c.relfilenode
from tree join pg_class c using (oid) join pg_namespace n on n.oid = c.relnamespace
"""


def list_tables(connection: Connection, views: bool = False) -> list[tuple[int, TableName, bool]]:
    """Return (oid, name, is a partition) of every table of the database, system schemas and temporary tables left out.

    Where tables have been moved to the database, what the transfer itself keeps there is left out too. A partition's
    rows are its parent's: a caller moves the parent. With `views`, views and materialized ones as well.
    """
    kinds = ["r", "p"] + (["v", "m"] if views else [])
    rows = query(
        connection,
        "select c.oid::bigint, n.nspname, c.relname, c.relispartition from pg_class c"
        " join pg_namespace n on n.oid = c.relnamespace where c.relkind = any(%s) and c.relpersistence <> 't'"
        " and n.nspname <> 'information_schema' and n.nspname not like 'pg\\_%%'"
        " and (n.nspname <> 'transfer' or to_regclass('transfer.snapshots') is null)"
        " and not exists (select from pg_depend e where e.classid = 'pg_class'::regclass and e.objid = c.oid"
        " and e.deptype = 'e') order by n.nspname, c.relname",
        kinds,
    )
    return [(oid, TableName(schema, table), partition) for oid, schema, table, partition in rows]


def find_table(connection: Connection, name: TableName) -> int | None:
    """Return the oid of a table or view, or None."""
    rows = query(
        connection,
        "select c.oid::bigint from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = %s and c.relname = %s and c.relkind in ('r', 'p', 'v', 'm', 'f')",
        *name,
    )
    return rows[0][0] if rows else None


def describe(connection: Connection, oids: list[int], prefix: str, other_version: int) -> dict[int, Table]:
    """Return what the catalog says of these tables. `other_version` is the other server's, as in server_version_num."""
    version = connection.info.server_version
    # interval gained infinity in 17; its binary form reads as a number of days before that
    given = {"oids": oids, "major": version >= 170000, "other_major": other_version >= 170000}

    def rows(statement: str) -> dict[int, list[tuple[Any, ...]]]:
        found: dict[int, list[tuple[Any, ...]]] = {oid: [] for oid in oids}
        for row in connection.execute(statement.encode(), given).fetchall():
            found[row[0]].append(row[1:])
        return found

    columns, constraints, indexes, keys = rows(_COLUMNS), rows(_CONSTRAINTS), rows(_INDEXES), rows(_KEYS)
    tables = {}
    for oid, [found] in ((oid, each) for oid, each in rows(_TABLES).items() if each):
        schema, table, kind, has_children, estimate, size, comment, stores = found
        described = tuple(_column(row, prefix) for row in columns[oid])
        # a key of a parent says nothing about its children's rows
        key = tuple(keys[oid][0][0]) if keys[oid] and (kind == "p" or not has_children) else ()
        tables[oid] = Table(
            oid=oid,
            name=TableName(schema, table),
            kind=kind,
            has_children=has_children,
            rows=max(estimate, 0),
            bytes=size,
            comment=comment,
            columns=described,
            constraints=tuple(Constraint(n, k, d, tuple(c)) for n, k, d, c in constraints[oid]),
            indexes=tuple(Index(*row) for row in indexes[oid]),
            key=key,
            # a view's rows have no place, by which new ones are fetched
            xid_column=next((c.name for c in described if kind in ("r", "p") and _stamps_transaction(c)), ""),
            stores=tuple(TableName(*store) for store in stores),
        )
    return tables


def _stamps_transaction(column: Column) -> bool:
    return column.base == "xid8" and "pg_current_xact_id()" in (column.default or "")


def _column(row: tuple[Any, ...], prefix: str) -> Column:
    (number, name, _, oid, schema, type_name, shown, base, base_is_builtin, typmod) = row[:10]
    (element, element_schema, innermost, of_extension, not_null, identity, generated) = row[10:17]
    default, collation, comment, binary = row[17:]
    builtin = (element_schema or schema) in ("pg_catalog", "information_schema")
    if builtin or of_extension:
        type_sql = shown
    else:
        quoted = [part.replace('"', '""') for part in (prefix + (element_schema or schema), element or type_name)]
        type_sql = f'"{quoted[0]}"."{quoted[1]}"' + ("[]" if element else "")
    return Column(
        number=number,
        name=name,
        type=type_sql,
        base=base if base_is_builtin else "",
        typmod=typmod,
        type_oid=oid,
        type_schema=element_schema or schema,
        type_name=element or type_name,
        type_kind=innermost,
        not_null=not_null,
        identity=identity,
        generated=generated,
        default=default,
        collation=collation,
        comment=comment,
        binary=bool(binary),
    )


def emptied_since(connection: Connection, table: Table) -> TableName | None:
    """Return the table, or the one of its partitions, whose rows the open snapshot should show and no longer can.

    TRUNCATE, and ALTER TABLE where it writes the rows anew, leave nothing for snapshots from before; a partition that
    is detached and a table that another one replaced under its name are not read at all. To be asked when the rows
    have been read, which keeps others from doing so afterwards.
    """
    if connection.info.server_version < 120000 or table.kind == "v":  # which knows no pg_partition_tree, or has no file
        return None
    given = {"oid": table.oid, "partitioned": table.kind == "p"}
    kept = sql.SQL("select from {} where tableoid = %s limit 1").format(table.name.identifier)
    for oid, schema, name, gone, anew in connection.execute(_SINCE.encode(), given).fetchall():
        if gone or (anew and not query(connection, kept, oid)):  # VACUUM FULL and CLUSTER keep the rows
            return TableName(schema, name)
    return None
