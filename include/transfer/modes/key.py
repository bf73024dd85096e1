"""Changed, new and deleted rows of a table with a key, found by hashes that each server computes of its own rows.

Rows fall into ranges of about ten by their key, and of every range both sides give one number, the XOR of its rows'
hashes. Where the numbers differ, both sides give the hash of each row and its place; what only the source
has is fetched from its place there, what only the target has is deleted at its place here. So one scan of each side,
the ranges (0.8 bytes a row) and the hashes of the ranges that differ travel, and then the changed rows themselves.

Ten rows a range is where the ranges' and the rows' hashes cost the fewest bytes together when 1% of the rows changed.
A range is a stretch of the key's first column where that is an integer: rows that lie together then fall into the same
range, and grouping 3 million of them takes 0.9 s. The few ranges that differ are found by the key's index then, without
a second scan. Otherwise a range is a part of the hashes of the key, which suits every type and distribution but touches
memory at random: 2.4 s.
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from psycopg import sql

from include.postgres import Connection, query
from include.transfer.catalog import Table
from include.transfer.row_hash import row_hash
from include.transfer.session import older_version
from include.transfer.side_by_side import Reading, side_by_side
from include.transfer.stream import Progress, copy_statements, pump

_ROWS_A_RANGE = 10
_RANGES_A_CHUNK = 1024  # ranges that travel as one value, a power of two
_TOO_MANY = 0.8  # share of ranges that differ from which on a full refresh is cheaper
_FEW, _FEW_IN_ORDER = 0.005, 0.1  # share up to which the index is cheaper than a scan, the latter when rows lie by key
_MOST_RANGES = 2**31  # their numbers are integers
_FETCH = 20_000  # rows deleted or fetched by one statement

_HERE = ("", "localhost", "127.0.0.1", "::1")

# the chunks are sorted when they are made, or the planner would sort all rows
_IN_ORDER = sql.SQL("with chunks as materialized ({}) select * from chunks order by chunk")
# a range's number within its chunk takes the place of the hash's last bits
_RANGES = sql.SQL(
    "select number / {chunk} as chunk, sum(rows)::bigint,"
    " string_agg(int8send((hash & -{chunk}) | (number % {chunk})), ''::bytea)"
    " from (select {number} as number, bit_xor({row}) as hash, count(*) as rows from {table} group by 1) ranges"
    " group by 1"
)
_ROWS_BY_SCAN = sql.SQL(
    "select number / {chunk} as chunk, string_agg(int8send(hash) || tidsend(ctid), ''::bytea)"
    " from (select {number} as number, {row} as hash, ctid from {table}"
    " where {number} = any({numbers}::int[])) differing group by 1"
)
# offset 0: each stretch is looked up by itself, whatever the planner, which takes it for long, would rather do
_ROWS_BY_INDEX = sql.SQL(
    "select number / {chunk} as chunk, string_agg(int8send(hash) || tidsend(ctid), ''::bytea)"
    " from unnest({lows}::bigint[], {highs}::bigint[]) stretch(low, high), lateral (select {number} as number,"
    " {row} as hash, ctid from {table} stored where {column} between stretch.low and stretch.high offset 0) differing"
    " group by 1"
)


@dataclass(frozen=True)
class Ranges:
    """How rows fall into ranges: the SQL of a row's range number, an int, and what an integer key adds to it."""

    number: sql.Composable
    column: sql.Identifier | None = None  # of which a range is a stretch
    width: int = 1
    first: int = 0  # the column's values by the width, of range 0
    few: float = 0.0  # share of the ranges up to which their rows are cheaper to find by the key's index

    def stretch(self, number: int) -> tuple[int, int]:
        """Return the least and the greatest value in a range. Around 0 it is wider, since division rounds to zero."""
        place = number + self.first
        low = place * self.width if place > 0 else (place - 1) * self.width + 1
        high = (place + 1) * self.width - 1 if place >= 0 else place * self.width
        return max(low, -(2**63)), min(high, 2**63 - 1)


@dataclass
class Compared:
    """What a comparison did."""

    rows: int  # in the target afterwards
    changed: int  # new, changed and deleted rows, a changed one counted once on each side it was found
    bytes: int  # that came from the source


@dataclass
class Rows:
    """Rows of one side: their hashes, and their places in the table's file (block and line)."""

    hashes: array[int] = field(default_factory=lambda: array("q"))
    places: array[int] = field(default_factory=lambda: array("Q"))

    def add(self, hashed: bytes, place: bytes) -> None:
        self.hashes.append(int.from_bytes(hashed, "big", signed=True))
        self.places.append(int.from_bytes(place, "big"))


@dataclass
class Difference:
    """How many rows each side has, and which only one side has."""

    source_rows: int = 0
    target_rows: int = 0
    bytes: int = 0
    fetch: Rows = field(default_factory=Rows)
    delete: Rows = field(default_factory=Rows)


def bring_up_to_date(
    source: Connection, target: Connection, table: Table, existing: Table, rows: int, progress: Progress
) -> Compared | str:
    """Make the target's rows those of the source, or return why the table must be refreshed in full.

    The caller keeps other writers away from the target and holds one snapshot of the source. `rows`: about how many.
    """
    store = existing.stores[0] if existing.stores else existing.name
    _prepare(source, target)
    difference = _differences(source, target, table, existing, rows, progress)
    if difference is None:
        return "most rows differ"
    deleted, fetched, size = 0, 0, difference.bytes
    hashed = row_hash(table.columns, older_version(source, target))
    for where in _places(difference.delete, hashed if len(existing.stores) > 1 else None):
        deleted += target.execute(sql.SQL("delete from {} where {}").format(existing.name.identifier, where)).rowcount
    for where in _places(difference.fetch, hashed if table.kind == "p" else None):
        out, into = copy_statements(table, store, where)
        copied, taken = pump(source, out, target, into, progress)
        fetched += copied
        size += taken
    have = difference.target_rows - deleted + fetched
    if (deleted, fetched) != (
        len(difference.delete.places),
        len(difference.fetch.places),
    ) or have != difference.source_rows:
        return (
            f"{have} rows in the target after the comparison, {difference.source_rows} in the source"
            f" ({deleted} of {len(difference.delete.places)} deleted,"
            f" {fetched} of {len(difference.fetch.places)} fetched)"
        )
    return Compared(have, fetched + deleted, size)


def _prepare(source: Connection, target: Connection) -> None:
    """Set both sides for grouping in memory, and share the cores where both servers are on this machine.

    The planner can't know how few ranges there are, and would rather sort all rows on disk. Two servers with two
    workers each on two cores take a sixth longer than with none.
    """
    here = all(each.info.host.startswith("/") or each.info.host in _HERE for each in (source, target))
    workers = max(0, (os.cpu_count() or 1) // 2 - 1) if here else None
    for connection in (source, target):
        connection.execute("set local work_mem = '128MB'; set local enable_sort = off")
        if workers is not None:
            query(
                connection,
                "select set_config(name, least(setting::int, %s)::text, true) from pg_settings"
                " where name = 'max_parallel_workers_per_gather'",
                workers,
            )


def _differences(
    source: Connection, target: Connection, table: Table, existing: Table, rows: int, progress: Progress
) -> Difference | None:
    ranges = _ranges(source, target, table, existing, rows)
    parts = {
        "number": ranges.number,
        "row": row_hash(table.columns, older_version(source, target)),
        "chunk": sql.Literal(_RANGES_A_CHUNK),
    }

    def both(statement: sql.SQL, **more: sql.Composable) -> Iterator[tuple[int, Any, Any]]:
        ours, theirs = (
            _IN_ORDER.format(statement.format(**parts, **more, table=each.name.identifier))
            for each in (table, existing)
        )
        return side_by_side(Reading(source, ours), Reading(target, theirs))

    found = Difference()
    differing = array("i")
    total = 0
    for chunk, ours, theirs in both(_RANGES):
        (source_rows, source_hashes), (target_rows, target_hashes) = ours or (0, b""), theirs or (0, b"")
        found.source_rows += source_rows
        found.target_rows += target_rows
        found.bytes += len(source_hashes)
        progress(0, len(source_hashes))
        total += max(len(source_hashes), len(target_hashes)) // 8
        here, there = (set(_cut(hashes, "8s")) for hashes in (source_hashes, target_hashes))
        places = {int.from_bytes(each[6:], "big") % _RANGES_A_CHUNK for each in here ^ there}
        differing.extend(chunk * _RANGES_A_CHUNK + place for place in places)
    if len(differing) > _TOO_MANY * total and total > _RANGES_A_CHUNK:
        return None
    if not differing:
        return found
    if ranges.column is not None and len(differing) <= ranges.few * total:
        ordered = array("i", sorted(differing))
        lows, highs = (_array(ranges.stretch(number)[end] for number in ordered) for end in (0, 1))
        rows_of = both(_ROWS_BY_INDEX, column=ranges.column, lows=lows, highs=highs)
    else:
        rows_of = both(_ROWS_BY_SCAN, numbers=_array(differing))
    for _, ours, theirs in rows_of:
        at_source, at_target = (_places_by_hash(each[0] if each else b"") for each in (ours, theirs))
        found.bytes += len(ours[0]) if ours else 0
        for hashed in at_source.keys() - at_target.keys():
            found.fetch.add(hashed, at_source[hashed])
        for hashed in at_target.keys() - at_source.keys():
            found.delete.add(hashed, at_target[hashed])
    return found


def _ranges(source: Connection, target: Connection, table: Table, existing: Table, rows: int) -> Ranges:
    ranges = max(1, rows // _ROWS_A_RANGE)
    lead = next(c for c in table.columns if c.name == table.key[0])
    column = sql.Identifier(lead.name)
    known = _spread(target, existing, lead.name, rows) if lead.base in ("smallint", "integer", "bigint") else None
    if known is not None:
        width, few = known
        ends = sql.SQL("select min({0}), max({0}) from {1}")
        found = [
            *query(source, ends.format(column, table.name.identifier)),
            *query(target, ends.format(column, existing.name.identifier)),
        ]
        values = [value for each in found for value in each if value is not None]
        if values and (max(values) - min(values)) // width < _MOST_RANGES:
            first = abs(min(values)) // width * (1 if min(values) > 0 else -1)  # rounded to zero, as SQL does
            number = sql.SQL("({}::bigint / {}::bigint - {}::bigint)::int").format(
                column,
                sql.Literal(str(width)),
                sql.Literal(str(first)),  # in quotes, or a minus would come after the cast
            )
            return Ranges(number, column, width, first, few if table.kind == "r" else 0.0)
    key = row_hash([c for c in table.columns if c.name in table.key], older_version(source, target))
    return Ranges(sql.SQL("({} & {})::int").format(key, sql.Literal((1 << (ranges.bit_length() - 1)) - 1)))


def _spread(target: Connection, existing: Table, column: str, rows: int) -> tuple[int, float] | None:
    """Return how many values of an indexed integer column hold about ten rows, and `Ranges.few`.

    The column's histogram tells it: each of its stretches holds as many rows as the others, so the median stretch
    says how dense most rows lie, however far away a few are. None where a value has too many rows: a thousand of the
    index are asked, for the catalog's n_distinct is far too low where equal values lie together.
    """
    known = query(
        target,
        "select histogram_bounds::text::bigint[], correlation from pg_stats s"
        " where schemaname = %s and tablename = %s and attname = %s and exists (select from pg_index i"
        " join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0] where a.attname = s.attname"
        " and i.indrelid = format('%%I.%%I', schemaname, tablename)::regclass"
        " and i.indisunique and i.indisvalid and i.indpred is null)"
        " order by inherited desc limit 1",
        *(*(existing.stores[0] if len(existing.stores) == 1 else existing.name), column),
    )
    if not known or not known[0][0]:
        return None
    bounds, correlation = known[0]
    thousand = sql.SQL("select {0} from {1} where {0} >= {2} order by {0} limit 1000").format(
        sql.Identifier(column), existing.name.identifier, sql.Literal(bounds[len(bounds) // 2])
    )
    values = [value for (value,) in query(target, thousand)]
    if len(values) > 2 * _ROWS_A_RANGE * len(set(values)):
        return None
    stretches = sorted(high - low for low, high in pairwise(bounds))
    width = stretches[len(stretches) // 2] * len(stretches) * _ROWS_A_RANGE // max(1, rows)
    return min(max(1, width), 2**63 - 1), _FEW_IN_ORDER if abs(correlation or 0) > 0.9 else _FEW


def _array(numbers: Iterable[int]) -> sql.Literal:
    return sql.Literal("{" + ",".join(map(str, numbers)) + "}")


def _cut(packed: bytes, layout: str) -> tuple[bytes, ...]:
    """Return the pieces of a layout that repeats. They are compared as bytes: most are equal, and then never read."""
    return struct.unpack(layout * (len(packed) // struct.calcsize(layout)), packed)


def _places_by_hash(packed: bytes) -> dict[bytes, bytes]:
    pieces = _cut(packed, "8s6s")
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def _places(rows: Rows, hashed: sql.Composable | None) -> Iterator[sql.Composable]:
    """Yield conditions for the rows, a statement's worth each.

    Where several files make up a table, the same place is in each of them, and a row is told by its hash as well.
    """
    for start in range(0, len(rows.places), _FETCH):
        stop = start + _FETCH
        tids = ",".join(f'"({place >> 16},{place & 0xFFFF})"' for place in rows.places[start:stop])
        where: sql.Composable = sql.SQL("ctid = any({}::tid[])").format(sql.Literal("{" + tids + "}"))
        if hashed is not None:
            hashes = sql.Literal(list(rows.hashes[start:stop]))
            where = sql.SQL("{} and {} = any({}::bigint[])").format(where, hashed, hashes)
        yield where
