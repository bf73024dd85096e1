"""All tables of a run, several at once, at one snapshot of the source."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial

import psycopg

from include.errors import WarehouseError
from include.postgres import Connection
from include.transfer.model import TablePlan, TransferError, TransferInterruptedError, TransferResult, as_transfer_error
from include.transfer.move import Move, move_table
from include.transfer.session import connect
from include.transfer.snapshot import held_snapshot

Outcome = TransferResult | TransferError
Report = Callable[[TablePlan, int, int], None]  # called with a table, and rows and bytes of it that were just sent
Done = Callable[[TablePlan, Outcome], None]


def run_transfer(
    source_uri: str,
    target_uri: str,
    plans: Sequence[TablePlan],
    *,
    run_id: str,
    jobs: int,
    verify: bool = False,
    report: Report = lambda plan, rows, size: None,
    done: Done = lambda plan, outcome: None,
) -> list[tuple[TablePlan, Outcome]]:
    """Move the tables, `jobs` at a time, and return what became of each. One table's failure stops no other.

    Raises ConnectionFailedError when the source can't be reached at the start. A bug met by one table is raised when
    the others are done. What interrupts the run (KeyboardInterrupt, an error of `done`) ends the tables under way as
    well: they keep their old rows.
    """
    outcomes: list[tuple[TablePlan, Outcome]] = []
    bugs: list[BaseException] = []
    with held_snapshot(source_uri) as snapshot:
        mover = _Mover(source_uri, target_uri, run_id, snapshot, verify, report)
        with closing(mover), ThreadPoolExecutor(max_workers=max(1, min(jobs, len(plans)))) as pool:
            moves = {pool.submit(mover.move, plan): plan for plan in plans}
            try:
                for each in as_completed(moves):
                    bug = each.exception()
                    if bug is not None:
                        bugs.append(bug)
                        continue
                    outcomes.append((moves[each], each.result()))
                    done(*outcomes[-1])
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                mover.stop()
                raise
    if bugs:
        raise bugs[0]
    return outcomes


@dataclass
class _Mover:
    """Moves tables for the threads of a run. Each thread keeps one pair of connections for all its tables."""

    source_uri: str
    target_uri: str
    run_id: str
    snapshot: str
    verify: bool
    report: Report
    _connections: list[Connection] = field(default_factory=list)
    _own: threading.local = field(default_factory=threading.local)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def move(self, plan: TablePlan) -> Outcome:
        """Move one table; return its failure instead of raising it."""
        try:
            source, target = self._pair()
            progress = partial(self._progress, plan)
            return move_table(Move(source, target, plan, self.run_id, self.snapshot, self.verify, progress))
        except TransferError as error:
            return error
        except WarehouseError as error:  # a server that can't be reached
            return as_transfer_error(error, plan.source, plan.target)

    def stop(self) -> None:
        """End the tables under way: the next batch of rows raises, and statements that run are cancelled."""
        self._stopped.set()
        for connection in self._connections:
            with suppress(psycopg.Error):
                connection.cancel_safe()

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def _pair(self) -> tuple[Connection, Connection]:
        """Return this thread's connections, new ones after a failure that has closed one of them."""
        pair: tuple[Connection, Connection] | None = getattr(self._own, "pair", None)
        if pair is None or any(connection.closed or connection.broken for connection in pair):
            pair = self._own.pair = (connect(self.source_uri, "source"), connect(self.target_uri, "target"))
            self._connections.extend(pair)
        return pair

    def _progress(self, plan: TablePlan, rows: int, size: int) -> None:
        if self._stopped.is_set():
            raise TransferInterruptedError(f"{plan.source}: stopped")
        self.report(plan, rows, size)
