"""docs/your-database.md, carried out word for word, as a user who may only read the source and owns the target."""

from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from include import settings
from include.postgres import Role
from include.settings import read_dotenv
from include.stack.local.postgres import PostgresServer, free_port, programs
from tests.conftest import FAST
from tests.docs.pages import Block, Copy, read_blocks

PAGE = settings.PROJECT / "docs" / "your-database.md"
# What stands in the page's URIs for a server that the reader has: this test has another one, which speaks no TLS.
SHOWN_PLACE, SHOWN_TLS = "db.example.com:5432", "?sslmode=verify-full&sslrootcert=/path/to/ca.pem"


def blocks() -> list[Block]:
    return read_blocks(PAGE.read_text(encoding="utf-8"))


def statements(beginning: str) -> str:
    (found,) = [block.text for block in blocks() if block.text.startswith(beginning)]
    return found


@dataclass
class Followed:
    """The copy in which somebody has done what the page says, and the server that her databases are on."""

    copy: Copy
    server: PostgresServer
    schema_before: str

    def schema(self) -> str:
        return dump_schema(self.server)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.server.uri("warehouse", "warehouse", "choose-another")) as connection:
            return connection.execute(query.encode()).fetchall()


def dump_schema(server: PostgresServer) -> str:
    """What pg_dump says of the shop's database: everything but rows, grants included."""
    command = [str(programs(server.major) / "pg_dump"), "--schema-only", "--dbname", server.uri("shop")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return "\n".join(line for line in done.stdout.splitlines() if "restrict" not in line)  # a key that is made anew


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    server = PostgresServer(tmp_path_factory.mktemp("foreign"), free_port(), options=FAST)
    server.start([Role("shop", "secret", ("shop",))])
    try:
        with psycopg.connect(server.uri("shop", "shop", "secret"), autocommit=True) as application:
            application.execute(statements("create schema app;").encode())
        with psycopg.connect(server.uri("shop"), autocommit=True) as administrator:
            granted = statements("create role warehouse_reader") + statements("create role warehouse ")
            for statement in granted.split(";\n"):
                administrator.execute(statement.encode())
        before = dump_schema(server)
        copy = Copy(tmp_path_factory.mktemp("project"))
        dotenv = "".join(block.text for block in blocks() if block.text.startswith("AIRFLOW_CONN_"))
        assert dotenv.count(SHOWN_PLACE) == dotenv.count(SHOWN_TLS) == 2
        dotenv = dotenv.replace(SHOWN_PLACE, f"127.0.0.1:{server.port}").replace(SHOWN_TLS, "")
        (copy.folder / ".env").write_text(dotenv, encoding="utf-8")
        copy.follow(blocks())
        yield Followed(copy, server, before)
    finally:
        server.destroy()


def test_mart_holds_the_rows_that_the_page_shows(followed: Followed) -> None:
    (shown,) = [block.text for block in blocks() if block.before == "shows"]
    rows = followed.rows("select day::text, country, orders::text, total::text from marts.orders_daily order by 1, 2")
    assert rows == [tuple(row) for row in csv.reader(io.StringIO(shown))][1:]


def test_source_is_left_as_it_was(followed: Followed) -> None:
    assert followed.schema() == followed.schema_before
    assert "warehouse_reader" in followed.schema_before


def test_reader_may_not_write_and_may_read_later_tables(followed: Followed) -> None:
    with psycopg.connect(followed.server.uri("shop", "shop", "secret"), autocommit=True) as application:
        application.execute("create table app.later (id int)")
        application.execute("grant create on schema public to public")
    reader = followed.server.uri("shop", "warehouse_reader", "choose-one")
    with psycopg.connect(reader, autocommit=True) as connection:
        assert connection.execute("select count(*) from app.later").fetchone() == (0,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("create table public.mine (id int)")
    with psycopg.connect(followed.server.uri("shop", "shop", "secret"), autocommit=True) as application:
        application.execute("drop table app.later; revoke create on schema public from public")


def test_settings_of_the_page_count(followed: Followed) -> None:
    names = {
        row[0]
        for row in followed.rows("select table_name from information_schema.tables where table_schema = 'raw_app'")
    }
    assert names == {"customers", "orders"}, "TRANSFER_EXCLUDE leaves the log out"
    shown = read_dotenv(followed.copy.folder / ".env")
    assert shown["WAREHOUSE_SCHEDULE"] and shown["WAREHOUSE_TIMEZONE"]
    code = (
        "from airflow.dag_processing.dagbag import DagBag; bag = DagBag('dags'); assert not bag.import_errors;"
        "warehouse = bag.dags['warehouse']; print(*warehouse.timetable.serialize().values());"
        "print(*sorted(bag.dags)); print(warehouse.task_dict['dbt.orders_daily'].owner)"
    )
    followed.copy.run(".venv/bin/warehouse build --parse")  # as `make databases` and `make run` do
    timetable, dags, owner = followed.copy.run(f'python -c "{code}"').splitlines()[-3:]
    assert shown["WAREHOUSE_SCHEDULE"] in timetable and shown["WAREHOUSE_TIMEZONE"] in timetable
    assert (dags, owner) == ("warehouse", "app-data")


def test_page_names_every_file_that_is_made(followed: Followed) -> None:
    page, folder = PAGE.read_text(encoding="utf-8"), followed.copy.folder
    made = [*folder.glob("dbt/models/*/app/[!_]*.sql"), *folder.glob("include/contracts/app/*.yaml")]
    assert len(made) == 5
    assert {
        path.relative_to(folder).as_posix() for path in made if path.relative_to(folder).as_posix() not in page
    } == set()


def test_projects_own_checks_pass_with_the_new_tables(followed: Followed) -> None:
    assert "contracts are in order" in followed.copy.run(".venv/bin/warehouse contract check")
    followed.copy.run("sqlfluff lint -q dbt/models/staging/app dbt/models/marts/app")


def test_commands_that_only_look_write_nothing(followed: Followed) -> None:
    assert "app.orders" in followed.copy.run(".venv/bin/warehouse transfer --plan")
    assert "orders_daily" in followed.copy.run(".venv/bin/warehouse status")
    followed.copy.run(".venv/bin/warehouse rejects list")
    assert followed.schema() == followed.schema_before
