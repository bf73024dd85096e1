"""The planner's statistics of rows that have just been copied: the source's own where it has them, else ANALYZE.

ANALYZE reads a sample of 30,000 rows however many there are, which takes as long as copying 80,000 of them, and a table
in several stores needs one for each and one for their parent. The rows are the same on both sides, in the same order,
and so are their statistics; a server from 18 on takes them (pg_restore_attribute_stats).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from include.postgres import Connection, query, scalar
from include.transfer.catalog import Table
from include.transfer.model import TableName

_WORTH_IT = 8 * 1024 * 1024  # bytes of a table from which on ANALYZE costs more than asking both servers

_TYPES = {
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
_OF_RANGES = {"range_length_histogram": "text", "range_empty_frac": "real", "range_bounds_histogram": "text"}  # from 17

# By what a database sorts text; the names of these columns depend on the version.
_COLLATION = """
select d->>'datcollate', coalesce(d->>'datlocprovider', 'c'), coalesce(d->>'datlocale', d->>'daticulocale')
from (select to_jsonb(pg_database) as d from pg_database where datname = current_database()) described
"""


@dataclass(frozen=True)
class Statistics:
    """What a server knows of a table's columns: of each its pg_stats entries, by name."""

    version: int
    columns: dict[str, dict[str, Any]]


def read(source: Connection, target: Connection, table: Table) -> Statistics | None:
    """Return the source's statistics of a table, None where ANALYZE in the target is better or the only way.

    They count as fresh by autovacuum's measure: at most a tenth of the rows have changed since they were gathered. A
    standby doesn't know that. A histogram of text is worth nothing where text is sorted in another way.
    """
    if table.bytes < _WORTH_IT or table.kind != "r" or table.has_children or target.info.server_version < 180000:
        return None
    if query(source, _COLLATION) != query(target, _COLLATION):
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
    names = [*_TYPES, *(_OF_RANGES if version >= 170000 else ())]
    wanted = sql.SQL(", ").join(
        sql.SQL("{}::{}").format(sql.Identifier(name), sql.SQL((_TYPES | _OF_RANGES)[name])) for name in names
    )
    found = query(
        source,
        sql.SQL("select attname, {} from pg_stats where schemaname = %s and tablename = %s").format(wanted),
        *table.name,
    )
    columns = {attname: dict(zip(names, values, strict=True)) for attname, *values in found}
    return Statistics(version, columns) if columns.keys() >= {c.name for c in table.columns} else None


def give(target: Connection, name: TableName, known: Statistics | None, rows: int) -> None:
    """See that a table of the target has statistics; `rows` is how many it holds in its own file, 0 for a parent."""
    if known is None or not _restore(target, name, known, rows):
        # a parent without its children, which have theirs; before 18 that goes without saying
        only = "only " if not rows and target.info.server_version >= 180000 else ""
        target.execute(sql.SQL("analyze {}{}").format(sql.SQL(only), name.identifier))


def _restore(target: Connection, name: TableName, known: Statistics, rows: int) -> bool:
    """Give a table these statistics, and return whether the target took them all and it needs no others."""
    others = (  # those of expressions and of columns together, which only ANALYZE gathers
        "select from pg_statistic_ext where stxrelid = %s::regclass"
        " union all select from pg_index where indrelid = %s::regclass and indexprs is not null"
    )
    if query(target, others, *[name.identifier.as_string(target)] * 2):
        return False
    place = {
        "schemaname": (name.schema, "text"),
        "relname": (name.table, "text"),
        "version": (known.version, "integer"),
    }
    calls = [
        _call(
            "pg_restore_attribute_stats",
            place
            | {"attname": (column, "text"), "inherited": (not rows, "boolean")}
            | {each: (value, (_TYPES | _OF_RANGES)[each]) for each, value in values.items() if value is not None},
        )
        for column, values in known.columns.items()
    ]
    if rows:
        pages = scalar(
            target,
            "select pg_relation_size(%s::regclass) / current_setting('block_size')::int",
            name.identifier.as_string(target),
        )
        size = {"relpages": (pages, "integer"), "reltuples": (rows, "real"), "relallvisible": (pages, "integer")}
        calls.append(_call("pg_restore_relation_stats", place | size))
    return bool(scalar(target, sql.SQL("select true = all (array[{}])").format(sql.SQL(", ").join(calls))))


def _call(function: str, arguments: dict[str, tuple[Any, str]]) -> sql.Composed:
    pairs = [
        sql.SQL("{}, {}::{}").format(sql.Literal(name), sql.Literal(value), sql.SQL(kind))
        for name, (value, kind) in arguments.items()
    ]
    return sql.SQL("{}({})").format(sql.SQL(function), sql.SQL(", ").join(pairs))
