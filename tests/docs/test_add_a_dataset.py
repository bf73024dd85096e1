"""docs/add-a-dataset.md, carried out word for word in a copy of the project, without Airflow."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator

import psycopg
import pytest

from include import settings
from include.stack.local.postgres import PostgresServer
from tests.docs.pages import Copy, read_blocks

PAGE = settings.PROJECT / "docs" / "add-a-dataset.md"
LATER = ".venv/bin/warehouse rejects"  # the section on rejects supposes some


def _page() -> str:
    """The page up to the section on tables that exist already: tests/contracts keeps that section's promise."""
    text, heading, _ = PAGE.read_text(encoding="utf-8").partition("\n## A table that exists already")
    assert heading, f"{PAGE.name} has no section on tables that exist already: this cut must follow its name"
    return text


@pytest.fixture(scope="module")
def databases(source_server: PostgresServer, target_server: PostgresServer) -> Iterator[tuple[str, str]]:
    for server in (source_server, target_server):
        with psycopg.connect(server.uri(), autocommit=True) as connection:
            connection.execute("create database added")
    yield source_server.uri("added"), target_server.uri("added")


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory, databases: tuple[str, str]) -> Copy:
    """The copy in which somebody has done what the page says."""
    source_uri, target_uri = databases
    folder = tmp_path_factory.mktemp("project")
    copy = Copy(folder, AIRFLOW_CONN_SOURCE_DB=source_uri, AIRFLOW_CONN_TARGET_DB=target_uri)
    copy.follow(block for block in read_blocks(_page()) if not block.text.startswith(LATER))
    return copy


def test_mart_holds_the_rows_that_the_page_shows(followed: Copy, databases: tuple[str, str]) -> None:
    (shown,) = [block.text for block in read_blocks(_page()) if block.before == "shows"]
    with psycopg.connect(databases[1]) as connection:
        query = "select day::text, page, visits::text from marts.page_visits_daily order by day, page"
        rows = connection.execute(query).fetchall()
        assert rows == [tuple(row) for row in csv.reader(io.StringIO(shown))][1:]
        columns = connection.execute("select * from staging.stg_web__visits limit 0").description
        assert columns and [column.name for column in columns] == ["visit_id", "visited_at", "page", "visitor_email"]


def test_page_names_every_file_that_is_made(followed: Copy) -> None:
    page = _page()
    made = {path.relative_to(followed.folder).as_posix() for path in followed.folder.glob("dbt/models/*/web/[!_]*")}
    assert len(made) == 4
    assert {name for name in made if f"`{name}`" not in page} == set()


def test_projects_own_checks_pass_with_the_new_dataset(followed: Copy) -> None:
    assert "contracts are in order" in followed.run(".venv/bin/warehouse contract check")
    # There are no intermediate models here, which alone may be worth a warning.
    strict = """'--warn-error-options={"error": "all", "warn": ["UnusedResourceConfigPath"]}'"""
    followed.run(
        f"cd dbt && dbt {strict} parse --target prod --profiles-dir . --target-path ../parsed --log-path ../parsed"
    )
    followed.run("sqlfluff lint -q dbt/models/staging/web dbt/models/marts/web")
    said = followed.run(
        f"{sys.executable} -m pytest -q -p no:cacheprovider tests/contracts/test_check.py tests/dags"
        " -k 'in_order or imports or expected'"
    )
    assert " passed" in said and "failed" not in said


def test_new_dataset_has_its_dag(followed: Copy) -> None:
    code = (
        "from airflow.dag_processing.dagbag import DagBag; bag = DagBag('dags'); assert not bag.import_errors;"
        "print(*sorted(bag.dags)); print(*bag.dags['warehouse'].task_ids)"
    )
    followed.run(".venv/bin/warehouse build --parse")  # as `make databases` and `make run` do
    dags, tasks = followed.run(f'{sys.executable} -c "{code}"').splitlines()[-2:]
    assert "land_web_visits" in dags.split()
    assert {"dbt.stg_web__visits", "dbt.page_visits_daily"} <= set(tasks.split())
