"""What the target remembers of transfers, in its schema `transfer`.

    transfer.runs        the audit: one row per table and run, failures too
    transfer.tables      the state of each target table: what the next run has to know of it
    transfer.snapshots   the snapshot that the tasks of a run share (see `snapshot`)

The audit row, the table's new rows and its new state commit in one transaction, so they can't disagree. The schema also
holds the child tables of tables that were refreshed in full (see `modes.full`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from include.postgres import Connection, create_grant, lock_in_transaction, query, records, safe_message, session
from include.report import Section
from include.transfer.catalog import list_tables
from include.transfer.model import TransferRefusedError, TransferResult, Verdict

SCHEMA = "transfer"

_TABLES = """
create schema if not exists transfer;
create table if not exists transfer.runs (
    run_id text not null,
    source text not null,
    target text not null,
    mode text not null,
    rows bigint,
    rows_changed bigint,
    bytes bigint,
    seconds double precision,
    watermark text,
    verdict text not null,
    error text,
    notes text[],
    snapshot text,
    started_at timestamptz not null,
    finished_at timestamptz not null default clock_timestamp()
);
create index if not exists runs_run_id on transfer.runs (run_id, target);
comment on table transfer.runs is 'Audit of transfers: one row per table and run, committed with the rows it describes';
create table if not exists transfer.tables (
    target text primary key,
    source text not null,
    origin text not null,
    columns jsonb not null,
    watermark text,
    rows bigint not null,
    run_id text not null,
    updated_at timestamptz not null default clock_timestamp()
);
comment on table transfer.tables is 'State of each transferred table: its origin, columns and watermark';
create table if not exists transfer.snapshots (
    run_id text primary key,
    snapshot text,
    opened_at timestamptz not null default clock_timestamp(),
    seen_at timestamptz not null default clock_timestamp(),
    released boolean not null default false
);
comment on table transfer.snapshots is 'Snapshot of the source that the tasks of a run share, while it is held';
"""


_LAST_RUNS = """
select distinct on (source) source, target, mode, rows, round(seconds::numeric, 2)::float8 as seconds, verdict
from transfer.runs
order by source, started_at desc
"""


@dataclass(frozen=True)
class TableState:
    """What `transfer.tables` says of a target table: where its rows came from, and how far its source was read."""

    origin: str  # the source's system, database and table: another table under the same name has another origin
    columns: dict[str, int]  # name -> pg_attribute.attnum in the source, which a rename keeps
    watermark: str | None  # of mode `append`, None for a table without a transaction-id column
    rows: int = 0


@dataclass(frozen=True)
class TableRun:
    """One run's work on one table: what the audit says of it besides the result."""

    run_id: str
    snapshot: str | None  # that the run's tables share, None where the table was read at one of its own
    started_at: datetime


def ensure_audit(target: Connection) -> None:
    """See that the audit tables exist. Safe to repeat, also by several runs at once.

    Raises TransferRefusedError, which says which grant is missing.
    """
    try:
        if query(target, "select from pg_class where oid = to_regclass('transfer.snapshots')"):
            return
        with target.transaction():
            lock_in_transaction(target, "transfer")
            target.execute(_TABLES)
    except psycopg.errors.InsufficientPrivilege as error:
        raise TransferRefusedError(
            f"target: can't make the schema `transfer` ({safe_message(error)}); run there: {create_grant(target)}"
        ) from None


def summary(target_uri: str, moved: Collection[str] | None = None) -> Section:
    """Return the last run of each table, as the audit in the target has it; empty where nothing was moved yet.

    `moved` are the source's tables that the project moves now, where only those count: of the others that are still in
    the target a note has the names alone. Raises what `include.postgres.session` raises.
    """
    with session(target_uri, "target_db") as target:
        audited = query(target, "select from pg_class where oid = to_regclass('transfer.runs')")
        found = records(target, _LAST_RUNS) if audited else []
        there = {str(name) for _, name, _ in list_tables(target, views=True)}
    rows = [row for row in found if moved is None or row["source"] in moved]
    left = [row["target"] for row in found if row not in rows and row["target"] in there]
    note = f"not moved from source_db any more, and still in target_db: {', '.join(left)}" if left else ""
    return Section("transferred", ("source", "target", "mode", "rows", "seconds", "verdict"), rows, note)


def table_state(target: Connection, table: str) -> TableState | None:
    """Return the state of a target table, None before its first transfer."""
    rows = query(target, "select origin, columns, watermark, rows from transfer.tables where target = %s", table)
    return TableState(*rows[0]) if rows else None


def forget(target: Connection, schemas: Iterable[str]) -> None:
    """Delete the state of the tables in some schemas of the target, where there is an audit yet."""
    if query(target, "select from pg_class where oid = to_regclass('transfer.tables')"):
        target.execute("delete from transfer.tables where split_part(target, '.', 1) = any(%s)", [list(schemas)])


def finished(target: Connection, run_id: str, table: str, snapshot: str | None) -> TransferResult | None:
    """Return what this run has already done to the table, None when it has not.

    With `snapshot`, only what it did at this snapshot counts.
    """
    rows = records(
        target,
        "select source, target, mode, rows, rows_changed, bytes, seconds, verdict, watermark, notes from transfer.runs"
        " where run_id = %s and target = %s and error is null and (%s::text is null or snapshot = %s)"
        " order by finished_at desc limit 1",
        *(run_id, table, snapshot, snapshot),
    )
    if not rows:
        return None
    [row] = rows
    return TransferResult(**row | {"verdict": Verdict(row["verdict"]), "notes": tuple(row["notes"] or ())})


def snapshot_of(target: Connection, run_id: str, table: str) -> str | None:
    """Return the shared snapshot at which this run has moved the table, None when it has not."""
    rows = query(
        target,
        "select snapshot from transfer.runs where run_id = %s and target = %s and error is null"
        " and snapshot is not null order by finished_at desc limit 1",
        *(run_id, table),
    )
    return rows[0][0] if rows else None


def record(target: Connection, result: TransferResult, table_run: TableRun, state: TableState) -> None:
    """Write the audit row and the table's state; the caller's transaction commits them with the rows."""
    _insert_run(target, result, table_run, None)
    target.execute(
        "insert into transfer.tables (target, source, origin, columns, watermark, rows, run_id)"
        " values (%s, %s, %s, %s, %s, %s, %s) on conflict (target) do update set source = excluded.source,"
        " origin = excluded.origin, columns = excluded.columns, watermark = excluded.watermark, rows = excluded.rows,"
        " run_id = excluded.run_id, updated_at = clock_timestamp()",
        [
            *(result.target, result.source, state.origin, Jsonb(state.columns)),
            *(state.watermark, state.rows, table_run.run_id),
        ],
    )


def record_failure(target: Connection, result: TransferResult, table_run: TableRun, error: str) -> None:
    """Write the audit row of a table that could not be moved. `error` is a sentence without values."""
    _insert_run(target, result, table_run, error)


def _insert_run(target: Connection, result: TransferResult, table_run: TableRun, error: str | None) -> None:
    values: list[Any] = [result.source, result.target, result.mode, result.rows, result.rows_changed, result.bytes]
    values += [result.seconds, result.watermark, result.verdict.value, error, list(result.notes)]
    target.execute(
        "insert into transfer.runs (run_id, snapshot, started_at, source, target, mode, rows, rows_changed, bytes,"
        " seconds, watermark, verdict, error, notes)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [table_run.run_id, table_run.snapshot, table_run.started_at, *values],
    )
