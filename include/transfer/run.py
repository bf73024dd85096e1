"""All tables of a run, several at once, at one snapshot of the source."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
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
    connections: list[Connection] = []
    own = threading.local()  # each thread keeps one pair of connections for all its tables
    stopped = threading.Event()

    def progress(plan: TablePlan, rows: int, size: int) -> None:
        if stopped.is_set():
            raise TransferInterruptedError(f"{plan.source}: stopped")
        report(plan, rows, size)

    def move(plan: TablePlan) -> Outcome:
        try:
            pair: tuple[Connection, Connection] | None = getattr(own, "pair", None)
            if pair is None or any(c.closed or c.broken for c in pair):
                pair = own.pair = (connect(source_uri, "source"), connect(target_uri, "target"))
                connections.extend(pair)
            return move_table(Move(*pair, plan, run_id, snapshot, verify, partial(progress, plan)))
        except TransferError as error:
            return error
        except WarehouseError as error:  # a server that can't be reached
            return as_transfer_error(error, plan.source, plan.target)

    outcomes: list[tuple[TablePlan, Outcome]] = []
    bugs: list[BaseException] = []
    with held_snapshot(source_uri) as snapshot:
        try:
            with ThreadPoolExecutor(max_workers=max(1, min(jobs, len(plans)))) as pool:
                moves = {pool.submit(move, plan): plan for plan in plans}
                try:
                    for each in as_completed(moves):
                        bug = each.exception()
                        if bug is not None:
                            bugs.append(bug)
                            continue
                        outcomes.append((moves[each], each.result()))
                        done(*outcomes[-1])
                except BaseException:
                    stopped.set()
                    pool.shutdown(wait=False, cancel_futures=True)
                    for connection in connections:
                        with suppress(psycopg.Error):
                            connection.cancel_safe()
                    raise
        finally:
            for connection in connections:
                connection.close()
    if bugs:
        raise bugs[0]
    return outcomes
