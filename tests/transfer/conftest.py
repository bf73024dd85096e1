"""What the transfer's tests share: a server of the older major version, and one call that moves a whole database."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from include.stack.local.postgres import PostgresServer, free_port
from include.transfer import TransferResult, plan, transfer_table
from tests.conftest import FAST, _make_database

_runs = itertools.count()

# A table for each incremental mode, and one that refers to another.
LANDED = (
    "create schema retail",
    "create table retail.events (id bigint, v text, _xid xid8 default pg_current_xact_id())",
    "create table retail.account (id bigint primary key, v bigint not null)",
    "create table retail.address (id bigint primary key, account_id bigint references retail.account, v text)",
)


@pytest.fixture(scope="session")
def old_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server of major version 16; the others are of 18."""
    server = PostgresServer(Path(tmp_path_factory.mktemp("old")), free_port(), major=16, options=FAST)
    server.start()
    yield server
    server.destroy()


@pytest.fixture
def old_uri(old_server: PostgresServer) -> Iterator[str]:
    """A fresh, empty database on the server of version 16."""
    yield from _make_database(old_server)


def move(source_uri: str, target_uri: str, **options: Any) -> dict[str, TransferResult]:
    """Plan and move every table, verified, and return what was done by source table."""
    verify = options.pop("verify", True)
    run_id = options.pop("run_id", f"test-{next(_runs)}")
    plans = plan(source_uri, target_uri, **options)
    return {p.source: transfer_table(source_uri, target_uri, p, run_id=run_id, verify=verify) for p in plans}


def execute(uri: str, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    with psycopg.connect(uri, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def rows(uri: str, statement: str) -> list[tuple[Any, ...]]:
    """Run one query and return its rows."""
    with psycopg.connect(uri, autocommit=True) as connection:
        return connection.execute(statement.encode()).fetchall()


def texts(uri: str, table: str) -> list[str]:
    """Return a table's rows as text, sorted, as a user of any time zone and format would compare them."""
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("set timezone = 'UTC'; set extra_float_digits = 1; set lc_monetary = 'C'")
        return [r for (r,) in connection.execute(f"select t::text from {table} t order by 1".encode()).fetchall()]
