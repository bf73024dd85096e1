"""Mode `key`: rows that were changed, added or deleted, found by hashes that each server computes of its own rows.

The field calls it a hash comparison by key ranges. An example, with ranges of ten keys; since the last run row 17 was
updated and row 33 deleted in the source:

    1. Both sides group their rows by range and give the XOR of the rows' hashes.

           range       0        1        2        3
           source   a3...    5f...    77...    c0...
           target   a3...    91...    77...    2e...        ranges 1 and 3 differ

    2. Both sides give hash and ctid (the place in the table's file) of each row in the ranges that differ.

           source   range 1: 8e... at (4,2)                 row 17, as it is now
           target   range 1: d2... at (9,1)                 row 17, as it was
                    range 3: 40... at (9,7)                 row 33

    3. The target deletes the rows at (9,1) and (9,7), and the row at (4,2) is copied from the source.

So one scan of each side, 0.8 bytes per row for the ranges, the hashes of the ranges that differ, and the changed rows
themselves. See `row_hash` for the hashes and `key_ranges` for the ranges.
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from include.postgres import query
from include.transfer.catalog import Table
from include.transfer.key_ranges import Ranges, choose_ranges
from include.transfer.model import FullRefreshNeededError, Moved
from include.transfer.row_hash import row_hash
from include.transfer.session import older_version
from include.transfer.side_by_side import RowReader, merge_by_first_column
from include.transfer.stream import copy_statements, pump
from include.transfer.table_pair import TablePair

_RANGES_PER_CHUNK = 1024  # ranges that travel as one value, a power of two
_MOST_DIFFERING = 0.8  # share of the ranges from which on a full refresh is cheaper
_ROWS_PER_STATEMENT = 20_000  # deleted or fetched by their ctids
_THIS_MACHINE = ("", "localhost", "127.0.0.1", "::1")

# Materialized: the few chunks are sorted when they are made. Otherwise the planner would sort all rows before.
_SORTED = sql.SQL("with chunks as materialized ({}) select * from chunks order by chunk")

# Step 1, 8 bytes per range: the hash, in whose last bits stands the range's number within its chunk.
_RANGE_HASHES = sql.SQL(
    "select number / {chunk} as chunk, sum(rows)::bigint,"
    " string_agg(int8send((hash & -{chunk}) | (number % {chunk})), ''::bytea)"
    " from (select {number} as number, bit_xor({row}) as hash, count(*) as rows from {table} group by 1) ranges"
    " group by 1"
)
# Step 2, 14 bytes per row: the hash and the ctid (4 bytes of block, 2 of line).
_ROW_HASHES_BY_SCAN = sql.SQL(
    "select number / {chunk} as chunk, string_agg(int8send(hash) || tidsend(ctid), ''::bytea)"
    " from (select {number} as number, {row} as hash, ctid from {table}"
    " where {number} = any({numbers}::int[])) differing group by 1"
)
# OFFSET 0 is an optimisation fence: it forces one index lookup per range. The planner overestimates how many rows are
# in a range, and would rather scan the table.
_ROW_HASHES_BY_INDEX = sql.SQL(
    "select number / {chunk} as chunk, string_agg(int8send(hash) || tidsend(ctid), ''::bytea)"
    " from unnest({lows}::bigint[], {highs}::bigint[]) bounds(low, high), lateral (select {number} as number,"
    " {row} as hash, ctid from {table} stored where {column} between bounds.low and bounds.high offset 0) differing"
    " group by 1"
)


@dataclass
class _Rows:
    """Rows of one side: their hashes, and their ctids as block * 2^16 + line. Fourteen bytes per row."""

    hashes: array[int] = field(default_factory=lambda: array("q"))
    ctids: array[int] = field(default_factory=lambda: array("Q"))

    def add(self, hashed: bytes, ctid: bytes) -> None:
        self.hashes.append(int.from_bytes(hashed, "big", signed=True))
        self.ctids.append(int.from_bytes(ctid, "big"))


@dataclass
class _Difference:
    """What the comparison has found so far."""

    source_rows: int = 0
    target_rows: int = 0
    bytes: int = 0  # of hashes that came from the source
    ranges: int = 0  # about how many there are
    differing: array[int] = field(default_factory=lambda: array("i"))  # numbers of ranges
    fetch: _Rows = field(default_factory=_Rows)  # rows that only the source has
    delete: _Rows = field(default_factory=_Rows)  # rows that only the target has


@dataclass(frozen=True)
class _Comparison:
    """A table on both sides, and the SQL that both run over it."""

    pair: TablePair
    existing: Table
    ranges: Ranges
    row_hash: sql.Composable

    def run(self, statement: sql.SQL, **values: sql.Composable) -> Iterator[tuple[int, Any, Any]]:
        """Run a statement on both sides; yield the number of each chunk and what either side gives for it."""
        parts = {"number": self.ranges.number, "row": self.row_hash, "chunk": sql.Literal(_RANGES_PER_CHUNK), **values}
        in_source, in_target = (
            _SORTED.format(statement.format(**parts, table=table.name.identifier))
            for table in (self.pair.table, self.existing)
        )
        return merge_by_first_column(RowReader(self.pair.source, in_source), RowReader(self.pair.target, in_target))


def bring_up_to_date(pair: TablePair, existing: Table, rows: int) -> Moved:
    """Make the target's rows those of the source; `rows` is about how many a side has.

    The caller holds a lock that keeps other writers from the target's table. Raises FullRefreshNeededError where most
    rows differ, or where the figures don't add up afterwards.
    """
    _prepare(pair)
    ranges = choose_ranges(pair, existing, rows)
    hashed = row_hash(pair.table.columns, older_version(pair.source, pair.target))
    comparison = _Comparison(pair, existing, ranges, hashed)
    difference = _find_differing_ranges(comparison)
    if difference.differing:
        _find_differing_rows(comparison, difference)
    deleted, fetched, size = 0, 0, difference.bytes
    for where in _conditions(difference.delete, hashed if len(existing.child_tables) > 1 else None):
        delete = sql.SQL("delete from {} where {}").format(existing.name.identifier, where)
        deleted += pair.target.execute(delete).rowcount
    into = existing.child_tables[0] if existing.child_tables else existing.name
    for where in _conditions(difference.fetch, hashed if pair.table.kind == "p" else None):
        copy_to, copy_from = copy_statements(pair.table, into, where)
        copied = pump(pair.source, copy_to, pair.target, copy_from, pair.progress)
        fetched += copied.rows
        size += copied.bytes
    to_delete, to_fetch = len(difference.delete.ctids), len(difference.fetch.ctids)
    have = difference.target_rows - deleted + fetched
    if (deleted, fetched, have) != (to_delete, to_fetch, difference.source_rows):
        raise FullRefreshNeededError(
            f"{have} rows in the target after the comparison, {difference.source_rows} in the source"
            f" ({deleted} of {to_delete} deleted, {fetched} of {to_fetch} fetched)"
        )
    return Moved(have, fetched + deleted, size)


def _prepare(pair: TablePair) -> None:
    """Set both sides for grouping in memory, and share the cores where both servers are on this machine.

    The planner doesn't know how few ranges there are, and would sort all rows on disk. Two servers with two workers
    each on two cores take a sixth longer than with none.
    """
    hosts = [connection.info.host for connection in (pair.source, pair.target)]
    share_cores = all(host.startswith("/") or host in _THIS_MACHINE for host in hosts)
    for connection in (pair.source, pair.target):
        connection.execute("set local work_mem = '128MB'; set local enable_sort = off")
        if share_cores:
            query(
                connection,
                "select set_config(name, least(setting::int, %s)::text, true) from pg_settings"
                " where name = 'max_parallel_workers_per_gather'",
                max(0, (os.cpu_count() or 1) // 2 - 1),
            )


def _find_differing_ranges(comparison: _Comparison) -> _Difference:
    """Compare the hashes of all ranges. Raises FullRefreshNeededError where most of them differ."""
    difference = _Difference()
    for chunk, source_chunk, target_chunk in comparison.run(_RANGE_HASHES):
        source_rows, source_hashes = source_chunk or (0, b"")
        target_rows, target_hashes = target_chunk or (0, b"")
        difference.source_rows += source_rows
        difference.target_rows += target_rows
        difference.bytes += len(source_hashes)
        difference.ranges += max(len(source_hashes), len(target_hashes)) // 8
        comparison.pair.progress(0, len(source_hashes))
        # a range that only one side has, or whose hash differs, leaves at least one of its values in this set
        only_one_side = set(_split(source_hashes, "8s")) ^ set(_split(target_hashes, "8s"))
        numbers = {int.from_bytes(value[6:], "big") % _RANGES_PER_CHUNK for value in only_one_side}
        difference.differing.extend(chunk * _RANGES_PER_CHUNK + number for number in numbers)
    is_large = difference.ranges > _RANGES_PER_CHUNK
    if is_large and len(difference.differing) > _MOST_DIFFERING * difference.ranges:
        raise FullRefreshNeededError("most rows differ")
    return difference


def _find_differing_rows(comparison: _Comparison, difference: _Difference) -> None:
    """Compare the rows of the ranges that differ; add them to the rows to fetch and to delete."""
    ranges = comparison.ranges
    if ranges.column is not None and len(difference.differing) <= ranges.index_share * difference.ranges:
        numbers = array("i", sorted(difference.differing))  # ascending, so that the index is read from left to right
        lows, highs = (_array(ranges.bounds(number)[end] for number in numbers) for end in (0, 1))
        chunks = comparison.run(_ROW_HASHES_BY_INDEX, column=ranges.column, lows=lows, highs=highs)
    else:
        chunks = comparison.run(_ROW_HASHES_BY_SCAN, numbers=_array(difference.differing))
    for _, source_chunk, target_chunk in chunks:
        in_source, in_target = (_ctid_by_hash(chunk[0] if chunk else b"") for chunk in (source_chunk, target_chunk))
        difference.bytes += len(source_chunk[0]) if source_chunk else 0
        for hashed in in_source.keys() - in_target.keys():
            difference.fetch.add(hashed, in_source[hashed])
        for hashed in in_target.keys() - in_source.keys():
            difference.delete.add(hashed, in_target[hashed])


def _array(numbers: Iterable[int]) -> sql.Literal:
    return sql.Literal("{" + ",".join(map(str, numbers)) + "}")


def _split(packed: bytes, layout: str) -> tuple[bytes, ...]:
    """Return the pieces of a repeated struct layout. They stay bytes: most are equal, and are never read as numbers."""
    return struct.unpack(layout * (len(packed) // struct.calcsize(layout)), packed)


def _ctid_by_hash(packed: bytes) -> dict[bytes, bytes]:
    pieces = _split(packed, "8s6s")
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def _conditions(rows: _Rows, hashed: sql.Composable | None) -> Iterator[sql.Composable]:
    """Yield the WHERE conditions that find the rows, one per statement.

    `hashed`, the SQL of the row hash, is needed where several files make up the table: each has a row at that ctid.
    """
    for start in range(0, len(rows.ctids), _ROWS_PER_STATEMENT):
        stop = start + _ROWS_PER_STATEMENT
        ctids = ",".join(f'"({ctid >> 16},{ctid & 0xFFFF})"' for ctid in rows.ctids[start:stop])
        where: sql.Composable = sql.SQL("ctid = any({}::tid[])").format(sql.Literal("{" + ctids + "}"))
        if hashed is not None:
            hashes = sql.Literal(list(rows.hashes[start:stop]))
            where = sql.SQL("{} and {} = any({}::bigint[])").format(where, hashed, hashes)
        yield where
