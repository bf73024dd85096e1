"""Mode `append`: what can't be seen by the transaction id is not lost."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import psycopg

from include.stack.local.postgres import PostgresServer, free_port
from tests.conftest import FAST
from tests.transfer.conftest import LANDED, execute, move


def test_rows_deleted_from_an_appended_table_cause_a_full_refresh(source_uri: str, target_uri: str) -> None:
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


def test_source_restored_from_a_copy_of_its_disk_is_noticed(tmp_path: Path, target_uri: str) -> None:
    """Such a restore keeps the server's identity, and gives the ids of lost transactions to new ones."""
    source = PostgresServer(tmp_path / "source", free_port(), options=FAST)
    source.start()
    try:
        uri = source.uri()
        execute(uri, *LANDED, "insert into retail.events (id) select generate_series(1, 100)")
        move(uri, target_uri)
        source.stop()
        subprocess.run(["cp", "--archive", source.data, tmp_path / "backup"], check=True)
        source.start()
        for number in range(50):  # one transaction each
            execute(uri, f"insert into retail.events (id) values ({1000 + number})")
        move(uri, target_uri)
        source.stop()
        shutil.rmtree(source.data)
        subprocess.run(["cp", "--archive", tmp_path / "backup", source.data], check=True)
        source.start()
        execute(uri, "insert into retail.events (id) select generate_series(2001, 2050)")
        done = move(uri, target_uri)["retail.events"]
        assert (done.mode, done.rows) == ("full", 150)
        assert any("transaction ids are behind" in note for note in done.notes)
        with psycopg.connect(target_uri) as target:
            assert target.execute("select min(id), max(id) from retail.events where id > 100").fetchone() == (
                2001,
                2050,
            )
    finally:
        source.destroy()
