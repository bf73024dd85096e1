"""Changed, new and deleted rows of a table with a key, found by hashes that each server computes of its own rows.

Rows fall into ranges of about ten by their key, and of every range both sides give one number, the XOR of its rows'
hashes. Where the numbers differ, both sides give the hash of each row and its place; what only the source
has is fetched from its place there, what only the target has is deleted at its place here. So one scan of each side,
the ranges (1.2 bytes a row) and the hashes of the ranges that differ travel, and then the changed rows themselves.

Ten rows a range is where the ranges' and the rows' hashes cost the fewest bytes together when 1% of the rows changed.
A range is a stretch of the key's first column where that is an integer: rows that lie together then fall into the same
range, and grouping 3 million of them takes 0.9 s. Otherwise it is a part of the hashes of the key, which suits every
type and distribution but touches memory at random: 2.8 s.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from psycopg import sql

from include.transfer.both import Reading, side_by_side
from include.transfer.catalog import Table
from include.transfer.fingerprint import row_hash
from include.transfer.session import Connection, older_version, query
from include.transfer.stream import Progress, copy_statements, pump

_ROWS_A_RANGE = 10
_RANGES_A_CHUNK = 1024  # ranges whose numbers travel as one value
_TOO_MANY = 0.8  # share of ranges that differ from which on a full refresh is cheaper
_MOST_RANGES = 2**31  # their numbers are integers
_FETCH = 20_000  # rows deleted or fetched by one statement

_RANGE = struct.Struct(">iq")
_ROW = struct.Struct(">qIH")


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

    def add(self, hashed: int, place: int) -> None:
        self.hashes.append(hashed)
        self.places.append(place)


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
    for connection in (source, target):
        connection.execute("set local work_mem = '128MB'")
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


def _differences(
    source: Connection, target: Connection, table: Table, existing: Table, rows: int, progress: Progress
) -> Difference | None:
    number = _range_number(source, target, table, existing, rows)
    parts = {
        "number": number,
        "row": row_hash(table.columns, older_version(source, target)),
        "chunk": sql.Literal(_RANGES_A_CHUNK),
    }
    found = Difference()
    differing = array("i")
    total = 0
    statement = sql.SQL(
        "select number / {chunk}, sum(rows)::bigint, string_agg(int4send(number) || int8send(hash), ''::bytea)"
        " from (select {number} as number, bit_xor({row}) as hash, count(*) as rows from {table} group by 1) ranges"
        " group by 1 order by 1"
    )
    for ours, theirs in side_by_side(
        Reading(source, statement.format(**parts, table=table.name.identifier)),
        Reading(target, statement.format(**parts, table=existing.name.identifier)),
    ):
        (source_rows, source_hashes), (target_rows, target_hashes) = ours or (0, b""), theirs or (0, b"")
        found.source_rows += source_rows
        found.target_rows += target_rows
        found.bytes += len(source_hashes)
        progress(0, len(source_hashes))
        total += max(len(source_hashes), len(target_hashes)) // _RANGE.size
        here, there = (set(_RANGE.iter_unpack(hashes)) for hashes in (source_hashes, target_hashes))
        differing.extend({each for each, _ in here ^ there})
    if len(differing) > _TOO_MANY * total and total > _RANGES_A_CHUNK:
        return None
    if not differing:
        return found
    parts["differing"] = sql.Literal("{" + ",".join(map(str, differing)) + "}")
    statement = sql.SQL(
        "select number / {chunk}, string_agg(int8send(hash) || tidsend(ctid), ''::bytea)"
        " from (select {number} as number, {row} as hash, ctid from {table}"
        " where {number} = any({differing}::int[])) differing"
        " group by 1 order by 1"
    )
    for ours, theirs in side_by_side(
        Reading(source, statement.format(**parts, table=table.name.identifier)),
        Reading(target, statement.format(**parts, table=existing.name.identifier)),
    ):
        at_source, at_target = (_unpack(each[0] if each else b"") for each in (ours, theirs))
        found.bytes += len(ours[0]) if ours else 0
        for hashed in at_source.keys() - at_target.keys():
            found.fetch.add(hashed, at_source[hashed])
        for hashed in at_target.keys() - at_source.keys():
            found.delete.add(hashed, at_target[hashed])
    return found


def _range_number(source: Connection, target: Connection, table: Table, existing: Table, rows: int) -> sql.Composable:
    """Return the SQL of the number of the range that a row falls into, an int from 0."""
    ranges = max(1, rows // _ROWS_A_RANGE)
    lead = next(c for c in table.columns if c.name == table.key[0])
    column = sql.Identifier(lead.name)
    width = _width(target, existing, lead.name, rows) if lead.base in ("smallint", "integer", "bigint") else None
    if width is not None:
        ends = sql.SQL("select min({0}), max({0}) from {1}")
        found = [
            *query(source, ends.format(column, table.name.identifier)),
            *query(target, ends.format(column, existing.name.identifier)),
        ]
        values = [value for each in found for value in each if value is not None]
        if values and (max(values) - min(values)) // width < _MOST_RANGES:
            first = abs(min(values)) // width * (1 if min(values) > 0 else -1)  # rounded to zero, as SQL does
            return sql.SQL("({}::bigint / {}::bigint - {}::bigint)::int").format(
                column,
                sql.Literal(str(width)),
                sql.Literal(str(first)),  # in quotes, or a minus would come after the cast
            )
    key = row_hash([c for c in table.columns if c.name in table.key], older_version(source, target))
    return sql.SQL("({} & {})::int").format(key, sql.Literal((1 << (ranges.bit_length() - 1)) - 1))


def _width(target: Connection, existing: Table, column: str, rows: int) -> int | None:
    """Return how many values of an integer column hold about ten rows, or None where it has too few values for that.

    The column's histogram tells it: each of its stretches holds as many rows as the others, so the median stretch
    says how dense most rows lie, however far away a few are.
    """
    known = query(
        target,
        "select n_distinct, histogram_bounds::text::bigint[] from pg_stats"
        " where schemaname = %s and tablename = %s and attname = %s order by inherited desc limit 1",
        *(*(existing.stores[0] if len(existing.stores) == 1 else existing.name), column),
    )
    if not known or (-0.05 <= known[0][0] <= rows / 20) or not known[0][1]:
        return None
    bounds = known[0][1]
    stretches = sorted(high - low for low, high in pairwise(bounds))
    width = stretches[len(stretches) // 2] * len(stretches) * _ROWS_A_RANGE // max(1, rows)
    return min(max(1, width), 2**63 - 1)


def _unpack(packed: bytes) -> dict[int, int]:
    return {hashed: block << 16 | line for hashed, block, line in _ROW.iter_unpack(packed)}


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
