"""Mode `full`: all rows of the source into fresh child tables, then a switch that lasts milliseconds.

The rows are copied with FREEZE into a table that the same transaction has created (a child table, in the schema
`transfer`). The keys and indexes are built when the rows are in, and statistics are gathered. Only then is the target
table locked and switched: it becomes the inheritance parent of the new child table, and the old one is dropped.
Everything commits at once, so a failure at any moment leaves the old rows and nothing else. A table that is new in the
target needs no switch and holds its rows itself. The modes `append` and `key` write where the rows are.

A big table is cut into ranges of its file, which several pairs of connections copy at once, each into a child table of
its own. Only the transaction that made a table may freeze what it copies, so these child tables commit before the
switch; what a killed run leaves of them, the next run drops. Each child table has a key of its own, and nothing checks
that a key stands in one of them alone. The source does: its unique index covers the whole table.

Why a parent with children. The target table must keep its OID, for on it hang views, grants, policies, comments,
extended statistics, some of them other people's. Measured with two readers on a view of the table, one
million rows, three refreshes (lock and DDL, longest wait of a reader):

    inherit (this)            2 ms     35 ms   nothing to restore
    one default partition     2 ms     35 ms   can't take a table that exists, and every unique key must hold the
                                               partition's column; nothing gained over inherit
    rename, views replaced    1 s    1,004 ms  readers and the switch deadlock: a reader locks the view, then its table;
                                               and views of others, policies, grants, materialized views need restoring
    TRUNCATE and COPY         -               readers wait as long as the load takes
    DELETE and COPY           -               no wait, but every row twice on disk, and keys kept up row by row
    a view as the table       -               policies and statistics can't hang on a view

What it costs: `select from only` sees nothing, dropping the table needs CASCADE, a plan shows the child table's name,
joins lose the proof that a key is unique, and a publication of this one table misses child tables that come after it.

Rows are frozen, so a transaction that took its snapshot before the switch and reads the table after it sees the new
rows. Rows with an ordinary xmin would be invisible to it, and it would read an empty table.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import NamedTuple

from psycopg import sql

from include.postgres import Connection, scalar
from include.transfer import child_tables, statistics
from include.transfer.catalog import Table
from include.transfer.definition import add_keys_and_indexes, create_table
from include.transfer.model import TableName, TransferInterruptedError
from include.transfer.session import clone_connection, reading
from include.transfer.stream import Progress, copy_statements, pump
from include.transfer.table_pair import TablePair

_MOST_RANGES = 4  # ranges of one table that are copied at once
_LEAST_RANGE = 48 * 1024 * 1024  # bytes of a range that are worth connections of their own


@dataclass
class Loaded:
    """Rows that are in the target, and the child tables that hold them until the switch."""

    child_tables: list[TableName]  # empty where the table itself was new and holds its rows
    rows: int
    bytes: int
    notes: list[str]  # what was left out
    statistics: statistics.Statistics | None  # of the rows, where the source has them


@dataclass(frozen=True)
class _Load:
    """What all ranges of a table have in common."""

    table: Table  # the source's
    wanted: Table  # what the tables with the rows look like
    where: sql.Composable | None
    statistics: statistics.Statistics | None
    progress: Progress


class _Filled(NamedTuple):
    """What was copied into one table."""

    rows: int
    bytes: int
    notes: list[str]


class _FilledRange(NamedTuple):
    """What was copied of one range, and the file of the source's table that it was read from."""

    filled: _Filled
    filenode: int


def load(pair: TablePair, where: sql.Composable | None) -> Loaded:
    """Copy all rows into fresh tables, and make their keys, indexes and statistics.

    `where` leaves out rows that the table's watermark doesn't cover yet. Afterwards the target table exists. Where
    there are child tables, it is empty or has its old rows until the switch.
    """
    target, name = pair.target, pair.name
    source_statistics = statistics.read(pair.source, target, pair.table)
    # the values of a generated column arrive as the source computed them
    plain = tuple(replace(c, generated="", default=None) if c.generated else c for c in pair.table.columns)
    wanted = replace(pair.table, columns=plain)
    merged = wanted if pair.existing is None else _merge(wanted, pair.existing)
    job = _Load(pair.table, merged, where, source_statistics, pair.progress)
    ranges = _file_ranges(pair.source, pair.table)
    if len(ranges) == 1 and pair.existing is None:
        notes = create_table(target, name, wanted, as_child=False)
        filled = _fill(pair.source, target, job, name, named=True)
        return Loaded([], filled.rows, filled.bytes, notes + filled.notes, source_statistics)
    children = [child_tables.new_name(name) for _ in ranges]
    if len(ranges) == 1:
        notes = create_table(target, children[0], merged, as_child=True)
        filled = _fill(pair.source, target, job, children[0], named=False)
        return Loaded(children, filled.rows, filled.bytes, notes + filled.notes, source_statistics)
    filled = _load_ranges(pair, job, dict(zip(children, ranges, strict=True)))
    notes = filled.notes
    if pair.existing is None:
        notes = create_table(target, name, wanted, as_child=False)
        notes += add_keys_and_indexes(target, name, pair.table, named=True)
    return Loaded(children, filled.rows, filled.bytes, notes, source_statistics)


def _merge(table: Table, existing: Table) -> Table:
    """Return the source's table with what stays of the target's: columns that the source dropped, and own indexes."""
    columns = {c.name: c for c in table.columns}
    in_order_of_target = [
        columns.pop(c.name) if c.name in columns else replace(c, not_null=False, identity=False)
        for c in existing.columns
    ]
    of_source = {index.definition for index in table.indexes}
    # a unique index that the source lacks would refuse the source's rows
    own = tuple(index for index in existing.indexes if index.definition not in of_source and not index.unique)
    return replace(table, columns=(*in_order_of_target, *columns.values()), indexes=table.indexes + own)


def _file_ranges(source: Connection, table: Table) -> list[sql.Composable | None]:
    """Return conditions that cut a big table into ranges of its file, up to one per core; [None] for any other."""
    parts = min(_MOST_RANGES, os.cpu_count() or 1, table.bytes // _LEAST_RANGE)
    # before 14 a condition on ctid doesn't limit what a scan reads
    if table.kind != "r" or table.has_children or parts < 2 or source.info.server_version < 140000:
        return [None]
    blocks = table.bytes // int(scalar(source, "select current_setting('block_size')"))
    edges = [sql.Literal(f"({blocks * part // parts},0)") for part in range(parts)]
    lower = [sql.SQL("ctid >= {}::tid").format(edge) for edge in edges]
    # the last range is open: the table may have grown since its size was read
    upper = [sql.SQL(" and ctid < {}::tid").format(edge) for edge in edges[1:]]
    return [low + high for low, high in zip(lower, [*upper, sql.SQL("")], strict=True)]


def _load_ranges(pair: TablePair, job: _Load, ranges: dict[TableName, sql.Composable | None]) -> _Filled:
    """Fill one child table per range, all at once, each on connections of its own; each of them commits.

    When one fails, the others are stopped and its error is raised.
    """
    snapshot = scalar(pair.source, "select pg_export_snapshot()")
    failures: list[BaseException] = []  # the first is the cause; those after it come from being stopped

    def progress(rows: int, size: int) -> None:
        if failures:
            raise TransferInterruptedError(f"{pair.name}: another range of the table failed")
        pair.progress(rows, size)

    def fill(child: TableName, where: sql.Composable | None) -> _FilledRange:
        """Fill one child table and commit it: only the transaction that made it may freeze its rows."""
        try:
            with (
                clone_connection(pair.source, "source") as reader,
                clone_connection(pair.target, "target") as writer,
                reading(reader, snapshot),
                writer.transaction(),
            ):
                child_tables.lock_for_creation(writer, pair.name)
                notes = create_table(writer, child, job.wanted, as_child=True)
                filled = _fill(reader, writer, replace(job, progress=progress), child, where, named=False)
                # the rows just read keep their file locked until this transaction ends
                filenode = scalar(reader, "select pg_relation_filenode(%s::oid)", pair.table.oid)
                return _FilledRange(filled._replace(notes=notes + filled.notes), filenode)
        except BaseException as error:
            failures.append(error)
            raise

    with ThreadPoolExecutor(len(ranges)) as pool:
        fills = [pool.submit(fill, child, where) for child, where in ranges.items()]
        try:
            wait(fills)
        except BaseException as error:  # an interrupt from the keyboard
            failures.append(error)
            raise
    if failures:
        raise failures[0]
    parts = [each.result() for each in fills]
    if len({part.filenode for part in parts}) > 1:  # a ctid means something only within one file
        raise TransferInterruptedError(
            f"{pair.table.name}: VACUUM FULL, CLUSTER or the like rewrote the source's table while it was read:"
            " run it again"
        )
    filled = [part.filled for part in parts]
    return _Filled(sum(f.rows for f in filled), sum(f.bytes for f in filled), filled[0].notes)


def _fill(
    source: Connection,
    target: Connection,
    job: _Load,
    into: TableName,
    file_range: sql.Composable | None = None,
    *,
    named: bool,
) -> _Filled:
    """Copy rows into a table that the target's open transaction has made, then make its keys, indexes and statistics.

    `named`: the keys and indexes get the names that they have in the source.
    """
    conditions = [condition for condition in (job.where, file_range) if condition is not None]
    where = sql.SQL(" and ").join(conditions) if conditions else None
    copy_to, copy_from = copy_statements(job.table, into, where, freeze=True)
    copied = pump(source, copy_to, target, copy_from, job.progress)
    target.execute("set local maintenance_work_mem = '256MB'")  # the default, 64 MB, sorts a big index on disk
    notes = add_keys_and_indexes(target, into, job.wanted, named=named)
    statistics.apply(target, into, job.statistics, copied.rows)
    return _Filled(copied.rows, copied.bytes, notes)
