"""What the target remembers: `transfer.runs`, one row a table and run, and `transfer.tables`, where each table stands.

A run's row, the table's new rows and its watermark commit in one transaction. The schema `transfer` also holds the
rows of tables that were refreshed in full (see `refresh`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from include.postgres import Connection, lock_in_transaction, query, safe_message
from include.transfer.model import TransferRefusedError, TransferResult

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
comment on table transfer.runs is 'Audit of transfers: one row a table and run, committed with the rows it tells of';
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
comment on table transfer.tables is 'Where each transferred table stands: its origin, columns and watermark';
create table if not exists transfer.snapshots (
    run_id text primary key,
    snapshot text,
    opened_at timestamptz not null default clock_timestamp(),
    seen_at timestamptz not null default clock_timestamp(),
    released boolean not null default false
);
comment on table transfer.snapshots is 'The moment of the source at which a run reads, while it is held';
"""


@dataclass(frozen=True)
class Standing:
    """What `transfer.tables` says of a target table: where its rows came from, and up to which moment."""

    origin: str  # the source's system, database and table
    columns: dict[str, int]  # name -> number in the source's catalog, which a rename keeps
    watermark: str | None
    rows: int = 0


def ensure_audit(target: Connection) -> None:
    """See that the audit tables exist. Safe to repeat and to race. TransferRefusedError says which grant is missing."""
    try:
        if query(target, "select from pg_class where oid = to_regclass('transfer.snapshots')"):
            return
        with target.transaction():
            lock_in_transaction(target, "transfer")
            target.execute(_TABLES)
    except psycopg.errors.InsufficientPrivilege as error:
        database = target.info.dbname
        raise TransferRefusedError(
            f"target: can't make the schema `transfer` ({safe_message(error)}); run there:"
            f" grant create on database {database} to {target.info.user}"
        ) from None


def standing(target: Connection, table: str) -> Standing | None:
    """Return what is known of a target table, None before its first transfer."""
    rows = query(target, "select origin, columns, watermark, rows from transfer.tables where target = %s", table)
    return Standing(*rows[0]) if rows else None


def finished(target: Connection, run_id: str, table: str, snapshot: str | None) -> TransferResult | None:
    """Return what this run has already done to the table at this snapshot (any, when None), or None."""
    rows = query(
        target,
        "select source, target, mode, rows, rows_changed, bytes, seconds, verdict, watermark, notes from transfer.runs"
        " where run_id = %s and target = %s and error is null and (%s::text is null or snapshot = %s)"
        " order by finished_at desc limit 1",
        *(run_id, table, snapshot, snapshot),
    )
    if not rows:
        return None
    *values, notes = rows[0]
    return replace(TransferResult(*values), notes=tuple(notes or ()))


def snapshot_of(target: Connection, run_id: str, table: str) -> str | None:
    """Return the shared snapshot at which this run has moved the table, None when it has not."""
    rows = query(
        target,
        "select snapshot from transfer.runs where run_id = %s and target = %s and error is null"
        " and snapshot is not null order by finished_at desc limit 1",
        *(run_id, table),
    )
    return rows[0][0] if rows else None


def record(
    target: Connection,
    result: TransferResult,
    *,
    run_id: str,
    snapshot: str | None,
    started_at: datetime,
    standing: Standing,
) -> None:
    """Write the audit row and the table's standing; the caller's transaction commits them with the rows."""
    _insert(target, result, run_id, snapshot, started_at, None)
    target.execute(
        "insert into transfer.tables (target, source, origin, columns, watermark, rows, run_id)"
        " values (%s, %s, %s, %s, %s, %s, %s) on conflict (target) do update set source = excluded.source,"
        " origin = excluded.origin, columns = excluded.columns, watermark = excluded.watermark, rows = excluded.rows,"
        " run_id = excluded.run_id, updated_at = clock_timestamp()",
        [
            *(result.target, result.source, standing.origin, Jsonb(standing.columns)),
            *(standing.watermark, result.rows, run_id),
        ],
    )


def record_failure(
    target: Connection, result: TransferResult, error: str, *, run_id: str, snapshot: str | None, started_at: datetime
) -> None:
    """Write the audit row of a table that could not be moved."""
    _insert(target, result, run_id, snapshot, started_at, error)


def _insert(
    target: Connection,
    result: TransferResult,
    run_id: str,
    snapshot: str | None,
    started_at: datetime,
    error: str | None,
) -> None:
    values: list[Any] = [run_id, result.source, result.target, result.mode, result.rows, result.rows_changed]
    values += [result.bytes, result.seconds, result.watermark, result.verdict, error, list(result.notes)]
    target.execute(
        "insert into transfer.runs (run_id, source, target, mode, rows, rows_changed, bytes, seconds, watermark,"
        " verdict, error, notes, snapshot, started_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [*values, snapshot, started_at],
    )
