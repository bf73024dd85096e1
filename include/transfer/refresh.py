"""A full refresh: all rows of the source into fresh storage, then a switch that lasts milliseconds.

The rows are copied with FREEZE into a table that the same transaction has created (the store, in schema `transfer`),
the keys and indexes are built when the rows are in, statistics are gathered, and only then is the target table locked
and switched: it becomes the inheritance parent of the new store, and the old store is dropped. Everything commits at
once, so a failure at any moment leaves the old rows and nothing else. A table that is new in the target needs no
switch and holds its rows itself; incremental runs write where the rows are.

Why a parent with one child. The target table must keep its OID, for on it hang views, grants, policies, comments,
extended statistics and publications, some of them other people's. Measured with two readers on a view of the table, one
million rows, three refreshes (lock and DDL, longest wait of a reader):

    inherit (this)            2 ms     35 ms   nothing to restore
    one default partition     2 ms     35 ms   can't take a table that exists, and every unique key must hold the
                                               partition's column; nothing gained over inherit
    rename, views replaced    1 s    1,004 ms  readers and the switch deadlock: a reader locks the view, then its table;
                                               and views of others, policies, grants, materialized views need restoring
    TRUNCATE and COPY         -               readers wait as long as the load takes
    DELETE and COPY           -               no wait, but every row twice on disk, and keys kept up row by row
    a view as the table       -               policies and statistics can't hang on a view

What it costs: `select from only` sees nothing, dropping the table needs CASCADE, a plan shows the store's name, and
joins lose the proof that a key is unique.

Rows are frozen, so a transaction that took its snapshot before the switch and reads the table after it sees the new
rows; rows with an ordinary xmin would be invisible to it, and it would read an empty table.
"""

from __future__ import annotations

import secrets
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from include.transfer.audit import SCHEMA
from include.transfer.catalog import Column, Constraint, Index, Table, describe, find_table
from include.transfer.definition import add_constraint, add_keys_and_indexes, attempt, create_table
from include.transfer.names import TableName, TransferError
from include.transfer.session import Connection, query
from include.transfer.stream import Progress, copy_statements, pump
from include.transfer.views import views_aside

# A reader that comes while the switch waits for a longer query queues behind it, so each attempt is short.
_ATTEMPT = "20ms"
_LONGEST_WAIT = 600.0  # seconds of attempts until readers that never leave fail the table


@dataclass
class Loaded:
    """Rows in the target's open transaction: where they are, how many came, and what was left out."""

    store: TableName
    rows: int
    bytes: int
    notes: list[str]


def load(
    source: Connection,
    target: Connection,
    table: Table,
    name: TableName,
    existing: Table | None,
    where: sql.Composable | None,
    progress: Progress,
) -> Loaded:
    """Copy all rows into a table that is new in the target's open transaction; keys, indexes and statistics last.

    `where` leaves out rows that the table's watermark doesn't cover yet.
    """
    if existing is None:
        store, wanted = name, table
    else:
        store = TableName(SCHEMA, f"{name.table[:20]}_{secrets.token_hex(6)}")
        wanted = _merged(table, existing)
    notes = create_table(target, store, wanted, as_store=existing is not None)
    out, into = copy_statements(table, store, where, fresh=True)
    rows, size = pump(source, out, target, into, progress)
    target.execute("set local maintenance_work_mem = '256MB'")
    notes += add_keys_and_indexes(target, store, wanted, named=existing is None)
    target.execute(sql.SQL("analyze {}").format(store.identifier))
    return Loaded(store, rows, size, notes)


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


def switch(target: Connection, name: TableName, existing: Table, store: TableName) -> list[str]:
    """Make the store's rows the table's, and its columns and keys. The table is locked afterwards: commit at once."""
    _lock(target, name, existing)
    for old in existing.stores:
        target.execute(sql.SQL("drop table {}").format(old.identifier))
    if existing.has_own_rows:
        target.execute(sql.SQL("truncate only {}").format(name.identifier))
    oid = find_table(target, store)
    assert oid is not None
    notes = _align(target, name, existing, describe(target, [oid], "", target.info.server_version)[oid])
    target.execute(sql.SQL("alter table {} inherit {}").format(store.identifier, name.identifier))
    return notes


def _lock(target: Connection, name: TableName, existing: Table) -> None:
    deadline = time.monotonic() + _LONGEST_WAIT
    pause = 0.05
    while True:
        try:
            with target.transaction():
                target.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(_ATTEMPT)))
                for each in (name, *existing.stores):
                    target.execute(sql.SQL("lock table only {} in access exclusive mode").format(each.identifier))
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > deadline:
                raise TransferError(
                    f"{name}: {_holders(target, name)} kept the table locked for {_LONGEST_WAIT:.0f} s: end it in the"
                    " target (select pg_terminate_backend(...)) and run again"
                ) from None
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)
        else:
            return


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
    retyped = [c.name for c in store.columns if c.name in have and have[c.name].type != c.type]
    with views_aside(target, name) if retyped else nullcontext():
        for c in store.columns:
            for statement in _column_changes(c, have.get(c.name)):
                try:
                    target.execute(sql.SQL("alter table only {} {}").format(name.identifier, statement))
                except psycopg.errors.FeatureNotSupported as error:
                    raise TransferError(
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
            notes.append(f"constraint {constraint.name} dropped: the source no longer has it")
    present = {_key(c) for c in existing.constraints}
    for constraint in store.constraints:
        if _key(constraint) not in present:
            add_constraint(target, name, constraint, named=constraint.kind == "c")
    indexes = {index.tail for index in existing.indexes}
    for index in store.indexes:
        if index.tail not in indexes:
            notes += add_index_like(target, name, index)
    return notes


def _key(constraint: Constraint) -> tuple[str, str]:
    return (constraint.name if constraint.kind == "c" else "", constraint.definition)


def add_index_like(target: Connection, name: TableName, index: Index) -> list[str]:
    """Add one index to the parent, under a name that Postgres picks."""
    statement = sql.SQL("create {}index on {} using {}").format(
        sql.SQL("unique " if index.unique else ""), name.identifier, sql.SQL(index.tail)
    )
    return attempt(target, statement, f"index {index.name}")


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
