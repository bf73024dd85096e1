"""The project as an adopter makes it her own: without the demo, empty, then on a source that she may only read.

A suite of its own, `make test-adoption`: each run starts the whole stack in a copy of the project.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from include import settings
from include.stack.local.postgres import PostgresServer, free_port

pytestmark = [pytest.mark.adoption, pytest.mark.timeout(1800)]

PORTS = ("SOURCE_DB_PORT", "TARGET_DB_PORT", "AIRFLOW_DB_PORT", "AIRFLOW_UI_PORT", "DBT_DOCS_PORT")
FOREIGN = """
create schema app;
create type app.state as enum ('new', 'paid');
create domain app.short as text check (length(value) < 20);
create table app.orders (
    id bigint primary key, code char(3) not null, state app.state not null, tags text[], note app.short);
insert into app.orders select n, 'abc', 'paid', array['x', 'y'], 'n' || n from generate_series(1, 500) n;
create table app.log (id int, at date) partition by range (at);
create table app.log_2026 partition of app.log for values from ('2026-01-01') to ('2027-01-01');
insert into app.log select n, date '2026-01-01' + n from generate_series(1, 100) n;
create view app.paid as select id from app.orders where state = 'paid';
create table public.pgbench_branches (bid int primary key, bbalance int, filler char(88));
insert into public.pgbench_branches values (1, 0, ''), (2, 5, 'x');
"""
CATALOG = """
select n.nspname, c.relname, c.relkind::text, c.oid::bigint
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema' order by 1, 2
"""


class Project:
    """A copy of the project without the demo, with a stack and ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "LANDING", "ARCHIVE", "DOTENV"))}
        self.environment = {
            **kept,
            **{name: str(free_port()) for name in PORTS},
            "LOCAL_ROOT": str(folder / ".local"),
            "PYTHONPATH": str(folder),
            "RETRY_SECONDS": "1",
        }

    def call(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self.folder,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=900,
        )

    @property
    def target(self) -> str:
        return f"postgresql://target_db:target_db@127.0.0.1:{self.environment['TARGET_DB_PORT']}/target_db"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("project")
    listed = subprocess.run(["git", "ls-files"], cwd=settings.PROJECT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (settings.PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(settings.PROJECT / name, folder / name)
    made = Project(folder)
    if settings.HAS_DEMO:
        removed = made.call("include", "demo", "remove", "--yes", "--keep-tables")
        assert removed.returncode == 0, removed.stderr
    yield made
    made.call("include", "stack", "stop")


def test_empty_project_runs(project: Project) -> None:
    done = project.call("include", "stack", "run")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "landed: nothing yet" in done.stdout and "marts: nothing yet" in done.stdout


def test_tests_of_the_engine_hold_without_the_demo(project: Project) -> None:
    suites = ["tests/contracts", "tests/dags", "tests/dbt", "tests/orchestration", "tests/test_cli.py"]
    done = project.call("pytest", "-q", *suites)
    assert done.returncode == 0, done.stdout[-4000:]


def test_source_that_may_only_be_read_is_moved_and_left_as_it_was(
    project: Project, source_server: PostgresServer, source_uri: str
) -> None:
    with psycopg.connect(source_uri, autocommit=True) as connection:
        connection.execute(FOREIGN.encode())
        connection.execute("create role adoption_reader login password 'reader'")
        try:
            for schema in ("app", "public"):
                connection.execute(f"grant usage on schema {schema} to adoption_reader".encode())
                connection.execute(f"grant select on all tables in schema {schema} to adoption_reader".encode())
            before = connection.execute(CATALOG.encode()).fetchall()
            database = source_uri.rpartition("/")[2]
            reader = f"postgresql://adoption_reader:reader@127.0.0.1:{source_server.port}/{database}"
            done = project.call("include", "stack", "run", AIRFLOW_CONN_SOURCE_DB=reader)
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
            assert connection.execute(CATALOG.encode()).fetchall() == before
        finally:
            connection.execute("drop owned by adoption_reader; drop role adoption_reader")
    with psycopg.connect(project.target) as target:
        counts = {
            table: target.execute(f"select count(*) from {table}".encode()).fetchone()
            for table in ("raw_app.orders", "raw_app.log", "raw_public.pgbench_branches")
        }
    assert counts == {"raw_app.orders": (500,), "raw_app.log": (100,), "raw_public.pgbench_branches": (2,)}
