"""One moment for a run, nothing lost to open transactions, and databases that nobody here wrote."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from include.errors import WarehouseError
from include.local.postgres import PostgresServer, free_port, programs
from include.postgres import safe_message
from include.transfer import (
    SnapshotLostError,
    TransferError,
    TransferResult,
    held_snapshot,
    hold_snapshot,
    plan,
    read_modes,
    release_snapshot,
    shared_snapshot,
    transfer_table,
)
from include.transfer.run import run_transfer
from tests.conftest import FAST
from tests.transfer.conftest import execute, move, rows, texts

LANDED = (
    "create schema retail",
    "create table retail.events (id bigint, v text, _xid xid8 default pg_current_xact_id())",
    "create table retail.account (id bigint primary key, v bigint not null)",
    "create table retail.address (id bigint primary key, account_id bigint references retail.account, v text)",
)


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
            assert rows(target_uri, orphans + " where o.id is null") == [(0,)], "tables of one run are of one moment"
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


@pytest.mark.parametrize(
    "statement",
    [
        "truncate t_1; insert into t values (1, 'new')",
        "alter table t alter v type text using v || '!'",
        "alter table t detach partition t_1",
        "drop table t_1",
        "create table new (like t); insert into new select * from t; alter table t rename to old;"
        " alter table new rename to t",
    ],
)
def test_rows_that_the_moment_no_longer_shows_are_not_taken_for_deleted(
    statement: str, source_uri: str, target_uri: str
) -> None:
    execute(
        source_uri,
        "create table t (id int, v text) partition by range (id)",
        "create table t_1 partition of t for values from (0) to (50)",
        "create table t_2 partition of t default",
        "insert into t select i, 'old' from generate_series(1, 99) i",
    )
    move(source_uri, target_uri)
    with held_snapshot(source_uri) as snapshot:
        [t] = plan(source_uri, target_uri)
        execute(source_uri, statement)
        with pytest.raises(TransferError, match=r"t: public.t.* since the snapshot .*: start the run again"):
            transfer_table(source_uri, target_uri, t, run_id="late", snapshot=snapshot)
    assert rows(target_uri, "select count(*) from t where v = 'old'") == [(99,)]
    move(source_uri, target_uri, include=["public.t"])
    assert texts(source_uri, "t") == texts(target_uri, "t")


def test_a_moment_before_a_crash_is_not_taken_for_one_after_it(old_server: PostgresServer) -> None:
    moments = set()
    for _ in range(2):
        with held_snapshot(old_server.uri()) as snapshot:
            moments.add(snapshot)
            old_server.stop("immediate")
            old_server.start()
    assert len(moments) == 2


def test_a_key_dropped_since_the_moment_is_told(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create table t (id int primary key)")
    with held_snapshot(source_uri) as snapshot:
        [t] = plan(source_uri, target_uri)
        execute(source_uri, "alter table t drop constraint t_pkey")
        with pytest.raises(TransferError, match="its definition was changed in the source since the snapshot"):
            transfer_table(source_uri, target_uri, t, run_id="late", snapshot=snapshot)


def test_a_table_that_lost_nothing_when_it_was_written_anew_shows_its_moment(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create table t (id int primary key)", "insert into t values (1), (2)")
    execute(source_uri, "create table empty (id int)", "vacuum empty")
    with held_snapshot(source_uri) as snapshot:
        [empty, t] = sorted(plan(source_uri, target_uri), key=lambda p: p.source)
        execute(source_uri, "delete from t where id = 1", "vacuum full t", "cluster t using t_pkey", "truncate empty")
        assert transfer_table(source_uri, target_uri, empty, run_id="packed", snapshot=snapshot).rows == 0
        assert transfer_table(source_uri, target_uri, t, run_id="packed", snapshot=snapshot).rows == 2


def test_runs_that_wait_for_each_other_all_succeed(source_uri: str, target_uri: str) -> None:
    execute(target_uri, f"alter database {target_uri.split('/')[-1]} set default_transaction_isolation = serializable")
    execute(source_uri, *LANDED)
    move(source_uri, target_uri)
    execute(source_uri, "insert into retail.events (id) select generate_series(1, 50000)")
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(move, source_uri, target_uri, include=["retail.events"]) for _ in range(3)]:
            assert done.result()["retail.events"].rows == 50_000


def test_what_came_by_transfer_can_go_on_by_transfer(source_uri: str, target_uri: str, old_uri: str) -> None:
    execute(source_uri, "create table t as select 1 as v")
    for _ in range(2):
        move(source_uri, old_uri)
        assert [p.source for p in plan(old_uri, target_uri)] == ["public.t"]
        move(old_uri, target_uri)
    assert rows(target_uri, "select distinct target from transfer.runs") == [("public.t",)]
    execute(source_uri, "create schema transfer", "create table transfer.runs (id int)")
    with pytest.raises(TransferError, match=r"transfer.runs: the transfer keeps its own tables .*: exclude"):
        plan(source_uri, target_uri)


def test_rows_deleted_from_an_appended_table_go_by_a_full_refresh(source_uri: str, target_uri: str) -> None:
    execute(source_uri, *LANDED, "insert into retail.events (id) select generate_series(1, 100)")
    move(source_uri, target_uri)
    execute(source_uri, "delete from retail.events where id < 10", "insert into retail.events (id) values (1000)")
    done = move(source_uri, target_uri)["retail.events"]
    assert (done.mode, done.rows) == ("full", 92)
    assert any("deleted or changed" in note for note in done.notes)


def test_rows_of_a_restored_dump_travel_though_their_transactions_are_unknown_here(
    source_uri: str, target_uri: str
) -> None:
    execute(source_uri, *LANDED, "insert into retail.events values (1, 'restored', '900000000000'), (2, 'null', null)")
    assert move(source_uri, target_uri)["retail.events"].rows == 2
    execute(source_uri, "insert into retail.events (id) values (3)")
    done = move(source_uri, target_uri)["retail.events"]
    assert (done.mode, done.rows, done.rows_changed) == ("append", 3, 1)


def test_the_choice_of_a_mode_can_be_overridden_by_pattern(source_uri: str, target_uri: str) -> None:
    execute(source_uri, *LANDED, "create table plain (v int)")
    modes = read_modes("retail.e*=full, retail.*=key")
    planned = {p.source: p for p in plan(source_uri, target_uri, include=["retail.*"], modes=modes)}
    assert planned["retail.events"].mode == "full" and "configured" in planned["retail.events"].reason
    assert "later runs key comparison: configured" in planned["retail.account"].reason
    execute(target_uri, "create schema retail", "create table retail.account (id bigint primary key)")
    [of_others] = plan(source_uri, target_uri, include=["retail.account"])
    assert of_others.reason.startswith("full refresh: not moved before, later runs key comparison")
    with pytest.raises(TransferError, match=r"public.plain: mode key is configured, but the table lacks a key"):
        plan(source_uri, target_uri, modes=read_modes("*.plain=key"))
    for text in ("retail.*", "=full", "retail.*=fast"):
        with pytest.raises(TransferError, match="write PATTERN=MODE"):
            read_modes(text)


def test_tasks_share_the_moment_of_a_keeper(source_uri: str, target_uri: str) -> None:
    execute(source_uri, *LANDED, "insert into retail.account values (1, 1)")
    plans = plan(source_uri, target_uri)
    across: list[int] = []
    keeper = threading.Thread(target=lambda: across.append(hold_snapshot(source_uri, target_uri, "run 1", plans)))
    keeper.start()
    snapshot = shared_snapshot(target_uri, "run 1", timeout=20)
    execute(source_uri, "insert into retail.account values (2, 2)")
    for p in plans:
        transfer_table(source_uri, target_uri, p, run_id="run 1", snapshot=shared_snapshot(target_uri, "run 1"))
    keeper.join(20)
    assert across == [3]
    assert rows(target_uri, "select count(*) from retail.account") == [(1,)], "the second row came after the moment"
    again = transfer_table(source_uri, target_uri, plans[0], run_id="run 1", snapshot=snapshot)
    assert again.rows_changed == rows(target_uri, "select count(*) from " + plans[0].target)[0][0], (
        "a retry is a look-up"
    )
    with pytest.raises(SnapshotLostError, match="nobody holds its snapshot"):
        shared_snapshot(target_uri, "run 1", timeout=0)
    assert shared_snapshot(target_uri, "run 1", plans[0], timeout=0) == snapshot, "the retry of a task that was done"


def test_a_new_keeper_moves_the_whole_run_to_a_new_moment(source_uri: str, target_uri: str) -> None:
    execute(source_uri, *LANDED, "insert into retail.account values (1, 1)")
    plans = {p.source: p for p in plan(source_uri, target_uri)}
    with held_snapshot(source_uri) as lost:
        transfer_table(source_uri, target_uri, plans["retail.account"], run_id="run 2", snapshot=lost)
    with pytest.raises(SnapshotLostError, match="start the run again"):
        transfer_table(source_uri, target_uri, plans["retail.address"], run_id="run 2", snapshot=lost)
    execute(source_uri, "insert into retail.account values (2, 2)", "insert into retail.address values (1, 2, 'x')")
    keeper = threading.Thread(target=hold_snapshot, args=(source_uri, target_uri, "run 2", list(plans.values())))
    keeper.start()
    snapshot = shared_snapshot(target_uri, "run 2", timeout=20)
    assert rows(target_uri, "select count(*) from retail.account") == [(2,)], "what was across is of the new moment too"
    transfer_table(source_uri, target_uri, plans["retail.address"], run_id="run 2", snapshot=snapshot)
    release_snapshot(target_uri, "run 2")
    keeper.join(20)
    assert not keeper.is_alive()


@pytest.fixture
def standby(tmp_path: Path) -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A primary and a hot standby of it."""
    primary = PostgresServer(tmp_path / "primary", free_port(), options=FAST)
    primary.start()
    replica = PostgresServer(
        tmp_path / "replica", free_port(), superuser_password=primary.superuser_password, options=FAST
    )
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.owner() == tmp_path.owner() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    replica.folder.mkdir()
    primary._give_to_server_user(replica.folder)
    with (primary.data / "pg_hba.conf").open("a") as hba:
        hba.write("host replication all 127.0.0.1/32 scram-sha-256\n")
    execute(primary.uri(), "select pg_reload_conf()")
    uri = primary.uri("replication")
    done = replica._run(
        "pg_basebackup", f"--dbname={uri}", f"--pgdata={replica.data}", "--write-recovery-conf", "--checkpoint=fast"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    connection = (replica.data / "postgresql.auto.conf").read_text().split("primary_conninfo")[1].splitlines()[0]
    replica.options["primary_conninfo"] = connection.strip(" =").strip("'").replace("''", "'").replace("'", "''")
    replica.start()
    yield primary, replica
    replica.destroy()
    primary.destroy()


def test_a_hot_standby_and_a_reader_without_rights_are_enough(
    standby: tuple[PostgresServer, PostgresServer], target_uri: str
) -> None:
    primary, replica = standby
    execute(
        primary.uri(),
        *LANDED,
        "insert into retail.events (id) select generate_series(1, 100)",
        "insert into retail.account select i, i from generate_series(1, 100) i",
        "create role reader login password 'reader-secret'",
        "grant usage on schema retail to reader",
        "grant select on all tables in schema retail to reader",
    )
    uri = replica.uri(user="reader", password="reader-secret")
    with psycopg.connect(primary.uri()) as slow:
        slow.execute("insert into retail.events (id) values (-1)")  # open during the first reads
        execute(primary.uri(), "insert into retail.events (id) values (101)")
        for number in range(3):
            execute(primary.uri(), f"insert into retail.events (id) values ({200 + number})")
            _wait_for(primary, replica)
            move(uri, target_uri, include=["retail.*"])
        slow.commit()
    execute(primary.uri(), "delete from retail.account where id = 5")
    _wait_for(primary, replica)
    done = move(uri, target_uri, include=["retail.*"])
    assert done["retail.events"].mode == "append"
    with held_snapshot(uri) as snapshot:  # a standby can export one too
        for p in plan(uri, target_uri, include=["retail.*"]):
            transfer_table(uri, target_uri, p, run_id="standby", snapshot=snapshot)
    for table in ("retail.events", "retail.account"):
        assert texts(primary.uri(), table) == texts(target_uri, table)


def _wait_for(primary: PostgresServer, replica: PostgresServer) -> None:
    [(position,)] = rows(primary.uri(), "select pg_current_wal_insert_lsn()::text")
    for _ in range(200):
        if rows(replica.uri(), f"select pg_last_wal_replay_lsn() >= '{position}'") == [(True,)]:
            return
        time.sleep(0.05)
    raise AssertionError("the standby did not follow")


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


def test_no_error_tells_a_password_or_a_value(source_uri: str, target_uri: str) -> None:
    password = source_uri.split(":")[2].split("@")[0]
    wrong = [
        source_uri.replace(password, "wrong-secret"),
        source_uri + "?nonsense=1&password=wrong-secret",
        "postgresql://u:wrong-secret@[::1:99/x",
        "postgresql://u:wrong-secret@127.0.0.1:1/x",
    ]
    for uri in wrong:
        with pytest.raises(WarehouseError) as error:
            plan(uri, target_uri)
        assert "wrong-secret" not in str(error.value)
        assert error.value.__cause__ is None and error.value.__suppress_context__
    execute(source_uri, "create table t (email text unique)", "insert into t values ('a@example.com')")
    for statement in (
        "insert into t values ('a@example.com')",
        "select 'a@example.com'::integer",
        "select 'a@example.com'::json",
        "alter table t add check (email = 'b')",
    ):
        with pytest.raises(psycopg.Error) as raised:
            execute(source_uri, statement)
        assert "example.com" in str(raised.value) or raised.value.sqlstate == "23514"
        assert "example.com" not in safe_message(raised.value)


def test_a_failure_is_recorded_and_stops_no_other_table(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create table t (v int)", "create table u (v int)", "insert into t values (1)")
    move(source_uri, target_uri)
    execute(source_uri, "alter table t alter v type date using null")
    [t, u] = sorted(plan(source_uri, target_uri), key=lambda p: p.source)
    outcomes = dict(run_transfer(source_uri, target_uri, [t, u], run_id="one", jobs=2))
    assert isinstance(outcomes[t], TransferError) and isinstance(outcomes[u], TransferResult)
    recorded = "select target, verdict, error is null from transfer.runs where run_id = 'one' order by 1"
    assert rows(target_uri, recorded) == [("public.t", "failed", False), ("public.u", "counted", True)]
    assert rows(target_uri, "select v from t") == [(1,)]


def test_an_interrupted_run_does_not_wait_for_the_tables_under_way(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create view endless as select pg_sleep(60)::text as v", "create table other (v int)")
    [endless, other] = sorted(plan(source_uri, target_uri, views=True), key=lambda p: p.source)

    def interrupt(*_: object) -> None:
        time.sleep(0.05)
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_transfer(source_uri, target_uri, [endless, other], run_id="i", jobs=2, done=interrupt)
    assert time.monotonic() - started < 30
    assert rows(target_uri, "select target from transfer.runs where error is null") == [("public.other",)]
