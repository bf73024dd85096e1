"""The project as an adopter makes it her own: without the demo, empty; then on a source that she may only read, up to a
mart; then with a dataset from files and one from a table.

A suite of its own, `make test-adoption`: it starts the whole stack in a copy of the project, and `make test` in it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from include import settings
from include.stack.local.postgres import PostgresServer, free_port, programs
from tests.conftest import FAST
from tests.docs.pages import Copy, read_blocks

pytestmark = [pytest.mark.adoption, pytest.mark.timeout(3000)]

PORTS = ("SOURCE_DB_PORT", "TARGET_DB_PORT", "AIRFLOW_DB_PORT", "AIRFLOW_UI_PORT", "DBT_DOCS_PORT")
APPLICATION = """
create schema app;
create type app.state as enum ('new', 'paid');
create domain app.short as text check (length(value) < 20);
create table app.orders (
    id bigint primary key, code char(3) not null, state app.state not null, tags text[], note app.short);
comment on table app.orders is 'Orders of a shop.';
insert into app.orders
    select n, 'abc', (case when n % 5 = 0 then 'new' else 'paid' end)::app.state, array['x', 'y'], 'n' || n
    from generate_series(1, 500) n;
create table app.log (id int, at date, primary key (id, at)) partition by range (at);
create table app.log_2026 partition of app.log for values from ('2026-01-01') to ('2027-01-01');
create table app.log_2027 partition of app.log for values from ('2027-01-01') to ('2028-01-01');
insert into app.log select n, date '2026-12-01' + n from generate_series(1, 100) n;
create view app.paid as select id from app.orders where state = 'paid';
"""
READER = """
create role adoption_reader login password 'reader';
grant usage on schema app to adoption_reader;
grant select on all tables in schema app, public to adoption_reader;
"""
PGBENCH_ROWS = {"pgbench_accounts": 100_000, "pgbench_branches": 1, "pgbench_history": 0, "pgbench_tellers": 10}
Tell = Callable[[str], None]


class Project(Copy):
    """A clone of the project without the demo, with a stack and ports of its own."""

    def __init__(self, folder: Path) -> None:
        ports = {name: str(free_port()) for name in PORTS}
        super().__init__(folder, datasets=True, RETRY_SECONDS="1", **ports)
        self.git("init", "--quiet")
        if settings.HAS_DEMO:
            self.git("add", "--all")
            self.git("commit", "--quiet", "--message", "as it is cloned")
            self.run(".venv/bin/warehouse demo remove --yes --keep-tables")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "without the demo")

    def git(self, *words: str) -> None:
        identity = ("-c", "user.name=adopter", "-c", "user.email=adopter@example.com")
        subprocess.run(["git", *identity, *words], cwd=self.folder, check=True)

    def set(self, **values: str) -> None:
        """Write `.env`, and nothing else into it."""
        (self.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))

    def describe_contracts(self) -> None:
        """Write something in the place of each TODO of the drafted contracts."""
        for file in (self.folder / "include" / "contracts").glob("*/*.yaml"):
            file.write_text(file.read_text().replace("'TODO: what one row is.'", "A row.").replace(" TODO\n", " It.\n"))

    def rows(self, query: str, database: str = "target_db") -> list[tuple[object, ...]]:
        port = self.environment["SOURCE_DB_PORT" if database == "source_db" else "TARGET_DB_PORT"]
        uri = f"postgresql://{database}:{database}@127.0.0.1:{port}/{database}"
        with psycopg.connect(uri, autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = Project(tmp_path_factory.mktemp("project"))
    yield made
    made.run(".venv/bin/warehouse stack stop")


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Iterator[Tell]:
    """Print what a step took, past pytest's capturing."""
    began = time.monotonic()

    def print_seconds(what: str) -> None:
        nonlocal began
        now = time.monotonic()
        with capsys.disabled():
            print(f"\n{what}: {now - began:.0f} s", flush=True)
        began = now

    yield print_seconds


def test_empty_project_runs(project: Project, tell: Tell) -> None:
    said = project.run(".venv/bin/warehouse stack run")
    tell("make run of the empty project, its environment left out")
    assert "landed: nothing yet" in said and "marts: nothing yet" in said


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[PostgresServer]:
    """A server of somebody else, with pgbench's tables, an application's, and a user who may only read both."""
    server = PostgresServer(tmp_path, free_port(), options=FAST)
    server.start()
    try:
        pgbench = [str(programs(server.major) / "pgbench"), "--initialize", "--quiet", "--foreign-keys"]
        subprocess.run([*pgbench, server.uri()], check=True, capture_output=True)
        with psycopg.connect(server.uri(), autocommit=True) as connection:
            connection.execute((APPLICATION + READER).encode())
        yield server
    finally:
        server.destroy()


def dump(server: PostgresServer) -> list[str]:
    """Everything that the server's dumps say: roles, grants, definitions and rows."""
    lines: list[str] = []
    for command in (["pg_dumpall", "--globals-only", "--dbname"], ["pg_dump", "--dbname"]):
        program = str(programs(server.major) / command[0])
        done = subprocess.run([program, *command[1:], server.uri()], check=True, capture_output=True, text=True)
        lines += [line for line in done.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]
    return lines


def test_source_that_may_only_be_read_reaches_a_mart_and_is_left_as_it_was(
    project: Project, foreign: PostgresServer, tell: Tell
) -> None:
    before = dump(foreign)
    assert any("adoption_reader" in line for line in before) and len(before) > PGBENCH_ROWS["pgbench_accounts"]
    project.set(AIRFLOW_CONN_SOURCE_DB=foreign.uri("postgres", "adoption_reader", "reader"))
    tables = "--table 'app.*' --table 'public.pgbench_*'"
    project.run(f".venv/bin/warehouse contract new {tables}")
    project.describe_contracts()
    project.run(".venv/bin/warehouse contract sources --write")
    assert "6 contracts are in order" in project.run(".venv/bin/warehouse contract check")
    for words in ("app.orders --mart orders", "app.log --mart log_entries", "public.pgbench_accounts --mart accounts"):
        project.run(f".venv/bin/warehouse model new {words}")
    tell("contracts and models of a foreign source")
    said = project.run(".venv/bin/warehouse stack run")
    tell("make run on the foreign source")
    counts = {mart: project.rows(f"select count(*) from marts.{mart}")[0][0] for mart in ("orders", "log_entries")}
    assert counts == {"orders": 500, "log_entries": 100}
    assert project.rows("select count(*), sum(abalance)::int from marts.accounts") == [(100_000, 0)]
    assert project.rows("select state, tags, note from marts.orders where id = 5") == [("new", ["x", "y"], "n5")]
    for table, rows in PGBENCH_ROWS.items():
        assert project.rows(f"select count(*) from raw_public.{table}") == [(rows,)], table
    assert project.rows("select to_regclass('raw_app.paid')::text") == [(None,)], "views stay where they are"
    assert "accounts" in said and "raw_app.orders" in said
    # What only looks must be able to look.
    assert "accounts" in project.run(".venv/bin/warehouse status")
    assert "public.pgbench_history" in project.run(".venv/bin/warehouse transfer --plan")
    project.run(".venv/bin/warehouse rejects list")
    assert dump(foreign) == before
    project.set()


def test_dataset_from_files_and_one_from_a_table_reach_marts_by_the_docs(project: Project, tell: Tell) -> None:
    """On the stack's own source, in which files may land."""
    project.run("rm -r include/contracts/public dbt/models/staging/public dbt/models/marts/public")
    project.run(".venv/bin/warehouse stack start")
    project.rows(APPLICATION, "source_db")
    page = (project.folder / "docs" / "add-a-dataset.md").read_text(encoding="utf-8")
    page = page.partition("\n## 4. Build it")[0]
    project.follow(read_blocks(page))
    assert "3 contracts are in order" in project.run(".venv/bin/warehouse contract check")
    tell("contract and models of files")
    project.run(".venv/bin/warehouse stack run")
    tell("make run on files and on a table")
    assert project.rows("select day::text, page, visits from marts.page_visits_daily order by 1, 2")[0] == (
        *("2026-03-01", "/"),
        2,
    )
    assert project.rows("select count(*) from marts.orders") == [(500,)]


def test_make_test_is_green_on_the_project_of_ones_own(project: Project, tell: Tell) -> None:
    """Its environment is the one of this test; the stack is stopped, because this is heavy enough."""
    project.run(".venv/bin/warehouse stack stop")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "datasets of my own")
    defaults = f"env {' '.join(f'-u {name}' for name in (*PORTS, 'RETRY_SECONDS'))}"  # some tests compare them
    project.run(f"{defaults} make test ENVIRONMENT=true PYTHON={sys.executable}")
    tell("make test of the adopted project")
