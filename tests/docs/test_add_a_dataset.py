"""docs/add-a-dataset.md, carried out word for word in a copy of the project, without Airflow."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from include import settings
from include.stack.local.postgres import PostgresServer

PAGE = settings.PROJECT / "docs" / "add-a-dataset.md"
NEEDS_A_STACK = ("make ",)  # databases and Airflow: the test brings its own databases
LATER = ".venv/bin/warehouse rejects"  # the section on rejects supposes some


@dataclass(frozen=True)
class Block:
    """An indented block of the page, and the text right before it."""

    text: str
    before: str

    @property
    def file(self) -> str | None:
        """The file that the block is the text of, where the text before it ends with the file's path and a colon."""
        named = re.search(r"`([\w./-]+\.(?:sql|yml|yaml))`:$", self.before)
        return named[1] if named else None

    @property
    def is_of_commands(self) -> bool:
        return self.text.startswith((".venv/bin/", "make ", "mkdir "))


def _page() -> str:
    """The page up to the section on tables that exist already: tests/contracts keeps that section's promise."""
    text, heading, _ = PAGE.read_text(encoding="utf-8").partition("\n## A table that exists already")
    assert heading, f"{PAGE.name} has no section on tables that exist already: this cut must follow its name"
    return text


def read_blocks(page: str) -> list[Block]:
    """Return the indented blocks of a page, in its order."""
    found = re.findall(r"([^\n]*)\n\n((?:    [^\n]*\n|\n(?=    ))+)", page)
    return [Block(textwrap.dedent(text), before.strip()) for before, text in found]


class Copy:
    """A copy of the project's files as they are now, with databases of its own."""

    def __init__(self, folder: Path, source_uri: str, target_uri: str) -> None:
        self.folder = folder
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(listed, cwd=settings.PROJECT, capture_output=True, text=True, check=True)
        for name in filter(None, files.stdout.split("\0")):
            if (settings.PROJECT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(settings.PROJECT / name, folder / name)
        program = folder / ".venv" / "bin" / "warehouse"
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m include "$@"\n')
        program.chmod(0o755)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "AIRFLOW_HOME"},
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW_CONN_SOURCE_DB": source_uri,
            "AIRFLOW_CONN_TARGET_DB": target_uri,
            "PYTHONPATH": str(folder),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
        }

    def run(self, commands: str) -> str:
        """Run commands of a shell and return what they print; the first that fails fails the test."""
        done = subprocess.run(
            ["sh", "-eu", "-c", commands], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def databases(source_server: PostgresServer, target_server: PostgresServer) -> Iterator[tuple[str, str]]:
    for server in (source_server, target_server):
        with psycopg.connect(server.uri(), autocommit=True) as connection:
            connection.execute("create database added")
    yield source_server.uri("added"), target_server.uri("added")


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory, databases: tuple[str, str]) -> Copy:
    """The copy in which somebody has done what the page says."""
    copy = Copy(tmp_path_factory.mktemp("project"), *databases)
    for block in read_blocks(_page()):
        if block.file:
            assert (copy.folder / block.file).is_file(), f"{block.file} was not drafted"
            (copy.folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.is_of_commands and not block.text.startswith(LATER):
            lines = block.text.splitlines(keepends=True)
            copy.run("".join(line for line in lines if not line.startswith(NEEDS_A_STACK)))
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
    followed.run(
        "cd dbt && dbt --warn-error parse --target prod --profiles-dir . --target-path ../parsed --log-path ../parsed"
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
    dags, tasks = followed.run(f'{sys.executable} -c "{code}"').splitlines()[-2:]
    assert "land_web_visits" in dags.split()
    assert {"dbt.stg_web__visits", "dbt.page_visits_daily"} <= set(tasks.split())
