"""Ranges of a key: how mode `key` divides a table's rows into groups of about ten, in the same way on both sides.

A range is an interval of the key's first column where that is an integer: rows that lie together then fall into the
same range, and grouping 3 million of them takes 0.9 s. The rows of a few ranges are found by the key's index, without a
second scan. Otherwise a range is a part of the hashes of the key, which suits every type and distribution but touches
memory at random: 2.4 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from psycopg import sql

from include.postgres import query
from include.transfer.catalog import Table
from include.transfer.row_hash import row_hash
from include.transfer.session import older_version
from include.transfer.table_pair import TablePair

# With ten rows in a range, the hashes of all ranges and of the rows in the ranges that differ are the fewest bytes
# together when 1% of the rows have changed.
_ROWS_PER_RANGE = 10
_MOST_RANGES = 2**31  # a range's number is an integer
_LEAST, _GREATEST = -(2**63), 2**63 - 1  # of a bigint

# Share of the ranges up to which their rows are found faster by the index than by another scan. It is larger where the
# rows lie in the order of the key, because the rows of a range are on one page then.
_INDEX_SHARE, _INDEX_SHARE_IN_ORDER = 0.005, 0.1


@dataclass(frozen=True)
class Ranges:
    """How rows fall into ranges: the SQL of a row's range number, and what an interval of an integer key needs.

    With width 100 and first 7, range 0 holds the keys 700 to 799, range 1 those from 800 to 899.
    """

    number: sql.Composable  # an int
    column: sql.Identifier | None = None  # of which a range is an interval, None where it is a part of the hashes
    width: int = 1
    first: int = 0  # range 0 starts at the key `first * width`
    index_share: float = 0.0

    def bounds(self, number: int) -> tuple[int, int]:
        """Return the least and the greatest key of a range."""
        quotient = number + self.first
        # SQL's division rounds to zero: with width 100, the keys from -99 to 99 all have the quotient 0
        low = quotient * self.width if quotient > 0 else (quotient - 1) * self.width + 1
        high = (quotient + 1) * self.width - 1 if quotient >= 0 else quotient * self.width
        return max(low, _LEAST), min(high, _GREATEST)


def choose_ranges(pair: TablePair, existing: Table, rows: int) -> Ranges:
    """Return ranges for the rows of both sides; `rows` is about how many a side has."""
    lead = next(c for c in pair.table.columns if c.name == pair.table.key[0])
    if lead.base in ("smallint", "integer", "bigint"):
        ranges = _intervals(pair, existing, lead.name, rows)
        if ranges is not None:
            return ranges
    version = older_version(pair.source, pair.target)
    key = row_hash([c for c in pair.table.columns if c.name in pair.table.key], version)
    # the hash's last bits, as many as give the power of two below the number of ranges wanted
    mask = (1 << (max(1, rows // _ROWS_PER_RANGE).bit_length() - 1)) - 1
    return Ranges(sql.SQL("({} & {})::int").format(key, sql.Literal(mask)))


def _intervals(pair: TablePair, existing: Table, column: str, rows: int) -> Ranges | None:
    """Return intervals of an integer column, None where its values are too few, too many or too far apart."""
    density = _density(pair, existing, column, rows)
    if density is None:
        return None
    width, index_share = density
    name = sql.Identifier(column)
    ends = sql.SQL("select min({0}), max({0}) from {1}")
    found = [
        *query(pair.source, ends.format(name, pair.table.name.identifier)),
        *query(pair.target, ends.format(name, existing.name.identifier)),
    ]
    values = [value for row in found for value in row if value is not None]
    if not values or (max(values) - min(values)) // width >= _MOST_RANGES:
        return None
    first = abs(min(values)) // width * (1 if min(values) > 0 else -1)  # rounded to zero, as SQL does
    number = sql.SQL("({}::bigint / {}::bigint - {}::bigint)::int").format(
        name,
        sql.Literal(str(width)),
        sql.Literal(str(first)),  # as text: in -5::bigint the minus comes after the cast, which -(2^63) doesn't survive
    )
    return Ranges(number, name, width, first, index_share if pair.table.kind == "r" else 0.0)


def _density(pair: TablePair, existing: Table, column: str, rows: int) -> tuple[int, float] | None:
    """Return how wide an interval of the column holds about ten rows, and `Ranges.index_share`.

    The target's histogram of the column says it: each of its buckets holds as many rows as the others, so the median
    bucket says how dense most rows lie, however far away a few of them are. Returns None where the column has no
    histogram or no unique index, or where one value has too many rows.
    """
    row_table = existing.child_tables[0] if len(existing.child_tables) == 1 else existing.name
    found = query(
        pair.target,
        "select histogram_bounds::text::bigint[], correlation from pg_stats s"
        " where schemaname = %s and tablename = %s and attname = %s and exists (select from pg_index i"
        " join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0] where a.attname = s.attname"
        " and i.indrelid = format('%%I.%%I', schemaname, tablename)::regclass"
        " and i.indisunique and i.indisvalid and i.indpred is null)"
        " order by inherited desc limit 1",
        *(*row_table, column),
    )
    if not found or not found[0][0]:
        return None
    bounds, correlation = found[0]
    # A thousand keys from the middle of the index say how many rows share a value. The catalog's n_distinct is far too
    # low where equal values lie together.
    sample = sql.SQL("select {0} from {1} where {0} >= {2} order by {0} limit 1000").format(
        sql.Identifier(column), existing.name.identifier, sql.Literal(bounds[len(bounds) // 2])
    )
    values = [value for (value,) in query(pair.target, sample)]
    if len(values) > 2 * _ROWS_PER_RANGE * len(set(values)):
        return None
    buckets = sorted(high - low for low, high in pairwise(bounds))
    width = buckets[len(buckets) // 2] * len(buckets) * _ROWS_PER_RANGE // max(1, rows)
    in_order = abs(correlation or 0) > 0.9
    return min(max(1, width), _GREATEST), _INDEX_SHARE_IN_ORDER if in_order else _INDEX_SHARE
