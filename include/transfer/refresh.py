"""A full refresh: all rows of the source into fresh storage, then a switch that lasts milliseconds.

(placeholder until the options are measured)
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

import psycopg
from psycopg import sql

from include.transfer.audit import SCHEMA
from include.transfer.catalog import Table
from include.transfer.definition import add_keys_and_indexes, column_list, create_table
from include.transfer.names import TableName, TransferError
from include.transfer.session import Connection, query
from include.transfer.stream import Progress, pump

# A reader that arrives while the switch waits for a long query queues behind it, so each wait is short.
SWITCH_WAIT = "20ms"
SWITCH_TIMEOUT = 600.0  # seconds until a switch that readers keep out gives up


@dataclass
class Loaded:
    """Rows that are in the target's transaction, not yet visible: where, and how many."""

    store: TableName
    rows: int
    bytes: int
    notes: list[str]


def copy_statements(
    table: Table, store: TableName, where: sql.Composable | None = None
) -> tuple[sql.Composed, sql.Composed]:
    """Return the COPY TO of the source table's rows and the COPY FROM, without its FREEZE, into the store."""
    form = sql.SQL("binary" if all(c.binary for c in table.columns) else "text")
    if where is None and table.kind == "r" and not table.has_children and not any(c.generated for c in table.columns):
        rows = sql.SQL("{} ({})").format(table.name.identifier, column_list(table.columns))
        if not table.columns:
            rows = sql.SQL("{}").format(table.name.identifier)
    else:
        rows = sql.SQL("(select {} from {}{})").format(
            column_list(table.columns),
            table.name.identifier,
            sql.SQL(" where {}").format(where) if where is not None else sql.SQL(""),
        )
    columns = sql.SQL(" ({})").format(column_list(table.columns)) if table.columns else sql.SQL("")
    return (
        sql.SQL("copy {} to stdout (format {})").format(rows, form),
        sql.SQL("copy {}{} from stdin (format {}{})").format(
            store.identifier, columns, form, sql.SQL(", freeze" if where is None else "")
        ),
    )


def load(
    source: Connection, target: Connection, table: Table, name: TableName, exists: bool, progress: Progress
) -> Loaded:
    """Copy all rows into a table that is new in the target's open transaction, keys and indexes last."""
    store = TableName(SCHEMA, f"{name.table[:20]}_{secrets.token_hex(6)}") if exists else name
    if exists:
        target.execute(
            sql.SQL("create table {} (like {} including constraints including storage including compression)").format(
                store.identifier, name.identifier
            )
        )
        notes: list[str] = []
    else:
        notes = create_table(target, store, table)
    out, into = copy_statements(table, store)
    rows, size = pump(source, out, target, into, progress)
    target.execute("set local maintenance_work_mem = '256MB'")
    notes += add_keys_and_indexes(target, store, table, named=not exists)
    target.execute(sql.SQL("analyze {}").format(store.identifier))
    return Loaded(store, rows, size, notes)


def switch(target: Connection, name: TableName, existing: Table, store: TableName) -> None:
    """Make the store's rows the table's rows. Returns with the table locked: the caller commits at once."""
    deadline = time.monotonic() + SWITCH_TIMEOUT
    pause = 0.05
    while True:
        try:
            with target.transaction():
                target.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(SWITCH_WAIT)))
                for each in (name, *existing.stores):
                    target.execute(sql.SQL("lock table only {} in access exclusive mode").format(each.identifier))
            break
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > deadline:
                raise TransferError(
                    f"{name}: {_holders(target, name)} kept the table locked; end that and run again"
                ) from None
        time.sleep(pause)
        pause = min(pause * 1.5, 1.0)
    for old in existing.stores:
        target.execute(sql.SQL("drop table {}").format(old.identifier))
    if existing.has_own_rows:
        target.execute(sql.SQL("truncate only {}").format(name.identifier))
    target.execute(sql.SQL("alter table {} inherit {}").format(store.identifier, name.identifier))


def _holders(target: Connection, name: TableName) -> str:
    rows = query(
        target,
        "select distinct pid from pg_locks where relation = %s::regclass and granted and pid <> pg_backend_pid()",
        name.identifier.as_string(target),
    )
    return f"server process {', '.join(str(pid) for (pid,) in rows)}" if rows else "another session"
