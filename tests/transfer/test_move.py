"""One table, whatever its source and its target are like."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from include.stack.local.postgres import PostgresServer, free_port
from include.transfer import held_snapshot, plan, transfer_table
from tests.conftest import FAST
from tests.transfer.conftest import LANDED, execute, move, rows, texts


def test_runs_that_wait_for_each_other_all_succeed(source_uri: str, target_uri: str) -> None:
    execute(target_uri, f"alter database {target_uri.split('/')[-1]} set default_transaction_isolation = serializable")
    execute(source_uri, *LANDED)
    move(source_uri, target_uri)
    execute(source_uri, "insert into retail.events (id) select generate_series(1, 50000)")
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(move, source_uri, target_uri, include=["retail.events"]) for _ in range(3)]:
            assert done.result()["retail.events"].rows == 50_000


@pytest.fixture
def standby() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A primary and a hot standby of it.

    In a folder of its own that the servers' user may enter: any session of pytest shuts pytest's folders to others.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        primary = PostgresServer(Path(folder, "primary"), free_port(), options=FAST)
        primary.start()
        replica = PostgresServer(
            Path(folder, "replica"), free_port(), superuser_password=primary.superuser_password, options=FAST
        )
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


def test_triggers_in_the_target_change_no_row(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create table item (id int primary key, v int)", "insert into item values (1, 1), (2, 2)")
    move(source_uri, target_uri)
    execute(
        target_uri,
        "create function other() returns trigger language plpgsql as 'begin new.v = 0; return new; end'",
        "create trigger other before insert on item for each row execute function other()",
    )
    for mode in ("full", "key"):
        execute(source_uri, "update item set v = v + 1 where id = 1")
        assert move(source_uri, target_uri)["public.item"].mode == mode
        assert texts(source_uri, "item") == texts(target_uri, "item")


@pytest.mark.parametrize(
    "statement", ["alter table t drop constraint t_v_check", "alter table t drop constraint t_v_key"]
)
def test_a_table_follows_when_its_source_drops_a_check_or_a_key(
    statement: str, source_uri: str, target_uri: str
) -> None:
    execute(
        source_uri, "create table t (id int primary key, v int unique check (v > 0))", "insert into t values (1, 1)"
    )
    move(source_uri, target_uri)
    value = "-i" if "check" in statement else "1"
    execute(source_uri, statement, f"insert into t select i, {value} from generate_series(2, 3000) i")
    done = move(source_uri, target_uri)["public.t"]
    assert done.mode == "full" and "the target refuses the changes" in str(done.notes)
    assert move(source_uri, target_uri)["public.t"].mode == "key"
    assert texts(source_uri, "t") == texts(target_uri, "t")


def test_a_table_that_the_target_publishes_follows(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create table t (id int not null unique, v int)", "insert into t values (1, 1), (2, 2)")
    execute(target_uri, "create publication everything for all tables")
    for number in range(3):
        move(source_uri, target_uri, full=number == 1)
        assert texts(source_uri, "t") == texts(target_uri, "t")
        execute(source_uri, f"update t set v = {number + 5} where id = 1")


@pytest.mark.e2e
def test_the_metadata_database_of_airflow_moves_whole(source_uri: str, target_uri: str, tmp_path: Path) -> None:
    uri = source_uri.replace("postgresql://", "postgresql+psycopg2://")
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": uri}
    program = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(program, env=environment, check=True, capture_output=True, timeout=300)
    execute(source_uri, "insert into variable (key, val, is_encrypted) values ('k', 'v', false)")
    for _ in range(2):
        done = move(source_uri, target_uri)
        assert len(done) > 40 and {result.verdict for result in done.values()} == {"verified"}
    assert texts(source_uri, "variable") == texts(target_uri, "variable")
