"""Old history and old logs go, and what is recent, or the last of its kind, stays."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from include import settings
from include.cli import main
from include.stack import pruning
from include.stack.local import airflow
from include.stack.local.postgres import PostgresServer, free_port
from tests.conftest import FAST

DAY = 24 * 60 * 60
LOG_FOLDERS = (
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER",
    "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY",
)
HISTORY = """
insert into dag_run (dag_id, run_id, run_type, run_after, start_date, state)
select dag, run_type || age, run_type, now() - age * interval '1 day', now() - age * interval '1 day', 'success'
from (values ('warehouse', 'manual', 200), ('warehouse', 'manual', 100), ('warehouse', 'manual', 50),
             ('yearly', 'scheduled', 300), ('yearly', 'scheduled', 150)) runs (dag, run_type, age);
insert into log (event, dttm) values ('old', now() - interval '121 days'), ('new', now() - interval '119 days');
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Airflow's own database, as Airflow makes it, in the place where the stack without Docker has it."""
    folder = tmp_path_factory.mktemp("local") / "databases" / "airflow"
    server = PostgresServer(folder, free_port(), major=settings.AIRFLOW_POSTGRES_MAJOR, options=FAST)
    server.start()
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        connection.execute("create database airflow")
    migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(migrate, env={**os.environ, **variables(server)}, capture_output=True, check=True)
    yield server
    server.destroy()


@pytest.fixture
def database(server: PostgresServer) -> Iterator[psycopg.Connection]:
    with psycopg.connect(server.uri("airflow"), autocommit=True) as connection:
        connection.execute("truncate dag_run, log cascade")
        connection.execute(HISTORY)
        yield connection


def variables(server: PostgresServer) -> dict[str, str]:
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": server.uri("airflow").replace("://", "+psycopg2://", 1)}


def write(path: Path, days_ago: float, size: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    for changed in (path, *path.parents[:2]):
        os.utime(changed, (time.time() - days_ago * DAY,) * 2)
    return path


def test_history_older_than_the_days_goes_and_the_last_scheduled_run_of_a_dag_stays(
    server: PostgresServer,
    database: psycopg.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {**variables(server), "AIRFLOW_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    old = write(tmp_path / "logs/dag_id=warehouse/run_id=manual200/attempt=1.log", 121)
    new = write(tmp_path / "logs/dag_id=warehouse/run_id=manual50/attempt=1.log", 119)
    assert main(["stack", "prune", "--environment", "--days", "120"]) == 0
    runs = database.execute("select run_id from dag_run order by run_id").fetchall()
    assert runs == [("manual100",), ("manual50",), ("scheduled150",)]
    assert database.execute("select event from log where event in ('old', 'new')").fetchall() == [("new",)]
    assert database.execute("select count(*) from pg_tables where tablename like '\\_airflow\\_del%'").fetchone() == (
        0,
    )
    assert not old.exists() and not old.parent.exists() and new.exists()
    assert "files of task and DAG logs" in capsys.readouterr().out


@pytest.fixture
def stack(server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of a stack without Docker whose Airflow has that database, and its logs in `tmp_path`."""
    own = dataclasses.replace(
        settings.AIRFLOW_DB, port=server.port, user="superuser", password=server.superuser_password
    )
    monkeypatch.setattr(settings, "AIRFLOW_DB", own)
    monkeypatch.setattr(settings, "LOCAL", server.folder.parents[1])
    monkeypatch.setattr(airflow, "LOGS", tmp_path)


@pytest.mark.usefixtures("stack")
def test_stack_without_docker_is_pruned_with_its_own_settings_and_logs(
    database: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airflow, "HOME", tmp_path / "home")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql+psycopg2://somebody:else@127.0.0.1:1/airflow")
    old = [write(tmp_path / folder / "a/b.log", 40) for folder in ("tasks", "dag_files")]
    large, small = write(tmp_path / "scheduler.log", 0, pruning.LARGEST_LOG + 1), write(tmp_path / "migrate.log", 400)
    assert main(["stack", "prune", "--days", "30"]) == 0
    assert database.execute("select run_id from dag_run").fetchall() == [("scheduled150",)]
    assert not [path for path in old if path.exists()]
    assert large.stat().st_size == 0 and (tmp_path / "scheduler.log.1").stat().st_size == pruning.LARGEST_LOG + 1
    assert small.stat().st_size == 1
    written = {name: Path(value) for name, value in airflow.environment().items() if name in LOG_FOLDERS}
    assert sorted(path.name for path in written.values()) == ["dag_files", "tasks"], "or other logs would pile up"


def test_log_that_is_set_aside_is_written_on(tmp_path: Path) -> None:
    with (tmp_path / "scheduler.log").open("a") as process:
        process.write("x" * (pruning.LARGEST_LOG + 1))
        process.flush()
        assert [path.name for path in pruning.rotate(tmp_path)] == ["scheduler.log"]
        process.write("next")
    assert (tmp_path / "scheduler.log").read_text() == "next"
    assert not list(pruning.rotate(tmp_path))


def test_page_says_from_which_size_on_a_log_is_set_aside() -> None:
    page = (settings.PROJECT / "docs" / "production.md").read_text(encoding="utf-8")
    assert f"where they are larger than {pruning.LARGEST_LOG // 2**20} MB" in page


@pytest.mark.usefixtures("stack")
def test_database_of_another_stack_on_the_port_is_left_alone(
    database: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Docker's Airflow has its database on the same port, with the same password."""
    monkeypatch.setattr(settings, "LOCAL", tmp_path / "never_started")
    old = write(tmp_path / "tasks/a/b.log", 4000)
    assert main(["stack", "prune", "--days", "30"]) == 1
    said = capsys.readouterr().err
    assert "does not run: `make start` starts it" in said and str(tmp_path / "never_started") in said
    assert database.execute("select count(*) from dag_run").fetchone() == (5,)
    assert old.exists()


@pytest.mark.parametrize("days", ["0", "-1", "1.5", "x"])
def test_number_of_days_that_keeps_nothing_is_refused(days: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["stack", "prune", f"--days={days}"])
    assert f"argument --days: '{days}' is no number of days from 1 up" in capsys.readouterr().err


def test_failure_of_airflow_is_shown_and_no_log_is_removed(
    server: PostgresServer, database: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**variables(server), "AIRFLOW_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    old = write(tmp_path / "logs/a/b.log", 4000)
    refuse = "begin raise exception 'no' using errcode = 'insufficient_privilege'; end"
    database.execute(f"create function refuse() returns trigger language plpgsql as $${refuse}$$".encode())
    database.execute("create trigger refuse before delete on log execute function refuse()")
    try:
        with pytest.raises(pruning.PruneError, match=r"(?s)no log was removed.*[Ee]rror.*\blog\b"):
            pruning.prune_configured(90)
    finally:
        database.execute("drop function refuse cascade")
    assert old.exists()


def test_link_to_a_log_that_is_gone_goes_too(tmp_path: Path) -> None:
    """Airflow keeps one, `latest`, beside the logs of the DAG files."""
    (tmp_path / "latest").symlink_to(tmp_path / "2026-01-01")
    assert [path.name for path in pruning.remove_old_files(tmp_path, time.time() + 1)] == ["latest"]
    assert not (tmp_path / "latest").is_symlink()


def test_empty_folder_goes_once_nothing_has_changed_in_it_for_a_day(tmp_path: Path) -> None:
    fresh, idle = tmp_path / "fresh", tmp_path / "idle"
    for folder, hours in ((fresh, 23), (idle, 25)):
        folder.mkdir()
        os.utime(folder, (time.time() - hours * 3600,) * 2)
    assert list(pruning.remove_old_files(tmp_path, time.time())) == []
    assert fresh.is_dir() and not idle.exists()


def test_logs_are_looked_for_where_airflow_writes_them(
    server: PostgresServer, database: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"AIRFLOW_HOME": str(tmp_path / "home"), "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(tmp_path / "logs")}
    for name, value in {**variables(server), **own}.items():
        monkeypatch.setenv(name, value)
    old = write(tmp_path / "logs/a/b.log", 91)
    pruning.prune_configured(90)
    assert not old.exists() and not old.parent.exists()
    assert (tmp_path / "logs").is_dir(), "Airflow writes its next logs there"
