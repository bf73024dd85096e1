"""One table from source to target, in one transaction on each side, and the audit row with it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from include.errors import WarehouseError
from include.postgres import Connection, lock_in_transaction, query, safe_message, scalar
from include.transfer import audit, statistics, verification
from include.transfer.catalog import Table, describe, emptied_since, find_table
from include.transfer.definition import advance_sequences, ensure_schema
from include.transfer.model import (
    Mode,
    TableName,
    TablePlan,
    TransferError,
    TransferInterruptedError,
    TransferRefusedError,
    TransferResult,
    as_transfer_error,
)
from include.transfer.modes import append, full, key
from include.transfer.row_hash import hashes_agree
from include.transfer.schema_changes import find_changes
from include.transfer.session import connect, reading, sibling
from include.transfer.stream import Progress
from include.transfer.types import ensure_types

_WAIT_FOR_OTHER_RUN = "10min"


@dataclass
class Outcome:
    """What a mode did to a table inside the target's open transaction."""

    mode: Mode
    rows: int
    rows_changed: int
    bytes: int
    verdict: str = "counted"
    notes: list[str] = field(default_factory=list)
    stores: list[TableName] = field(default_factory=list)  # fresh storage that the table gets at the end
    known: statistics.Statistics | None = None  # of that


def transfer_table(
    source_uri: str,
    target_uri: str,
    plan: TablePlan,
    *,
    run_id: str,
    snapshot: str | None = None,
    verify: bool = False,
) -> TransferResult:
    """Move one table and return what was done. A retry of a finished table returns what was recorded then.

    `snapshot` is an exported snapshot of the source (see `held_snapshot`); without one the table is read at a moment
    of its own. Raises TransferError, its message free of values and secrets; the target keeps its last good rows.
    """
    with connect(source_uri, "source") as source, connect(target_uri, "target") as target:
        return move_table(source, target, plan, run_id=run_id, snapshot=snapshot, verify=verify)


def move_table(
    source: Connection,
    target: Connection,
    plan: TablePlan,
    *,
    run_id: str,
    snapshot: str | None = None,
    verify: bool = False,
    progress: Progress = lambda rows, size: None,
) -> TransferResult:
    """Move one table on open connections; see `transfer_table`. A failure may close either connection."""
    started, started_at = time.monotonic(), datetime.now(UTC)
    try:
        audit.ensure_audit(target)
        done = audit.finished(target, run_id, plan.target, snapshot)
        if done is not None:
            return done
        return _move(source, target, plan, run_id, snapshot, verify, progress, started, started_at)
    except (WarehouseError, psycopg.Error, OSError, MemoryError) as error:
        failure = as_transfer_error(error, plan.source, plan.target)
        failed = TransferResult(plan.source, plan.target, plan.mode, 0, 0, 0, time.monotonic() - started, "failed")
        _record_failure(target, failed, str(failure), run_id, snapshot, started_at)
        raise failure from None


def _move(
    source: Connection,
    target: Connection,
    plan: TablePlan,
    run_id: str,
    snapshot: str | None,
    verify: bool,
    progress: Progress,
    started: float,
    started_at: datetime,
) -> TransferResult:
    name = TableName.parse(plan.target)
    ensure_schema(target, name.schema)
    with reading(source, snapshot):
        table, origin, type_notes = _read_source(source, target, plan)
        moment = append.current_moment(source, table.xid_column) if table.xid_column else None
        covered = moment.condition if moment is not None else None
        with target.transaction():
            _lock_out_other_runs(target, plan.target)
            full.sweep(target, name)
            known = audit.standing(target, plan.target)
            existing = _existing(target, source, name)
            outcome: Outcome | None = None
            notes: list[str] = []
            if existing is not None:
                same = known is not None and known.origin == origin
                notes = find_changes(target, table, existing, known, same)
                if same and known is not None and not notes and not plan.forced and plan.mode != "full":
                    try:
                        with target.transaction():
                            moved = _bring_up_to_date(source, target, table, existing, plan, known, moment, progress)
                            if isinstance(moved, Outcome):
                                outcome = moved
                            else:
                                notes.append(f"refreshed in full: {moved}")
                                raise psycopg.Rollback
                    except (psycopg.IntegrityError, psycopg.errors.ObjectNotInPrerequisiteState) as error:
                        # a key or check that the source no longer has, or a table that is published without a key
                        notes.append(f"refreshed in full: the target refuses the changes: {safe_message(error)}")
            if outcome is None:
                loaded = full.load(source, target, table, name, existing, covered, progress)
                done = (loaded.rows, loaded.rows, loaded.bytes)
                outcome = Outcome("full", *done, notes=loaded.notes, stores=loaded.stores, known=loaded.known)
            outcome.notes[:0] = type_notes + notes
            if verify:
                verification.verify(source, target, table, outcome.stores or [name], covered)
                outcome.verdict = "verified"
            emptied = emptied_since(source, table)
            if emptied is not None:
                raise TransferRefusedError(
                    f"{plan.source}: {emptied} was truncated, written anew or detached in the source since the moment"
                    " at which this run reads: start the run again"
                )
            advance_sequences(source, target, outcome.stores or [name], name, table)
            if outcome.stores and existing is None:
                full.attach(target, name, outcome.stores)
            elif outcome.stores and existing is not None:
                _flush(target)
                outcome.notes += full.switch(target, name, existing, outcome.stores)
            result = TransferResult(
                source=plan.source,
                target=plan.target,
                mode=outcome.mode,
                rows=outcome.rows,
                rows_changed=outcome.rows_changed,
                bytes=outcome.bytes,
                seconds=round(time.monotonic() - started, 3),
                verdict=outcome.verdict,
                watermark=moment.watermark if moment is not None else None,
                notes=tuple(outcome.notes),
            )
            columns = {c.name: c.number for c in table.columns}
            audit.record(
                target,
                result,
                run_id=run_id,
                snapshot=snapshot,
                started_at=started_at,
                standing=audit.Standing(origin, columns, result.watermark),
            )
    if outcome.stores:
        with suppress(psycopg.Error):  # the rows are across; autovacuum never gathers the statistics of a parent
            statistics.give(target, name, outcome.known, 0)
    return result


def _read_source(source: Connection, target: Connection, plan: TablePlan) -> tuple[Table, str, list[str]]:
    """Return the source table, a name for it that no other table shares, and notes.

    Its types exist in the target afterwards.
    """
    name = TableName.parse(plan.source)
    oid = find_table(source, name)
    if oid is None:
        raise TransferRefusedError(f"{plan.source}: the source has no such table any more: plan the run again")
    wanted = TableName.parse(plan.target)
    prefix = wanted.schema.removesuffix(name.schema)
    try:
        table = describe(source, [oid], prefix, target.info.server_version)[oid]
    except psycopg.errors.InternalError_:  # "cache lookup failed": the snapshot shows what is there no more
        raise TransferRefusedError(
            f"{plan.source}: its definition was changed in the source since the moment at which this run reads: start"
            " the run again"
        ) from None
    system = scalar(
        source,
        "select (select system_identifier from pg_control_system())::text || '/' || oid from pg_database"
        " where datname = current_database()",
    )
    if table.kind == "r" and table.has_children:  # their rows come too, and repeat what is unique in each
        checks = tuple(c for c in table.constraints if c.kind == "c")
        table = replace(table, constraints=checks, indexes=tuple(i for i in table.indexes if not i.unique))
    notes = ensure_types(source, target, table, prefix)
    return table, f"{system}/{oid}", notes


def _existing(target: Connection, source: Connection, name: TableName) -> Table | None:
    oid = find_table(target, name)
    return None if oid is None else describe(target, [oid], "", source.info.server_version)[oid]


def _bring_up_to_date(
    source: Connection,
    target: Connection,
    table: Table,
    existing: Table,
    plan: TablePlan,
    known: audit.Standing,
    moment: append.Moment | None,
    progress: Progress,
) -> Outcome | str:
    """Move only what changed, or return why the table must be refreshed in full."""
    # readers go on; nobody else writes, and nobody switches the table's storage
    target.execute(sql.SQL("lock table only {} in share row exclusive mode").format(existing.name.identifier))
    triggers = "select from pg_trigger where tgrelid = %s and not tgisinternal"
    if not existing.stores and query(target, triggers, existing.oid):
        return "triggers on the target's table would change what arrives; on refreshed rows they don't fire"
    if plan.mode == "append":
        if known.watermark is None or moment is None:
            return "there is no watermark"
        added = append.bring_up_to_date(source, target, table, existing, known.watermark, moment, progress)
        if added is None:
            return "rows were deleted or changed since the last run"
        return Outcome("append", *added)
    if not table.key:
        return "the table no longer has a key"
    if not hashes_agree(source, target):
        return "the servers' hashes differ"
    compared = key.bring_up_to_date(source, target, table, existing, max(table.rows, known.rows), progress)
    if isinstance(compared, str):
        return compared
    return Outcome("key", compared.rows, compared.changed, compared.bytes)


def _lock_out_other_runs(target: Connection, table: str) -> None:
    try:
        with target.transaction():
            target.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(_WAIT_FOR_OTHER_RUN)))
            lock_in_transaction(target, f"transfer {table}")
    except psycopg.errors.LockNotAvailable:
        raise TransferInterruptedError(
            f"{table}: another run has been moving this table for {_WAIT_FOR_OTHER_RUN}: wait for it or end it"
        ) from None


def _flush(target: Connection) -> None:
    """Have the log of the rows on disk before the table is locked, so that the commit has little left to write."""
    with sibling(target) as other:
        other.execute("select pg_current_xact_id()")  # its commit flushes all that was logged before it


def _record_failure(
    target: Connection,
    failed: TransferResult,
    message: str,
    run_id: str,
    snapshot: str | None,
    started_at: datetime,
) -> None:
    """Write the audit row of a failure where the target still can be reached."""
    try:
        if target.closed or target.broken:
            return
        target.rollback()
        audit.ensure_audit(target)
        audit.record_failure(target, failed, message, run_id=run_id, snapshot=snapshot, started_at=started_at)
    except (psycopg.Error, TransferError):
        return
