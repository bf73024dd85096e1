"""Rows that were committed since the last snapshot, told by the column that holds their transaction's id.

The watermark is a whole pg_snapshot, not a highest value: a row travels when its transaction was invisible to the last
snapshot, however old its id. So a transaction that was open during the last read is not lost, and none comes twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from include.postgres import Connection, query
from include.transfer.catalog import Table
from include.transfer.side_by_side import ask_both
from include.transfer.stream import Progress, copy_statements, pump


@dataclass(frozen=True)
class Moment:
    """A snapshot of the source: what it covers, as a watermark to keep, and the rows it shows but doesn't cover."""

    watermark: str
    before: str  # transactions from this one on are not covered, or wrote on another server
    condition: sql.Composed | None  # for the rows that it covers; None when those are all that it shows


def current_moment(source: Connection, column: str) -> Moment:
    """Return the open snapshot of the source; `column` holds the rows' transactions.

    A hot standby doesn't list the transactions that run on its primary, so there only what ended before the oldest of
    them counts as seen. Rows of transactions that this server has yet to number were written on another one, before a
    dump was restored here: they count as seen, and as rows of long ago.
    """
    [(snapshot, standby)] = query(source, "select pg_current_snapshot()::text, pg_is_in_recovery()")
    oldest, unborn, _ = snapshot.split(":")
    if not standby:
        return Moment(snapshot, unborn, None)
    condition = sql.SQL("({0} < {1}::xid8 or {0} >= {2}::xid8) is not false").format(
        sql.Identifier(column), sql.Literal(oldest), sql.Literal(unborn)
    )
    return Moment(f"{oldest}:{oldest}:", oldest, condition)


def committed_between(column: str, old: str, moment: Moment) -> sql.Composed:
    """Return the condition for rows that the moment covers and the watermark `old` did not."""
    return sql.SQL("{0} >= {1}::xid8 and {0} < {2}::xid8 and not pg_visible_in_snapshot({0}, {3}::pg_snapshot)").format(
        sql.Identifier(column), sql.Literal(old.split(":")[0]), sql.Literal(moment.before), sql.Literal(old)
    )


def bring_up_to_date(
    source: Connection,
    target: Connection,
    table: Table,
    existing: Table,
    old: str,
    moment: Moment,
    progress: Progress,
) -> tuple[int, int, int] | None:
    """Add what was committed between a watermark and a moment; return rows in the target, rows added and bytes.

    Both sides count all their rows, and the source's scan for that also tells from which place on the new ones lie,
    which is near the end of an append-only table. Returns None when the counts differ afterwards: then rows were
    deleted, or written with another transaction's id.
    """
    new = committed_between(table.xid_column, old, moment)
    covered = sql.SQL("") if moment.condition is None else sql.SQL(" where {}").format(moment.condition)
    (in_source, first), (in_target,) = ask_both(
        source,
        sql.SQL("select count(*), (min(ctid) filter (where {}))::text from {}{}").format(
            new, table.name.identifier, covered
        ),
        target,
        sql.SQL("select count(*) from {}").format(existing.name.identifier),
    )
    added, size = 0, 0
    if first is not None:
        store = existing.stores[0] if existing.stores else existing.name
        behind = sql.SQL("ctid >= {}::tid and {}").format(sql.Literal(first), new)
        out, into = copy_statements(table, store, behind)
        added, size = pump(source, out, target, into, progress)
    rows = in_target + added
    return (rows, added, size) if rows == in_source else None
