"""Rows that were committed since the last snapshot, told by the column that holds their transaction's id.

The watermark is a whole pg_snapshot, not a highest value: a row travels when its transaction was invisible to the last
snapshot, however old its id. So a transaction that was open during the last read is not lost, and none comes twice.
"""

from __future__ import annotations

from psycopg import sql

from include.transfer.both import ask_both
from include.transfer.catalog import Table
from include.transfer.names import TableName
from include.transfer.session import Connection, query
from include.transfer.stream import Progress, copy_statements, pump


def current_watermark(source: Connection) -> str:
    """Return the open snapshot of the source as a watermark.

    A hot standby doesn't list the transactions that run on its primary, so there only what ended before the oldest of
    them counts as seen.
    """
    [(snapshot, standby)] = query(source, "select pg_current_snapshot()::text, pg_is_in_recovery()")
    oldest = snapshot.split(":")[0]
    return f"{oldest}:{oldest}:" if standby else snapshot


def covered(column: str, watermark: str) -> sql.Composed:
    """Return the condition for rows that the watermark covers: on a primary, all that its snapshot shows."""
    return sql.SQL("pg_visible_in_snapshot({}, {}::pg_snapshot) is not false").format(
        sql.Identifier(column), sql.Literal(watermark)
    )


def committed_between(column: str, old: str, new: str) -> sql.Composed:
    """Return the condition for rows that the watermark `new` covers and `old` did not."""
    name = sql.Identifier(column)
    return sql.SQL("{} >= {}::xid8 and not pg_visible_in_snapshot({}, {}::pg_snapshot) and {}").format(
        name, sql.Literal(old.split(":")[0]), name, sql.Literal(old), covered(column, new)
    )


def bring_up_to_date(
    source: Connection,
    target: Connection,
    table: Table,
    store: TableName,
    existing: Table,
    old: str,
    new: str,
    progress: Progress,
) -> tuple[int, int, int] | None:
    """Add what was committed between two watermarks; return rows in the target, rows added and bytes.

    Returns None when the counts differ afterwards: then rows were deleted, or written with another transaction's id.
    """
    out, into = copy_statements(table, store, committed_between(table.xid_column, old, new))
    added, size = pump(source, out, target, into, progress)
    count = sql.SQL("select count(*) from {} where {}")
    (in_source,), (rows,) = ask_both(
        source,
        count.format(table.name.identifier, covered(table.xid_column, new)),
        target,
        count.format(existing.name.identifier, sql.Literal(True)),
    )
    return (rows, added, size) if rows == in_source else None
