"""What a server's catalog says of a table: columns, keys, checks, indexes, comments. Reads, never writes.

Type names are given as the *target* spells them: a type of the source's schema `x` lives in the schema prefix + `x`
there, a type of an extension keeps its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from include.postgres import Connection, query
from include.transfer import catalog_queries
from include.transfer.model import TableName


@dataclass(frozen=True)
class Column:
    """A column as the source has it and as the target will."""

    number: int  # pg_attribute.attnum, which a rename keeps
    name: str
    type: str  # SQL for the target, with its length or precision
    base: str  # the built-in type below its domains, without typmod; "" for types that users make
    typmod: int
    type_oid: int
    not_null: bool
    identity: bool  # identity, or an integer with a sequence that it owns
    generated: str  # pg_attribute.attgenerated: s, v or none
    default: str | None  # an expression as SQL; of a generated column, how it is generated
    collation: str | None  # SQL, None for the type's own
    comment: str | None
    binary: bool  # COPY's binary form means the same on both servers


@dataclass(frozen=True)
class Constraint:
    """A primary key, unique key or check."""

    name: str
    kind: str  # pg_constraint.contype: p, u or c
    definition: str  # SQL from pg_get_constraintdef


@dataclass(frozen=True)
class Index:
    """An index that belongs to no constraint."""

    name: str
    unique: bool
    definition: str  # SQL from pg_get_indexdef, from the access method on


@dataclass(frozen=True)
class Table:
    """A table, as one server's catalog describes it."""

    oid: int
    name: TableName
    kind: str  # pg_class.relkind
    has_children: bool
    rows: int  # the planner's estimate
    bytes: int
    comment: str | None
    columns: tuple[Column, ...]
    constraints: tuple[Constraint, ...]
    indexes: tuple[Index, ...]
    key: tuple[str, ...]  # the columns that identify a row and are never NULL; empty where there are none
    xid_column: str  # the column that holds the writing transaction of each row, or ""
    child_tables: tuple[TableName, ...]  # those that inherit from it; in the target they hold its rows


def list_tables(connection: Connection, views: bool = False) -> list[tuple[int, TableName, bool]]:
    """Return (oid, name, is a partition) of every table of the database that can move; with `views`, of views too.

    Left out are system schemas, temporary tables, tables of extensions and, where tables were moved to this database,
    the transfer's own schema. A partition's rows belong to its parent: the caller moves the parent.
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
    """Return what the catalog says of these tables, by oid; a table that is gone is left out.

    `prefix` is put before the schemas of types that users make. `other_version` is the other server's
    server_version_num, because what can travel in binary form depends on both.
    """
    versions = {"since_17": connection.info.server_version >= 170000, "other_since_17": other_version >= 170000}

    def by_table(statement: str) -> dict[int, list[dict[str, Any]]]:
        found: dict[int, list[dict[str, Any]]] = {oid: [] for oid in oids}
        with connection.cursor(row_factory=dict_row) as cursor:
            for row in cursor.execute(statement.encode(), {"oids": oids, **versions}):
                found[row.pop("table_oid")].append(row)
        return found

    columns = by_table(catalog_queries.COLUMNS)
    constraints = by_table(catalog_queries.CONSTRAINTS)
    indexes = by_table(catalog_queries.INDEXES)
    keys = by_table(catalog_queries.KEYS)
    tables = {}
    for oid, [row] in ((oid, found) for oid, found in by_table(catalog_queries.TABLES).items() if found):
        described = tuple(_column(each, prefix) for each in columns[oid])
        # a unique index of an inheritance parent says nothing about the rows of its children
        has_key = keys[oid] and (row["kind"] == "p" or not row["has_children"])
        # a view's rows have no ctid, by which mode `append` finds where the new ones begin
        stamped = described if row["kind"] in ("r", "p") else ()
        tables[oid] = Table(
            oid=oid,
            name=TableName(row["schema"], row["table"]),
            kind=row["kind"],
            has_children=row["has_children"],
            rows=max(row["rows"], 0),
            bytes=row["bytes"],
            comment=row["comment"],
            columns=described,
            constraints=tuple(Constraint(**each) for each in constraints[oid]),
            indexes=tuple(Index(**each) for each in indexes[oid]),
            key=tuple(keys[oid][0]["columns"]) if has_key else (),
            xid_column=next((c.name for c in stamped if _stamps_transaction(c)), ""),
            child_tables=tuple(TableName(*name) for name in row["child_tables"]),
        )
    return tables


def _stamps_transaction(column: Column) -> bool:
    """Return whether the column's default is the id of the transaction that writes the row."""
    return column.base == "xid8" and "pg_current_xact_id()" in (column.default or "")


def _column(row: dict[str, Any], prefix: str) -> Column:
    """Return a column from its row of COLUMNS, its type spelled for the target."""
    schema, name = row.pop("type_schema"), row.pop("type_name")
    is_array, shown, of_extension = row.pop("is_array"), row.pop("shown"), row.pop("of_extension")
    if schema not in ("pg_catalog", "information_schema") and not of_extension:
        shown = sql.Identifier(prefix + schema, name).as_string() + ("[]" if is_array else "")
    return Column(type=shown, **row)
