"""Mode `append`: rows that were committed since the last run, found by the column that holds their transaction's id.

The watermark is a whole pg_snapshot, not a highest value. A row travels when its transaction was invisible to the last
run's snapshot, however old its id. So nothing is lost to a transaction that was open during the last run, and no row
comes twice. An example, with the watermark 101:104:101 (all before 101 had ended, 101 was open, 104 was not begun):

    a row of 99    the last run has read it
    a row of 101   was open during the last run; it travels now, although rows of 103 have travelled before
    a row of 103   had committed; the last run has read it
    a row of 104   began after the last run; it travels now
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from include.postgres import Connection, query
from include.transfer.catalog import Table
from include.transfer.model import FullRefreshNeededError, Moved
from include.transfer.side_by_side import ask_both
from include.transfer.stream import copy_statements, pump
from include.transfer.table_pair import TablePair


@dataclass(frozen=True)
class SnapshotWatermark:
    """How far a run reads: its snapshot of the source, as a watermark for the next run."""

    text: str  # a pg_snapshot: xmin:xmax:transactions that are open between them
    end: str  # the first transaction id that is not covered; rows from there on were written later or elsewhere
    covered: sql.Composed | None  # the condition for rows that it covers, None where it covers all that one sees


def current_watermark(source: Connection, column: str) -> SnapshotWatermark:
    """Return the open snapshot of the source as a watermark; `column` holds the transaction ids of the rows.

    A restored dump holds rows whose transaction ids this server has yet to assign. They count as covered, and as
    written long ago, like rows without an id.
    """
    [(snapshot, is_standby)] = query(source, "select pg_current_snapshot()::text, pg_is_in_recovery()")
    oldest_open, next_id, _ = snapshot.split(":")
    if not is_standby:
        return SnapshotWatermark(snapshot, next_id, None)
    # A hot standby doesn't know which transactions are open on its primary. So only what is older than the oldest of
    # them counts as covered; the rest, some of which one sees already, waits for the next run.
    covered = sql.SQL("({0} < {1}::xid8 or {0} >= {2}::xid8) is not false").format(
        sql.Identifier(column), sql.Literal(oldest_open), sql.Literal(next_id)
    )
    return SnapshotWatermark(f"{oldest_open}:{oldest_open}:", oldest_open, covered)


def committed_between(column: str, last: str, watermark: SnapshotWatermark) -> sql.Composed:
    """Return the condition for rows that the watermark covers and the last run's watermark did not."""
    # the first comparison is implied by the third; it is the one that an index or a scan decides cheaply
    return sql.SQL("{0} >= {1}::xid8 and {0} < {2}::xid8 and not pg_visible_in_snapshot({0}, {3}::pg_snapshot)").format(
        sql.Identifier(column), sql.Literal(last.split(":")[0]), sql.Literal(watermark.end), sql.Literal(last)
    )


def bring_up_to_date(pair: TablePair, existing: Table, last: str, watermark: SnapshotWatermark) -> Moved:
    """Add the rows that were committed between the last run's watermark and this one.

    Raises FullRefreshNeededError when the sides have different counts afterwards: then rows were deleted, or written
    with the id of another transaction. Also when the source is behind the last run: then it was restored from a copy of
    its disk, and gives new transactions the ids of those that it has lost, which the watermark takes for read.
    """
    if watermark.covered is None and int(watermark.end) < int(last.split(":")[1]):
        raise FullRefreshNeededError("the source's transaction ids are behind the last run's: it was restored")
    new = committed_between(pair.table.xid_column, last, watermark)
    covered = sql.SQL("") if watermark.covered is None else sql.SQL(" where {}").format(watermark.covered)
    # Both sides have to count all their rows anyway. The same scan of the source gives the least ctid of a new row;
    # new rows lie at the end of an append-only table, so the COPY that follows reads little more than them.
    (in_source, first), (in_target,) = ask_both(
        pair.source,
        sql.SQL("select count(*), (min(ctid) filter (where {}))::text from {}{}").format(
            new, pair.table.name.identifier, covered
        ),
        pair.target,
        sql.SQL("select count(*) from {}").format(existing.name.identifier),
    )
    added, size = 0, 0
    if first is not None:
        into = existing.child_tables[0] if existing.child_tables else existing.name
        from_first = sql.SQL("ctid >= {}::tid and {}").format(sql.Literal(first), new)
        copy_to, copy_from = copy_statements(pair.table, into, from_first)
        added, size = pump(pair.source, copy_to, pair.target, copy_from, pair.progress)
    if in_target + added != in_source:
        raise FullRefreshNeededError("rows were deleted or changed since the last run")
    return Moved(in_source, added, size)
