"""One snapshot of the source for all tables of a run, also when each table is moved by a process of its own.

An exported snapshot lives as long as the transaction that exported it. Within one process `held_snapshot` is that
transaction. Among processes, such as the tasks of a DAG, one is the snapshot holder:

- The holder runs `hold_snapshot` beside the tasks that move the tables. It publishes the snapshot's id under the run's
  id in the target's `transfer.snapshots`. It holds the snapshot until every planned table has moved, until somebody
  calls `release_snapshot` (a last task that runs whatever became of the others), or until its timeout.
- The others call `shared_snapshot`, which waits for the id to appear, and read at it.
- A holder that dies takes the snapshot with it. Tables that have already begun to read go on. The rest fail with
  SnapshotLostError at once instead of mixing two snapshots, and their retries wait for the next holder.
- A holder that is started again for the same run holds a new snapshot. Before it publishes that, it moves the tables
  again that had moved already, so in the end all tables of the run are of one snapshot.

The transaction reads only and holds no lock on any table. Like every long read it keeps vacuum from removing row
versions that are newer than it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from include.postgres import Connection, errors_as_sentences, query, safe_message, scalar
from include.transfer.audit import ensure_audit, finished, snapshot_of
from include.transfer.model import SnapshotLostError, TablePlan, TransferInterruptedError
from include.transfer.move import Move, move_table
from include.transfer.session import connect, reading

_HEARTBEAT = 1.0  # seconds between two signs of life of a holder
_SILENT = 15.0  # seconds without one after which a holder counts as dead
_POLL = 0.2  # seconds between two looks for the snapshot's id


@contextmanager
def held_snapshot(source_uri: str) -> Iterator[str]:
    """Yield the id of a snapshot of the source that other connections can read at while the `with` block lasts."""
    with _held(source_uri) as (_, snapshot):
        yield snapshot


def hold_snapshot(
    source_uri: str, target_uri: str, run_id: str, plans: Sequence[TablePlan], *, timeout: float = 6 * 3600
) -> int:
    """Publish a snapshot for the run and hold it; return how many of the planned tables have moved at it by the end.

    Returns when all have, or when the run is released. Raises TransferInterruptedError when the timeout (seconds)
    passes, or either server loses the connection.
    """
    deadline = time.monotonic() + timeout
    with connect(target_uri, "target") as target, _held(source_uri) as (source, snapshot):
        with errors_as_sentences("target"):
            _announce(target, run_id)
            moved_before = [plan for plan in plans if finished(target, run_id, plan.target, None)]
        if moved_before:  # at the snapshot of a holder that died
            with connect(source_uri, "source") as reader:
                for plan in moved_before:
                    move_table(Move(reader, target, plan, run_id, snapshot))
        try:
            target.execute("update transfer.snapshots set snapshot = %s where run_id = %s", [snapshot, run_id])
            # a loop by hand: it is no retry, its purpose is to keep the snapshot's transaction open
            while True:
                moved = sum(finished(target, run_id, plan.target, snapshot) is not None for plan in plans)
                if moved == len(plans) or not _beat(source, target, run_id):
                    return moved
                if time.monotonic() > deadline:
                    raise TransferInterruptedError(
                        f"run {run_id}: {len(plans) - moved} of {len(plans)} tables had not moved when its snapshot's"
                        f" time ({timeout:.0f} s) was over: transfer.runs says why; start the run again"
                    )
                time.sleep(_HEARTBEAT)
        except psycopg.Error as error:
            raise TransferInterruptedError(f"run {run_id}: the snapshot is lost: {safe_message(error)}") from None
        finally:
            if not target.closed and not target.broken:
                target.execute("update transfer.snapshots set released = true where run_id = %s", [run_id])


def shared_snapshot(target_uri: str, run_id: str, plan: TablePlan | None = None, *, timeout: float = 300) -> str:
    """Return the id of the snapshot that this run's holder holds, and wait for it up to `timeout` seconds.

    With the plan of a table that has moved already, and no holder any more, it is the snapshot that the table was read
    at. So the retry of a task that died after its work was done finds it done. Raises SnapshotLostError when there is
    neither by then.
    """
    polling = Retrying(
        retry=retry_if_exception_type(SnapshotLostError),
        wait=wait_fixed(_POLL),
        stop=stop_after_delay(timeout),
        reraise=True,
    )
    with connect(target_uri, "target") as target, errors_as_sentences("target"):
        ensure_audit(target)
        return polling(_published, target, run_id, plan)


def release_snapshot(target_uri: str, run_id: str) -> None:
    """Let the run's holder end: nobody will read at its snapshot any more. Safe to repeat."""
    with connect(target_uri, "target") as target, errors_as_sentences("target"):
        ensure_audit(target)
        target.execute("update transfer.snapshots set released = true where run_id = %s", [run_id])


@contextmanager
def _held(source_uri: str) -> Iterator[tuple[Connection, str]]:
    """Yield a connection that holds a snapshot, and the snapshot's id.

    The id is the server's with a random suffix, because a server that restarts after a crash counts its ids from
    the start again: the same one would come back for another snapshot.
    """
    with connect(source_uri, "source") as source, reading(source, None):
        with errors_as_sentences("source"):
            snapshot = scalar(source, "select pg_export_snapshot()")
        yield source, f"{snapshot}/{secrets.token_hex(4)}"


def _announce(target: Connection, run_id: str) -> None:
    """Say that a holder is about to publish this run's snapshot, in place of any earlier one."""
    ensure_audit(target)
    target.execute("delete from transfer.snapshots where seen_at < clock_timestamp() - interval '30 days'")
    target.execute(
        "insert into transfer.snapshots (run_id, snapshot) values (%s, null) on conflict (run_id) do update"
        " set snapshot = null, opened_at = clock_timestamp(), seen_at = clock_timestamp(), released = false",
        [run_id],
    )


def _published(target: Connection, run_id: str, plan: TablePlan | None) -> str:
    """Return the snapshot of a living holder, else the one at which this table has moved.

    Raises SnapshotLostError when there is neither.
    """
    rows = query(
        target,
        "select snapshot from transfer.snapshots where run_id = %s and not released and snapshot is not null"
        " and seen_at > clock_timestamp() - make_interval(secs => %s)",
        *(run_id, _SILENT),
    )
    if rows:
        return str(rows[0][0])
    snapshot = snapshot_of(target, run_id, plan.target) if plan is not None else None
    if snapshot is None:
        raise SnapshotLostError(
            f"run {run_id}: nobody holds its snapshot; start the task that holds it again, then this one"
        )
    return snapshot


def _beat(source: Connection, target: Connection, run_id: str) -> bool:
    """Record that the snapshot is still held; return whether it still should be."""
    source.execute("select 1")
    rows = query(
        target,
        "update transfer.snapshots set seen_at = clock_timestamp() where run_id = %s returning released",
        run_id,
    )
    return bool(rows) and not rows[0][0]
