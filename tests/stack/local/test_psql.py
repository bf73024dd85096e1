"""`warehouse stack psql` and `make psql`: the right database, by a password that nobody else can read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from include import settings
from include.postgres import Role
from include.stack.local import psql
from include.stack.local.lifecycle import StackError
from include.stack.local.postgres import PostgresServer, free_port
from tests.conftest import FAST

WHO = "select current_user || ' in ' || current_database()"
SECRET = "s3cr3t with 'quotes'"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables of a stack whose target runs, and whose source and Airflow do not."""
    folder = tmp_path_factory.mktemp("stack")
    ports = {f"{name}_DB_PORT": str(free_port()) for name in ("SOURCE", "TARGET", "AIRFLOW")}
    server = PostgresServer(folder / "databases" / "target", int(ports["TARGET_DB_PORT"]), options=FAST)
    try:
        server.start([Role("target_db", SECRET, ("target_db",))])
        yield {**os.environ, **ports, "LOCAL_ROOT": str(folder), "TARGET_DB_PASSWORD": SECRET}
    finally:
        server.destroy()


def run(stack: dict[str, str], *words: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "include", "stack", "psql", *words],
        cwd=settings.PROJECT,
        env={**stack, **more},
        input=stdin,
        capture_output=True,
        text=True,
    )


def test_target_is_opened_with_further_arguments_of_psql(stack: dict[str, str]) -> None:
    done = run(stack, "target", "--no-psqlrc", "-Atc", WHO)
    assert (done.returncode, done.stdout) == (0, "target_db in target_db\n"), done.stderr
    assert run(stack, "target", "-c", "select wrong").returncode == 1
    assert run(stack, stdin=WHO).stdout.count("target_db in target_db") == 1, "target is the default"


def test_statements_come_through_make_from_a_pipe(stack: dict[str, str]) -> None:
    made = ["make", "-o", "env", f"WAREHOUSE={sys.executable} -m include", "psql"]
    options = {"cwd": settings.PROJECT, "env": stack, "input": WHO, "capture_output": True, "text": True}
    done = subprocess.run(made, **options)  # type: ignore[call-overload]
    assert done.returncode == 0 and "target_db in target_db" in done.stdout, done.stderr
    done = subprocess.run([*made, "DB=source"], **options)  # type: ignore[call-overload]
    assert done.returncode != 0 and "the source Postgres does not run" in done.stderr


@pytest.mark.parametrize("name", ["source", "airflow"])
def test_stopped_server_is_one_sentence_with_the_next_step(stack: dict[str, str], name: str) -> None:
    done = run(stack, name, "-c", "select 1")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"the {name} Postgres does not run on port ") and "`make start`" in done.stderr


def test_own_database_takes_the_place_of_the_stacks(stack: dict[str, str], source_uri: str) -> None:
    done = run(stack, "source", "-Atc", WHO, AIRFLOW_CONN_SOURCE_DB=source_uri)
    assert done.stdout == f"superuser in {source_uri.rpartition('/')[2]}\n", done.stderr


def test_airflows_database_is_opened_as_its_own_user(stack: dict[str, str]) -> None:
    done = run(stack, "airflow", "-c", "select 1", AIRFLOW_DB_PORT=stack["TARGET_DB_PORT"])
    assert done.returncode == 2 and 'password authentication failed for user "postgres"' in done.stderr, done.stderr


def test_password_is_in_no_list_of_processes(stack: dict[str, str]) -> None:
    words = [sys.executable, "-m", "include", "stack", "psql", "target", "-At"]
    with subprocess.Popen(
        words, cwd=settings.PROJECT, env=stack, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin and child.stdout
        child.stdin.write(WHO + ";\n")
        child.stdin.flush()
        assert child.stdout.readline() == "target_db in target_db\n"
        shown = psutil.Process(child.pid).cmdline()
        child.stdin.close()
    assert shown[0] == "psql" and "s3cr3t" not in " ".join(shown)


def test_password_of_a_key_is_not_shown_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", "postgresql://me@db.example.com/shop?sslpassword=s3cr3t")
    with pytest.raises(StackError, match="sslpassword") as caught:
        psql.open_psql("source", [])
    assert "s3cr3t" not in str(caught.value)


def test_psql_without_tls_is_not_used_where_tls_is_demanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert psql._psql_for_others("prefer").endswith("pginstall18/bin/psql")
    with pytest.raises(StackError, match="speaks no TLS, and sslmode is verify-full: install psql"):
        psql._psql_for_others("verify-full")
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", "postgresql://me@db.example.com/shop?sslmode=require")
    with pytest.raises(StackError, match="speaks no TLS, and sslmode is require"):
        psql.open_psql("source", [])
    (tmp_path / "psql").symlink_to(shutil.which("true", path="/usr/bin:/bin") or "")
    assert psql._psql_for_others("verify-full") == str(tmp_path / "psql")


def test_server_that_something_else_runs_on_the_port_is_opened(stack: dict[str, str], tmp_path: Path) -> None:
    """Docker's, say: it is not in the folder of the stack."""
    done = run(stack, "target", "-Atc", WHO, LOCAL_ROOT=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "target_db in target_db\n"), done.stderr
