"""Rows that were committed since the last snapshot, told by the column that holds their transaction's id.

The watermark is a whole pg_snapshot, not a highest value: a row travels when its transaction was invisible to the last
snapshot, however old its id. So a transaction that was open during the last read is not lost, and none comes twice.
"""

from __future__ import annotations

from psycopg import sql

from include.transfer.session import Connection, query


def current_watermark(source: Connection) -> str:
    """Return the open snapshot of the source as a watermark.

    A hot standby doesn't list the transactions that run on its primary, so there only what ended before the oldest of
    them counts as seen.
    """
    [(snapshot, standby)] = query(source, "select pg_current_snapshot()::text, pg_is_in_recovery()")
    oldest = snapshot.split(":")[0]
    return f"{oldest}:{oldest}:" if standby else snapshot


def committed_between(column: str, old: str | None, new: str) -> sql.Composed:
    """Return the condition for rows that the snapshot `new` sees and `old` did not (with None: all that `new` sees)."""
    name = sql.Identifier(column)
    seen = sql.SQL("pg_visible_in_snapshot({}, {}::pg_snapshot)").format(name, sql.Literal(new))
    if old is None:
        return seen
    return sql.SQL("{} >= {}::xid8 and not pg_visible_in_snapshot({}, {}::pg_snapshot) and {}").format(
        name, sql.Literal(old.split(":")[0]), name, sql.Literal(old), seen
    )
