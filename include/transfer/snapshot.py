"""One moment of the source for all tables of a run, also when each table is moved by a process of its own.

An exported snapshot lives as long as the transaction that exported it. Within one process `held_snapshot` is that
transaction. Among processes, such as the tasks of a DAG, one of them is the keeper:

- the keeper runs `hold_snapshot` beside the tasks that move the tables. It publishes the snapshot's id under the run's
  id in the target's `transfer.snapshots` and holds it until every planned table is across, until somebody calls
  `release_snapshot` (a last task that runs whatever became of the others), or until its timeout.
- the others call `shared_snapshot`, which waits for the id to appear, and read at it.
- a keeper that dies takes the snapshot with it. Tables that have already begun to read go on; the rest fail with
  SnapshotLostError at once instead of mixing two moments, and their retries wait for the next keeper.
- a keeper that is started again for the same run holds a new moment. Before it publishes it, it brings the tables that
  were across already up to that moment, so at the end all tables of the run are of one moment again.

The transaction reads only and holds no lock on any table; like every long read it keeps vacuum from removing row
versions that are newer than it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

from include.postgres import Connection, query, safe_message, scalar
from include.transfer.audit import ensure_audit, finished, snapshot_of
from include.transfer.model import SnapshotLostError, TablePlan, TransferInterruptedError
from include.transfer.move import move_table
from include.transfer.session import connect, reading

_HEARTBEAT = 1.0  # seconds
_SILENT = 15.0  # seconds after which a keeper that doesn't beat counts as dead


@contextmanager
def held_snapshot(source_uri: str) -> Iterator[str]:
    """Yield the id of a snapshot of the source that other connections can read at while this block lasts."""
    with _held(source_uri) as (_, snapshot):
        yield snapshot


def hold_snapshot(
    source_uri: str, target_uri: str, run_id: str, plans: Sequence[TablePlan], *, timeout: float = 6 * 3600
) -> int:
    """Publish a snapshot for the run and hold it; return how many of the planned tables were across at it by the end.

    Returns when all are, or when the run is released. Raises TransferInterruptedError when the timeout (seconds)
    passes, or either server loses the connection.
    """
    deadline = time.monotonic() + timeout
    with connect(target_uri, "target") as target, _held(source_uri) as (source, snapshot):
        ensure_audit(target)
        target.execute("delete from transfer.snapshots where seen_at < clock_timestamp() - interval '30 days'")
        target.execute(
            "insert into transfer.snapshots (run_id, snapshot) values (%s, null) on conflict (run_id) do update"
            " set snapshot = null, opened_at = clock_timestamp(), seen_at = clock_timestamp(), released = false",
            [run_id],
        )
        earlier = [plan for plan in plans if finished(target, run_id, plan.target, None)]
        if earlier:
            with connect(source_uri, "source") as reader:
                for plan in earlier:
                    move_table(reader, target, plan, run_id=run_id, snapshot=snapshot)
        target.execute("update transfer.snapshots set snapshot = %s where run_id = %s", [snapshot, run_id])
        try:
            while True:
                across = sum(finished(target, run_id, plan.target, snapshot) is not None for plan in plans)
                if across == len(plans) or not _beat(source, target, run_id):
                    return across
                if time.monotonic() > deadline:
                    raise TransferInterruptedError(
                        f"run {run_id}: {len(plans) - across} of {len(plans)} tables weren't across when its snapshot's"
                        f" time ({timeout:.0f} s) was over: transfer.runs says why; start the run again"
                    )
                time.sleep(_HEARTBEAT)
        except psycopg.Error as error:
            raise TransferInterruptedError(f"run {run_id}: the snapshot is lost: {safe_message(error)}") from None
        finally:
            if not target.closed and not target.broken:
                target.execute("update transfer.snapshots set released = true where run_id = %s", [run_id])


@contextmanager
def _held(source_uri: str) -> Iterator[tuple[Connection, str]]:
    """Yield a connection that holds a snapshot, and the snapshot's id: the server's, and a part of our own.

    The server counts from the start again when it starts again, so that an id of its own can come back for another
    moment.
    """
    with connect(source_uri, "source") as source, reading(source, None):
        yield source, f"{scalar(source, 'select pg_export_snapshot()')}/{secrets.token_hex(4)}"


def shared_snapshot(target_uri: str, run_id: str, plan: TablePlan | None = None, *, timeout: float = 300) -> str:
    """Return the id of the snapshot that this run's keeper holds, and wait for it up to `timeout` seconds.

    For the plan of a table that is across already and has no keeper any more, it is the snapshot it was read at, so
    that the retry of a task which died after its work was done finds it done. Raises SnapshotLostError when there is
    neither by then.
    """
    deadline = time.monotonic() + timeout
    with connect(target_uri, "target") as target:
        ensure_audit(target)
        while True:
            rows = query(
                target,
                "select snapshot from transfer.snapshots where run_id = %s and not released and snapshot is not null"
                " and seen_at > clock_timestamp() - make_interval(secs => %s)",
                *(run_id, _SILENT),
            )
            if rows:
                return str(rows[0][0])
            done = snapshot_of(target, run_id, plan.target) if plan is not None else None
            if done is not None:
                return done
            if time.monotonic() > deadline:
                raise SnapshotLostError(
                    f"run {run_id}: nobody holds its snapshot; start the task that holds it again, then this one"
                )
            time.sleep(0.2)


def release_snapshot(target_uri: str, run_id: str) -> None:
    """Tell the run's keeper that nobody will read at its snapshot any more. Safe to repeat."""
    with connect(target_uri, "target") as target:
        ensure_audit(target)
        target.execute("update transfer.snapshots set released = true where run_id = %s", [run_id])


def _beat(source: Connection, target: Connection, run_id: str) -> bool:
    """Say that the snapshot is still held, and return whether it still should be."""
    source.execute("select 1")
    rows = query(
        target,
        "update transfer.snapshots set seen_at = clock_timestamp() where run_id = %s returning released",
        run_id,
    )
    return bool(rows) and not rows[0][0]
