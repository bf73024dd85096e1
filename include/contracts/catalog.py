"""What a database's catalog says of the tables in it, for contracts and dbt sources. Reads, never writes.

It needs no right on a table: everybody may read pg_catalog. Types are spelled with their schema, except built-in ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg

from include.names import qualified
from include.postgres import Connection, query, session


@dataclass(frozen=True)
class Type:
    """A type, with what it is made of: a domain of its base, an array of its element."""

    schema: str
    name: str
    kind: str  # pg_type.typtype: b, c, d, e, r, m
    category: str  # pg_type.typcategory
    inner: Type | None  # what a domain stands for, or what an array holds
    labels: tuple[str, ...]  # of an enum


@dataclass(frozen=True)
class CatalogColumn:
    """A column, its type as format_type spells it."""

    name: str
    type: str
    shape: Type
    required: bool
    key_position: int | None  # in the primary key, from 1
    comment: str | None


@dataclass(frozen=True)
class CatalogTable:
    """A table or view."""

    oid: int
    schema: str
    name: str
    kind: str  # pg_class.relkind: r, p, v, m
    parent: str | None  # of a partition
    readable: bool  # by the connection's user
    comment: str | None
    columns: tuple[CatalogColumn, ...] = ()

    @property
    def full_name(self) -> str:
        return qualified(self.schema, self.name)

    @property
    def is_view(self) -> bool:
        return self.kind in ("v", "m")


# The schemas in which landing and the transfer keep their own tables hold no datasets.
_TABLES = """
select c.oid::bigint, n.nspname, c.relname, c.relkind::text, parent.nspname, parent.relname,
    has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'), obj_description(c.oid, 'pg_class')
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
left join lateral (
    select pn.nspname, p.relname from pg_inherits i
    join pg_class p on p.oid = i.inhparent join pg_namespace pn on pn.oid = p.relnamespace
    where i.inhrelid = c.oid and c.relispartition
) parent on true
where c.relkind in ('r', 'p', 'v', 'm') and c.relpersistence <> 't'
and n.nspname <> 'information_schema' and n.nspname not like 'pg\\_%'
and not exists (select from pg_class own where own.relnamespace = n.oid
    and (n.nspname, own.relname) in (('landing', 'rejects'), ('transfer', 'snapshots')))
and not exists (select from pg_depend e where e.classid = 'pg_class'::regclass and e.objid = c.oid and e.deptype = 'e')
order by n.nspname, c.relname
"""

# As information_schema.columns says it, a column is never null by its own constraint or by its domain's. A constraint
# that is NOT VALID, which Postgres 18 knows, says nothing of the rows that were there before.
_COLUMNS = """
select a.attrelid::bigint, a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid::bigint,
    (a.attnotnull and not exists (select from pg_constraint k where k.conrelid = a.attrelid and k.contype = 'n'
        and not k.convalidated and k.conkey = array[a.attnum])) or (t.typtype = 'd' and t.typnotnull),
    (select place::int from pg_index i, unnest(i.indkey[0:i.indnkeyatts - 1]) with ordinality key(number, place)
        where i.indrelid = a.attrelid and i.indisprimary and key.number = a.attnum),
    col_description(a.attrelid, a.attnum)
from pg_attribute a join pg_type t on t.oid = a.atttypid
where a.attrelid = any(%s) and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum
"""

_TYPES = """
with recursive used(oid) as (
    select a.atttypid from pg_attribute a where a.attrelid = any(%s) and a.attnum > 0 and not a.attisdropped
    union
    select case when t.typtype = 'd' then t.typbasetype else t.typelem end from used join pg_type t using (oid)
    where t.typtype = 'd' or (t.typcategory = 'A' and t.typelem <> 0)
)
select t.oid::bigint, n.nspname, t.typname, t.typtype::text, t.typcategory::text,
    (case when t.typtype = 'd' then t.typbasetype when t.typcategory = 'A' then t.typelem else 0 end)::bigint,
    array(select e.enumlabel::text from pg_enum e where e.enumtypid = t.oid order by e.enumsortorder)
from used join pg_type t using (oid) join pg_namespace n on n.oid = t.typnamespace
"""


@contextmanager
def reading(uri: str, place: str) -> Iterator[Connection]:
    """Open a connection and a transaction in which nothing can be written, for a `with` block.

    Raises what `include.postgres.session` raises.
    """
    with session(uri, place) as connection:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            connection.execute("set local search_path = pg_catalog")  # so that format_type gives the types' schemas
            connection.execute("set local client_encoding = 'UTF8'")  # a database in SQL_ASCII gives bytes otherwise
            yield connection


def list_tables(connection: Connection) -> list[CatalogTable]:
    """Return every table and view of the database, without columns, by name. Partitions are among them.

    Left out are system schemas, temporary tables, tables of extensions, and those of landing and of the transfer.
    """
    return [
        CatalogTable(oid, schema, name, kind, qualified(*parent) if parent[1] else None, readable, comment)
        for oid, schema, name, kind, *parent, readable, comment in query(connection, _TABLES)
    ]


def with_columns(connection: Connection, tables: list[CatalogTable]) -> list[CatalogTable]:
    """Return the tables with their columns, in the tables' order."""
    oids = [table.oid for table in tables]
    types = _types(connection, oids)
    columns: dict[int, list[CatalogColumn]] = {oid: [] for oid in oids}
    for oid, name, type_, type_oid, required, position, comment in query(connection, _COLUMNS, oids):
        columns[oid].append(CatalogColumn(name, type_, types[type_oid], required, position, comment))
    return [replace(table, columns=tuple(columns[table.oid])) for table in tables]


def _types(connection: Connection, oids: list[int]) -> dict[int, Type]:
    rows = {row[0]: row[1:] for row in query(connection, _TYPES, oids)}

    def made(oid: int) -> Type:
        schema, name, kind, category, inner, labels = rows[oid]
        return Type(schema, name, kind, category, made(inner) if inner else None, tuple(labels))

    return {oid: made(oid) for oid in rows}
