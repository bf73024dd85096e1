"""All tables of a run are read at one snapshot, and nothing is lost to open transactions."""

from __future__ import annotations

import subprocess
import threading
import time

import psycopg
import pytest

from include.stack.local.postgres import PostgresServer, programs
from include.transfer import (
    SnapshotLostError,
    held_snapshot,
    hold_snapshot,
    plan,
    release_snapshot,
    shared_snapshot,
    transfer_table,
)
from tests.transfer.conftest import LANDED, execute, move, rows, texts


def _write(uri: str, over: threading.Event, number: int) -> None:
    """Write to the source until told to stop: long and short transactions, some rolled back, in no order."""
    with psycopg.connect(uri) as connection:
        step = 0
        while not over.is_set():
            step += 1
            key = number * 1_000_000 + step
            connection.execute(
                "insert into retail.events (id, v) select %s, 'v' || i from generate_series(1, 5) i", [key]
            )
            connection.execute("insert into retail.account values (%s, 0)", [key])
            connection.execute("insert into retail.address values (%s, %s, 'a')", [key, key])
            connection.execute("update retail.account set v = v + 1 where id %% 13 = %s", [step % 13])
            connection.execute("delete from retail.address where id %% 101 = %s", [step % 101])
            if number == 0:
                time.sleep(0.3)  # stays open while runs read
            if step % 7:
                connection.commit()
            else:
                connection.rollback()


def test_twenty_runs_beside_writers_lose_nothing(source_uri: str, target_uri: str) -> None:
    execute(source_uri, *LANDED)
    over = threading.Event()
    writers = [threading.Thread(target=_write, args=(source_uri, over, n)) for n in range(3)]
    for writer in writers:
        writer.start()
    modes = set()
    try:
        for number in range(20):
            run_id = f"beside-{number}"
            with held_snapshot(source_uri) as snapshot:
                for p in plan(source_uri, target_uri):
                    done = transfer_table(source_uri, target_uri, p, run_id=run_id, snapshot=snapshot, verify=True)
                    modes.add((p.source, done.mode, any("refreshed in full" in note for note in done.notes)))
            orphans = "select count(*) from retail.address a left join retail.account o on o.id = account_id"
            assert rows(target_uri, orphans + " where o.id is null") == [(0,)], "tables of one run are of one snapshot"
    finally:
        over.set()
        for writer in writers:
            writer.join()
    move(source_uri, target_uri)
    for table in ("retail.events", "retail.account", "retail.address"):
        assert texts(source_uri, table) == texts(target_uri, table)
    assert modes == {
        ("retail.events", "full", False),
        ("retail.events", "append", False),
        ("retail.account", "full", False),
        ("retail.account", "key", False),
        ("retail.address", "full", False),
        ("retail.address", "key", False),
    }


def test_tables_that_pgbench_makes_move_while_it_runs(source_uri: str, target_uri: str) -> None:
    program = str(programs(18) / "pgbench")
    subprocess.run([program, "--initialize", "--scale=2", "--quiet", source_uri], check=True, capture_output=True)
    with subprocess.Popen([program, "--client=2", "--time=6", source_uri], stdout=-3, stderr=-3) as bench:
        for number in range(3):
            with held_snapshot(source_uri) as snapshot:
                for p in plan(source_uri, target_uri):
                    done = transfer_table(
                        source_uri, target_uri, p, run_id=f"b{number}", snapshot=snapshot, verify=True
                    )
                    assert "after the comparison" not in str(done.notes)
            [sums] = rows(
                target_uri,
                "select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),"
                " (select sum(bbalance) from pgbench_branches), (select coalesce(sum(delta), 0) from pgbench_history)",
            )
            assert len(set(sums)) == 1, "pgbench keeps these equal in every transaction"
        bench.wait()
    assert "after the comparison" not in str(move(source_uri, target_uri))
    for table in ("pgbench_accounts", "pgbench_tellers", "pgbench_branches", "pgbench_history"):
        assert texts(source_uri, table) == texts(target_uri, table)


def test_a_snapshot_before_a_crash_is_not_taken_for_one_after_it(old_server: PostgresServer) -> None:
    snapshots = set()
    for _ in range(2):
        with held_snapshot(old_server.uri()) as snapshot:
            snapshots.add(snapshot)
            old_server.stop("immediate")
            old_server.start()
    assert len(snapshots) == 2


def test_tasks_share_the_snapshot_of_a_holder(source_uri: str, target_uri: str) -> None:
    execute(source_uri, *LANDED, "insert into retail.account values (1, 1)")
    plans = plan(source_uri, target_uri)
    moved: list[int] = []
    holder = threading.Thread(target=lambda: moved.append(hold_snapshot(source_uri, target_uri, "run 1", plans)))
    holder.start()
    snapshot = shared_snapshot(target_uri, "run 1", timeout=20)
    execute(source_uri, "insert into retail.account values (2, 2)")
    for p in plans:
        transfer_table(source_uri, target_uri, p, run_id="run 1", snapshot=shared_snapshot(target_uri, "run 1"))
    holder.join(20)
    assert moved == [3]
    assert rows(target_uri, "select count(*) from retail.account") == [(1,)], "the second row came after the snapshot"
    again = transfer_table(source_uri, target_uri, plans[0], run_id="run 1", snapshot=snapshot)
    assert again.rows_changed == rows(target_uri, "select count(*) from " + plans[0].target)[0][0], (
        "a retry is a look-up"
    )
    with pytest.raises(SnapshotLostError, match="nobody holds its snapshot"):
        shared_snapshot(target_uri, "run 1", timeout=0)
    assert shared_snapshot(target_uri, "run 1", plans[0], timeout=0) == snapshot, "the retry of a task that was done"


def test_a_new_holder_moves_the_whole_run_to_a_new_snapshot(source_uri: str, target_uri: str) -> None:
    execute(source_uri, *LANDED, "insert into retail.account values (1, 1)")
    plans = {p.source: p for p in plan(source_uri, target_uri)}
    with held_snapshot(source_uri) as lost:
        transfer_table(source_uri, target_uri, plans["retail.account"], run_id="run 2", snapshot=lost)
    with pytest.raises(SnapshotLostError, match="start the run again"):
        transfer_table(source_uri, target_uri, plans["retail.address"], run_id="run 2", snapshot=lost)
    execute(source_uri, "insert into retail.account values (2, 2)", "insert into retail.address values (1, 2, 'x')")
    holder = threading.Thread(target=hold_snapshot, args=(source_uri, target_uri, "run 2", list(plans.values())))
    holder.start()
    snapshot = shared_snapshot(target_uri, "run 2", timeout=20)
    assert rows(target_uri, "select count(*) from retail.account") == [(2,)], "what had moved is of it too"
    transfer_table(source_uri, target_uri, plans["retail.address"], run_id="run 2", snapshot=snapshot)
    release_snapshot(target_uri, "run 2")
    holder.join(20)
    assert not holder.is_alive()
