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
from include.transfer import audit, statistics
from include.transfer.catalog import Table, describe, find_table
from include.transfer.child_tables import drop_orphaned_children
from include.transfer.definition import advance_sequences, ensure_schema
from include.transfer.model import (
    FullRefreshNeededError,
    Mode,
    Moved,
    TableName,
    TablePlan,
    TransferError,
    TransferInterruptedError,
    TransferRefusedError,
    TransferResult,
    Verdict,
    as_transfer_error,
)
from include.transfer.modes import append, full, key
from include.transfer.rewrites import find_lost_rows
from include.transfer.row_hash import hashes_agree
from include.transfer.schema_changes import find_changes
from include.transfer.session import connect, reading
from include.transfer.stream import Progress
from include.transfer.switch import switch
from include.transfer.table_pair import TablePair
from include.transfer.types import ensure_types
from include.transfer.verification import verify

_WAIT_FOR_OTHER_RUN = "10min"


@dataclass(frozen=True)
class Move:
    """What a run asks for one table, and the connections to do it on."""

    source: Connection
    target: Connection
    plan: TablePlan
    run_id: str
    snapshot: str | None = None  # that the run's tables share, None to read the table at one of its own
    verify: bool = False
    progress: Progress = lambda rows, size: None
    started: float = field(default_factory=time.monotonic)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def table_run(self) -> audit.TableRun:
        return audit.TableRun(self.run_id, self.snapshot, self.started_at)


@dataclass(frozen=True)
class _SourceTable:
    """The source's side of a move."""

    table: Table
    origin: str  # no other table of any server has the same
    notes: list[str]  # what was left out of its types
    watermark: append.SnapshotWatermark | None  # None where it has no transaction-id column

    @property
    def covered(self) -> sql.Composed | None:
        """The condition for the rows that this run moves, None for all."""
        return self.watermark.covered if self.watermark is not None else None


@dataclass
class _Outcome:
    """What was done to the table in the target's open transaction."""

    mode: Mode
    moved: Moved
    notes: list[str]
    child_tables: list[TableName] = field(default_factory=list)  # that the table is to be switched to
    statistics: statistics.Statistics | None = None  # of the rows in them


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

    `snapshot` is the id of an exported snapshot of the source (see `held_snapshot`); without one the table is read at
    one of its own. Raises TransferError, its message free of values and secrets; the target keeps its last good rows.
    """
    try:
        with connect(source_uri, "source") as source, connect(target_uri, "target") as target:
            return move_table(Move(source, target, plan, run_id, snapshot, verify))
    except TransferError:
        raise
    except WarehouseError as error:  # a server that can't be reached
        raise as_transfer_error(error, plan.source, plan.target) from None


def move_table(move: Move) -> TransferResult:
    """Move one table on open connections; see `transfer_table`. A failure may close either connection.

    Raises TransferError. Any other exception is a bug: it is recorded in the audit as well, and keeps its type.
    """
    try:
        audit.ensure_audit(move.target)
        done = audit.finished(move.target, move.run_id, move.plan.target, move.snapshot)
        return done if done is not None else _move(move)
    except (WarehouseError, psycopg.Error, OSError, MemoryError) as error:
        failure = as_transfer_error(error, move.plan.source, move.plan.target)
        _record_failure(move, str(failure))
        raise failure from None
    except Exception as bug:
        # only the type: the message of a bug may quote a value
        _record_failure(move, f"{move.plan.source} -> {move.plan.target}: {type(bug).__name__}, a bug: see the log")
        raise


def _move(move: Move) -> TransferResult:
    """Carry out the steps of a move, from reading the source's definition to the audit row."""
    name = TableName.parse(move.plan.target)
    ensure_schema(move.target, name.schema)
    with reading(move.source, move.snapshot):
        source_table = _read_source(move)
        with move.target.transaction():
            _lock_out_other_runs(move)
            drop_orphaned_children(move.target, name)
            existing = _existing(move, name)
            pair = TablePair(move.source, move.target, source_table.table, name, existing, move.progress)
            outcome = _move_rows(move, pair, source_table)
            row_tables = outcome.child_tables or [name]
            if move.verify:
                verify(move.source, pair.table, source_table.covered, move.target, row_tables)
            _check_for_lost_rows(move, pair)
            advance_sequences(move.source, pair.table, move.target, name, row_tables)
            if outcome.child_tables:
                outcome.notes += switch(pair, outcome.child_tables)
            result = _result(move, source_table, outcome)
            columns = {c.name: c.number for c in pair.table.columns}
            state = audit.TableState(source_table.origin, columns, result.watermark, result.rows)
            audit.record(move.target, result, move.table_run, state)
    if outcome.child_tables:
        # Autovacuum never gathers a parent's statistics. The rows are committed, so no failure here fails the move.
        with suppress(psycopg.Error):
            statistics.apply(move.target, name, outcome.statistics, 0)
    return result


def _read_source(move: Move) -> _SourceTable:
    """Return the source table as this run's snapshot shows it. Its types exist in the target afterwards."""
    name = TableName.parse(move.plan.source)
    oid = find_table(move.source, name)
    if oid is None:
        raise TransferRefusedError(f"{name}: the source has no such table any more: plan the run again")
    prefix = TableName.parse(move.plan.target).schema.removesuffix(name.schema)
    try:
        table = describe(move.source, [oid], prefix, move.target.info.server_version)[oid]
    except psycopg.errors.InternalError_:  # "cache lookup failed": the snapshot shows an object that is gone by now
        raise TransferRefusedError(
            f"{name}: its definition was changed in the source since the snapshot at which this run reads: start the"
            " run again"
        ) from None
    database = scalar(
        move.source,
        "select (select system_identifier from pg_control_system())::text || '/' || oid from pg_database"
        " where datname = current_database()",
    )
    if table.kind == "r" and table.has_children:
        # the rows of its children come too, and may repeat what is unique in each of them
        checks = tuple(c for c in table.constraints if c.kind == "c")
        table = replace(table, constraints=checks, indexes=tuple(i for i in table.indexes if not i.unique))
    notes = ensure_types(move.source, move.target, table, prefix)
    watermark = append.current_watermark(move.source, table.xid_column) if table.xid_column else None
    return _SourceTable(table, f"{database}/{oid}", notes, watermark)


def _existing(move: Move, name: TableName) -> Table | None:
    """Return the target table as the target's catalog describes it, None where there is none."""
    oid = find_table(move.target, name)
    return None if oid is None else describe(move.target, [oid], "", move.source.info.server_version)[oid]


def _move_rows(move: Move, pair: TablePair, source_table: _SourceTable) -> _Outcome:
    """Bring the target up to date by the planned mode, or in full where that is not possible."""
    notes = list(source_table.notes)
    if pair.existing is not None:
        state = audit.table_state(move.target, move.plan.target)
        is_same = state is not None and state.origin == source_table.origin
        changes = find_changes(move.target, pair.table, pair.existing, state, is_same)
        notes += changes
        if state is not None and is_same and not changes and not move.plan.forced and move.plan.mode != "full":
            try:
                with move.target.transaction():  # a savepoint: what a mode leaves unfinished is undone
                    moved = _bring_up_to_date(move, pair, pair.existing, state, source_table.watermark)
                return _Outcome(move.plan.mode, moved, notes)
            except FullRefreshNeededError as reason:
                notes.append(f"refreshed in full: {reason}")
            except (psycopg.IntegrityError, psycopg.errors.ObjectNotInPrerequisiteState) as error:
                # a key or check that the source has dropped, or a published table without a replica identity
                notes.append(f"refreshed in full: the target refuses the changes: {safe_message(error)}")
    loaded = full.load(pair, source_table.covered)
    moved = Moved(loaded.rows, loaded.rows, loaded.bytes)
    return _Outcome("full", moved, notes + loaded.notes, loaded.child_tables, loaded.statistics)


def _bring_up_to_date(
    move: Move, pair: TablePair, existing: Table, state: audit.TableState, watermark: append.SnapshotWatermark | None
) -> Moved:
    """Move only what changed since the last run. Raises FullRefreshNeededError where that is not possible."""
    # readers go on; nobody else writes, and nobody switches the table to other child tables
    move.target.execute(sql.SQL("lock table only {} in share row exclusive mode").format(existing.name.identifier))
    triggers = "select from pg_trigger where tgrelid = %s and not tgisinternal"
    if not existing.child_tables and query(move.target, triggers, existing.oid):
        raise FullRefreshNeededError(
            "triggers on the target's table would change what arrives; on refreshed rows they don't fire"
        )
    if move.plan.mode == "append":
        if state.watermark is None or watermark is None:
            raise FullRefreshNeededError("there is no watermark")
        return append.bring_up_to_date(pair, existing, state.watermark, watermark)
    if not pair.table.key:
        raise FullRefreshNeededError("the table no longer has a key")
    if not hashes_agree(move.source, move.target):
        raise FullRefreshNeededError("the servers' hashes differ")
    return key.bring_up_to_date(pair, existing, max(pair.table.rows, state.rows))


def _check_for_lost_rows(move: Move, pair: TablePair) -> None:
    """Raise TransferRefusedError where the snapshot could not show all rows of the source's table."""
    lost = find_lost_rows(move.source, pair.table)
    if lost is not None:
        raise TransferRefusedError(
            f"{move.plan.source}: {lost} was truncated, rewritten or detached in the source since the snapshot at"
            " which this run reads: start the run again"
        )


def _result(move: Move, source_table: _SourceTable, outcome: _Outcome) -> TransferResult:
    return TransferResult(
        source=move.plan.source,
        target=move.plan.target,
        mode=outcome.mode,
        rows=outcome.moved.rows,
        rows_changed=outcome.moved.changed,
        bytes=outcome.moved.bytes,
        seconds=round(time.monotonic() - move.started, 3),
        verdict=Verdict.VERIFIED if move.verify else Verdict.COUNTED,
        watermark=source_table.watermark.text if source_table.watermark is not None else None,
        notes=tuple(outcome.notes),
    )


def _lock_out_other_runs(move: Move) -> None:
    """Wait until no other run moves this table, and keep others from it until the transaction ends."""
    try:
        with move.target.transaction():
            move.target.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(_WAIT_FOR_OTHER_RUN)))
            lock_in_transaction(move.target, f"transfer {move.plan.target}")
    except psycopg.errors.LockNotAvailable:
        raise TransferInterruptedError(
            f"{move.plan.target}: another run has been moving this table for {_WAIT_FOR_OTHER_RUN}: wait for it or"
            " end it"
        ) from None


def _record_failure(move: Move, message: str) -> None:
    """Write the audit row of a failure where the target can still be reached."""
    target, plan = move.target, move.plan
    failed = TransferResult(
        plan.source, plan.target, plan.mode, 0, 0, 0, time.monotonic() - move.started, Verdict.FAILED
    )
    try:
        if target.closed or target.broken:
            return
        target.rollback()
        audit.ensure_audit(target)
        audit.record_failure(target, failed, move.table_run, message)
    except (psycopg.Error, WarehouseError):
        return
