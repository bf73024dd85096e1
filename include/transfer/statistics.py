"""The planner's statistics of rows that were just copied: the source's own where it has them, else ANALYZE.

ANALYZE reads a sample of 30,000 rows however many there are, which takes as long as copying 80,000 of them; a table
with several child tables needs it for each of them and for the parent. The rows are the same on both sides, in the same
order, so their statistics are the same as well, and a server from 18 on takes them (pg_restore_attribute_stats).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import sql

from include.postgres import Connection, query, scalar
from include.transfer.catalog import Table
from include.transfer.model import TableName

_WORTH_IT = 8 * 1024 * 1024  # bytes of a table from which on ANALYZE takes longer than the queries of both servers

# Columns of pg_stats and their types as arguments of pg_restore_attribute_stats.
_TYPES: dict[str, LiteralString] = {
    "null_frac": "real",
    "avg_width": "integer",
    "n_distinct": "real",
    "most_common_vals": "text",
    "most_common_freqs": "real[]",
    "histogram_bounds": "text",
    "correlation": "real",
    "most_common_elems": "text",
    "most_common_elem_freqs": "real[]",
    "elem_count_histogram": "real[]",
}
_RANGE_TYPES: dict[str, LiteralString] = {  # pg_stats has them from 17 on
    "range_length_histogram": "text",
    "range_empty_frac": "real",
    "range_bounds_histogram": "text",
}

# How a database sorts text. The names of these columns depend on the version, so the row is read as JSON.
_COLLATION = """
select d->>'datcollate', coalesce(d->>'datlocprovider', 'c'), coalesce(d->>'datlocale', d->>'daticulocale')
from (select to_jsonb(pg_database) as d from pg_database where datname = current_database()) described
"""


@dataclass(frozen=True)
class Statistics:
    """A table's rows of pg_stats."""

    version: int  # server_version_num of the server that gathered them
    columns: dict[str, dict[str, Any]]  # by column, then by the name in pg_stats


def read(source: Connection, target: Connection, table: Table) -> Statistics | None:
    """Return the source's statistics of a table, None where ANALYZE in the target is cheaper or the only way.

    They count as fresh by autovacuum's measure: at most a tenth of the rows have changed since they were gathered. A
    standby doesn't count changes, so its statistics never count as fresh.
    """
    if table.bytes < _WORTH_IT or table.kind != "r" or table.has_children or target.info.server_version < 180000:
        return None
    if query(source, _COLLATION) != query(target, _COLLATION):  # a histogram of text depends on how text is sorted
        return None
    fresh = query(
        source,
        "select from pg_stat_all_tables where relid = %s and coalesce(last_analyze, last_autoanalyze) is not null"
        " and n_mod_since_analyze <= %s / 10",
        *(table.oid, table.rows),
    )
    if not fresh:
        return None
    version = source.info.server_version
    types = _TYPES | (_RANGE_TYPES if version >= 170000 else {})
    wanted = sql.SQL(", ").join(
        sql.SQL("{}::{}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in types.items()
    )
    found = query(
        source,
        sql.SQL("select attname, {} from pg_stats where schemaname = %s and tablename = %s").format(wanted),
        *table.name,
    )
    columns = {attname: dict(zip(types, values, strict=True)) for attname, *values in found}
    # a column that this user may not read is missing from pg_stats
    return Statistics(version, columns) if columns.keys() >= {c.name for c in table.columns} else None


def apply(target: Connection, name: TableName, statistics: Statistics | None, rows: int) -> None:
    """See that a table of the target has statistics: these, or those of ANALYZE.

    `rows` is how many rows the table holds itself, 0 for the parent of child tables.
    """
    if statistics is not None and _restore(target, name, statistics, rows):
        return
    # The child tables have their statistics, so ANALYZE ONLY the parent. Before 18 ANALYZE of an inheritance parent
    # leaves its children alone by itself.
    only = sql.SQL("only " if not rows and target.info.server_version >= 180000 else "")
    target.execute(sql.SQL("analyze {}{}").format(only, name.identifier))


def _restore(target: Connection, name: TableName, statistics: Statistics, rows: int) -> bool:
    """Give a table these statistics; return whether the target took them all and the table needs no others."""
    only_by_analyze = (  # statistics of several columns together, and of an index's expressions
        "select from pg_statistic_ext where stxrelid = %s::regclass"
        " union all select from pg_index where indrelid = %s::regclass and indexprs is not null"
    )
    if query(target, only_by_analyze, *[name.identifier.as_string(target)] * 2):
        return False
    types = _TYPES | _RANGE_TYPES
    table: dict[str, tuple[Any, LiteralString]] = {
        "schemaname": (name.schema, "text"),
        "relname": (name.table, "text"),
        "version": (statistics.version, "integer"),
    }
    calls = []
    for column, values in statistics.columns.items():
        # those of a parent are `inherited`: they describe the rows of all its children
        arguments = table | {"attname": (column, "text"), "inherited": (not rows, "boolean")}
        arguments |= {each: (value, types[each]) for each, value in values.items() if value is not None}
        calls.append(_call("pg_restore_attribute_stats", arguments))
    if rows:
        pages = scalar(
            target,
            "select pg_relation_size(%s::regclass) / current_setting('block_size')::int",
            name.identifier.as_string(target),
        )
        # COPY with FREEZE has marked every page as visible to all
        size: dict[str, tuple[Any, LiteralString]] = {
            "relpages": (pages, "integer"),
            "reltuples": (rows, "real"),
            "relallvisible": (pages, "integer"),
        }
        calls.append(_call("pg_restore_relation_stats", table | size))
    return bool(scalar(target, sql.SQL("select true = all (array[{}])").format(sql.SQL(", ").join(calls))))


def _call(function: LiteralString, arguments: dict[str, tuple[Any, LiteralString]]) -> sql.Composed:
    """Return the SQL of a call with named arguments, which these functions take as name, value, name, value ..."""
    pairs = [
        sql.SQL("{}, {}::{}").format(sql.Literal(name), sql.Literal(value), sql.SQL(kind))
        for name, (value, kind) in arguments.items()
    ]
    return sql.SQL("{}({})").format(sql.SQL(function), sql.SQL(", ").join(pairs))
