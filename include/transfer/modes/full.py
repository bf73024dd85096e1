"""A full refresh: all rows of the source into fresh storage, then a switch that lasts milliseconds.

The rows are copied with FREEZE into a table that the same transaction has created (the store, in schema `transfer`),
the keys and indexes are built when the rows are in, statistics are gathered, and only then is the target table locked
and switched: it becomes the inheritance parent of the new store, and the old store is dropped. Everything commits at
once, so a failure at any moment leaves the old rows and nothing else. A table that is new in the target needs no
switch and holds its rows itself; incremental runs write where the rows are.

A big table is cut into stretches of its file, which several pairs of connections copy at once, each into a store of
its own. Only the transaction that made a table may freeze what it copies, so these stores commit before the switch;
what a killed run leaves of them the next one sweeps away. Each has its own key: that keys are unique among them is the
source's word, which has the key in one piece.

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

What it costs: `select from only` sees nothing, dropping the table needs CASCADE, a plan shows the store's name, joins
lose the proof that a key is unique, and a publication of this one table misses stores that come after it.

Rows are frozen, so a transaction that took its snapshot before the switch and reads the table after it sees the new
rows; rows with an ordinary xmin would be invisible to it, and it would read an empty table.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from include.postgres import Connection, lock_in_transaction, query, scalar, session_lock
from include.transfer import statistics
from include.transfer.audit import SCHEMA
from include.transfer.catalog import Column, Constraint, Table, describe, find_table
from include.transfer.definition import add_constraint, add_index, add_keys_and_indexes, create_table
from include.transfer.model import TableName, TransferInterruptedError, TransferRefusedError
from include.transfer.session import reading, sibling
from include.transfer.stream import Progress, copy_statements, pump
from include.transfer.views import run_all, take_down

# A reader that comes while the switch waits for a longer query queues behind it, so each attempt is short.
_ATTEMPT = "20ms"
_LONGEST_WAIT = 600.0  # seconds of attempts until readers that never leave fail the table

_MOST_RANGES = 4
_LEAST_RANGE = 48 * 1024 * 1024  # bytes of a table that are worth connections of their own


@dataclass
class Loaded:
    """Rows that are in the target but not in its table yet: where, how many, what was left out, their statistics."""

    stores: list[TableName]  # none where the table itself was new
    rows: int
    bytes: int
    notes: list[str]
    known: statistics.Statistics | None


@dataclass(frozen=True)
class _Load:
    """What all ranges of a table have in common."""

    table: Table
    wanted: Table
    where: sql.Composable | None
    progress: Progress
    known: statistics.Statistics | None


def load(
    source: Connection,
    target: Connection,
    table: Table,
    name: TableName,
    existing: Table | None,
    where: sql.Composable | None,
    progress: Progress,
) -> Loaded:
    """Copy all rows into fresh tables; keys, indexes and statistics last.

    `where` leaves out rows that the table's watermark doesn't cover yet. In the end the table exists, empty or with
    its old rows when there are stores to switch to.
    """
    known = statistics.read(source, target, table)
    plain = tuple(replace(c, generated="", default=None) if c.generated else c for c in table.columns)
    wanted = replace(table, columns=plain)
    task = _Load(table, wanted if existing is None else _merged(wanted, existing), where, progress, known)
    ranges = _ranges(source, table)
    if len(ranges) == 1 and existing is None:
        notes = create_table(target, name, wanted, as_store=False)
        rows, size, more = _fill(source, target, task, name, None, named=True)
        return Loaded([], rows, size, notes + more, known)
    stores = [TableName(SCHEMA, f"{_prefix(name)}{secrets.token_hex(4)}") for _ in ranges]
    if len(ranges) == 1:
        notes = create_table(target, stores[0], task.wanted, as_store=True)
        rows, size, more = _fill(source, target, task, stores[0], None, named=False)
        return Loaded(stores, rows, size, notes + more, known)
    rows, size, notes = _load_ranges(source, target, task, name, stores, ranges)
    if existing is None:
        notes = create_table(target, name, wanted, as_store=False)
        notes += add_keys_and_indexes(target, name, table, named=True)
    return Loaded(stores, rows, size, notes, known)


def _ranges(source: Connection, table: Table) -> list[sql.Composable | None]:
    """Return conditions that cut a big table into stretches of its file, one for each core there is to use."""
    parts = min(_MOST_RANGES, os.cpu_count() or 1, table.bytes // _LEAST_RANGE)
    if table.kind != "r" or table.has_children or parts < 2 or source.info.server_version < 140000:
        return [None]
    blocks = table.bytes // int(scalar(source, "select current_setting('block_size')"))
    edges = [sql.Literal(f"({blocks * part // parts},0)") for part in range(parts)]
    lower = [sql.SQL("ctid >= {}::tid").format(edge) for edge in edges]
    upper = [sql.SQL(" and ctid < {}::tid").format(edge) for edge in edges[1:]]
    return [low + high for low, high in zip(lower, [*upper, sql.SQL("")], strict=True)]


def _load_ranges(
    source: Connection,
    target: Connection,
    task: _Load,
    name: TableName,
    stores: list[TableName],
    ranges: list[sql.Composable | None],
) -> tuple[int, int, list[str]]:
    """Fill a store a range, each on connections of its own; each commits, for only its creator may freeze its rows."""
    snapshot = scalar(source, "select pg_export_snapshot()")
    failed = threading.Event()

    def progress(rows: int, size: int) -> None:
        if failed.is_set():
            raise TransferInterruptedError(f"{name}: another range of the table failed")
        task.progress(rows, size)

    def fill(store: TableName, where: sql.Composable | None) -> tuple[int, int, list[str], int]:
        try:
            with sibling(source) as reader, sibling(target) as writer, reading(reader, snapshot), writer.transaction():
                lock_in_transaction(writer, _stores_of(name), shared=True)
                notes = create_table(writer, store, task.wanted, as_store=True)
                part = replace(task, progress=progress)
                rows, size, more = _fill(reader, writer, part, store, where, named=False)
                # the rows just read keep their file locked until this transaction ends
                file = scalar(reader, "select pg_relation_filenode(%s::oid)", task.table.oid)
                return rows, size, notes + more, file
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(len(stores)) as pool:
        try:
            parts = list(pool.map(fill, stores, ranges))
        except BaseException:
            failed.set()
            raise
    if len({part[3] for part in parts}) > 1:  # a row's place is worth something only within one file
        raise TransferInterruptedError(
            f"{task.table.name}: VACUUM FULL, CLUSTER or the like wrote the source's table anew while it was read:"
            " run it again"
        )
    return sum(part[0] for part in parts), sum(part[1] for part in parts), parts[0][2]


def _fill(
    source: Connection, target: Connection, task: _Load, store: TableName, span: sql.Composable | None, named: bool
) -> tuple[int, int, list[str]]:
    """Copy rows into a table that the target's open transaction made; return rows, bytes and notes."""
    conditions = [condition for condition in (task.where, span) if condition is not None]
    where = sql.SQL(" and ").join(conditions) if conditions else None
    out, into = copy_statements(task.table, store, where, fresh=True)
    rows, size = pump(source, out, target, into, task.progress)
    target.execute("set local maintenance_work_mem = '256MB'")
    notes = add_keys_and_indexes(target, store, task.wanted, named=named)
    statistics.give(target, store, task.known, rows)
    return rows, size, notes


def sweep(target: Connection, name: TableName) -> None:
    """Drop what a run that was killed left of this table's stores. The caller keeps other runs from the table."""
    with session_lock(target, _stores_of(name)):  # sessions of a killed run may still be at work
        for (store,) in query(
            target,
            "select relname from pg_class c where relnamespace = 'transfer'::regnamespace and relkind = 'r'"
            " and starts_with(relname, %s) and not exists (select from pg_inherits where inhrelid = c.oid)",
            _prefix(name),
        ):
            target.execute(sql.SQL("drop table {}").format(sql.Identifier(SCHEMA, store)))


def _stores_of(name: TableName) -> str:
    """Return the name of the advisory lock under which the stores of a table are made and dropped."""
    return f"transfer stores of {name}"


def _prefix(name: TableName) -> str:
    """Return how the names of a table's stores begin: readable, and no other table's."""
    told = hashlib.sha256(str(name).encode()).hexdigest()[:12]
    return f"{name.table.encode()[:38].decode(errors='ignore')}_{told}_"


def _merged(table: Table, existing: Table) -> Table:
    """Return the table as the target will have it: columns the source dropped stay, indexes made in the target too."""
    columns = {c.name: c for c in table.columns}
    kept = [
        columns.pop(c.name) if c.name in columns else replace(c, not_null=False, identity=False)
        for c in existing.columns
    ]
    known = {index.tail for index in table.indexes}
    own = tuple(index for index in existing.indexes if index.tail not in known and not index.unique)
    return replace(table, columns=(*kept, *columns.values()), indexes=table.indexes + own)


def switch(target: Connection, name: TableName, existing: Table, stores: list[TableName]) -> list[str]:
    """Make the stores' rows the table's, and their columns and keys. The table is locked afterwards: commit at once."""
    oid = find_table(target, stores[0])
    assert oid is not None
    store = describe(target, [oid], "", target.info.server_version)[oid]
    have = {c.name: c.type for c in existing.columns}
    make_again = _lock(target, name, existing, any(have.get(c.name, c.type) != c.type for c in store.columns))
    for old in existing.stores:
        target.execute(sql.SQL("drop table {}").format(old.identifier))
    if scalar(target, "select pg_relation_size(%s::regclass) > 0", name.identifier.as_string(target)):
        try:
            target.execute(sql.SQL("truncate only {}").format(name.identifier))
        except psycopg.errors.FeatureNotSupported:
            raise TransferRefusedError(
                f"{name}: a foreign key of another table in the target refers to it, which the rows of a refresh can't"
                " have: drop that foreign key and run again"
            ) from None
    notes = _align(target, name, existing, store)
    run_all(target, name, make_again)
    attach(target, name, stores)
    return notes


def attach(target: Connection, name: TableName, stores: list[TableName]) -> None:
    """Make the stores children of the table."""
    for store in stores:
        target.execute(sql.SQL("alter table {} inherit {}").format(store.identifier, name.identifier))


def _lock(target: Connection, name: TableName, existing: Table, retyped: bool) -> list[sql.Composed]:
    """Lock the table, its views first where they must give way as readers do; return what makes them again."""
    deadline = time.monotonic() + _LONGEST_WAIT
    pause = 0.05
    while True:
        try:
            with target.transaction():
                target.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(_ATTEMPT)))
                make_again = take_down(target, name) if retyped else []
                for each in (name, *existing.stores):
                    target.execute(sql.SQL("lock table only {} in access exclusive mode").format(each.identifier))
                return make_again
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > deadline:
                raise TransferInterruptedError(
                    f"{name}: {_holders(target, name)} kept the table locked for {_LONGEST_WAIT:.0f} s: end it in the"
                    " target (select pg_terminate_backend(...)) and run again"
                ) from None
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)


def _holders(target: Connection, name: TableName) -> str:
    rows = query(
        target,
        "select distinct pid from pg_locks where relation = %s::regclass and granted and pid <> pg_backend_pid()",
        name.identifier.as_string(target),
    )
    return f"server process {', '.join(str(pid) for (pid,) in rows)}" if rows else "another session"


def _align(target: Connection, name: TableName, existing: Table, store: Table) -> list[str]:
    """Give the parent, which is empty now, the columns, keys, checks and indexes that the store has and it lacks."""
    have = {c.name: c for c in existing.columns}
    for c in store.columns:
        for statement in _column_changes(c, have.get(c.name)):
            try:
                target.execute(sql.SQL("alter table only {} {}").format(name.identifier, statement))
            except psycopg.errors.FeatureNotSupported as error:
                raise TransferRefusedError(
                    f"{name}: column {c.name} can't become {c.type}: {error.diag.message_primary}: drop what uses"
                    " it, run again, make it anew"
                ) from None
    notes = []
    wanted = {_key(c) for c in store.constraints}
    for constraint in existing.constraints:
        if _key(constraint) not in wanted:
            target.execute(
                sql.SQL("alter table {} drop constraint {}").format(name.identifier, sql.Identifier(constraint.name))
            )
            notes.append(f"constraint {constraint.name} dropped: the source has none like it")
    present = {_key(c) for c in existing.constraints}
    for constraint in store.constraints:
        if _key(constraint) not in present:
            notes += add_constraint(target, name, constraint, named=constraint.kind == "c")
    indexes = {index.tail for index in existing.indexes}
    for index in store.indexes:
        if index.tail not in indexes:
            notes += add_index(target, name, index, named=False)
    return notes


def _key(constraint: Constraint) -> tuple[str, str]:
    return (constraint.name if constraint.kind == "c" else "", constraint.definition)


def _column_changes(wanted: Column, have: Column | None) -> list[sql.Composed]:
    """Return what ALTER TABLE must do to a column of an empty table."""
    column = sql.Identifier(wanted.name)
    kind = sql.SQL(wanted.type)
    collation = sql.SQL(f" collate {wanted.collation}" if wanted.collation else "")
    if have is None:
        not_null = sql.SQL(" not null" if wanted.not_null else "")
        return [sql.SQL("add column {} {}{}{}").format(column, kind, collation, not_null)]
    changes = []
    if have.type != wanted.type or have.collation != wanted.collation:
        changes.append(sql.SQL("alter column {} drop default").format(column))
        changes.append(sql.SQL("alter column {} type {}{} using null::{}").format(column, kind, collation, kind))
    if have.not_null != wanted.not_null:
        verb = sql.SQL("set not null" if wanted.not_null else "drop not null")
        changes.append(sql.SQL("alter column {} {}").format(column, verb))
    return changes
