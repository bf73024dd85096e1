"""All tables of a run, several at once, at one moment of the source."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from include.transfer.move import move_table
from include.transfer.names import TablePlan, TransferError, TransferResult
from include.transfer.session import Connection, connect
from include.transfer.snapshot import held_snapshot

Report = Callable[[TablePlan, int, int], None]  # a table, and rows and bytes that have just travelled
Done = Callable[[TablePlan, TransferResult | TransferError], None]


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
) -> list[tuple[TablePlan, TransferResult | TransferError]]:
    """Move the tables, `jobs` at a time, and return what became of each. One table's failure stops no other.

    Raises TransferError when the source can't be reached at the start.
    """
    pairs: queue.SimpleQueue[tuple[Connection, Connection]] = queue.SimpleQueue()
    opened = threading.local()

    def move(plan: TablePlan) -> TransferResult | TransferError:
        try:
            pair: tuple[Connection, Connection] | None = getattr(opened, "pair", None)
            if pair is None or any(c.closed or c.broken for c in pair):
                pair = opened.pair = (connect(source_uri, "source"), connect(target_uri, "target"))
                pairs.put(pair)
            return move_table(
                *pair,
                plan,
                run_id=run_id,
                snapshot=snapshot,
                verify=verify,
                progress=lambda rows, size: report(plan, rows, size),
            )
        except TransferError as error:
            return error

    outcomes = []
    with held_snapshot(source_uri) as snapshot:
        try:
            with ThreadPoolExecutor(max_workers=max(1, min(jobs, len(plans)))) as pool:
                moves = {pool.submit(move, plan): plan for plan in plans}
                try:
                    for each in as_completed(moves):
                        outcomes.append((moves[each], each.result()))
                        done(*outcomes[-1])
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        finally:
            while not pairs.empty():
                for connection in pairs.get():
                    connection.close()
    return outcomes
