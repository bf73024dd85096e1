"""Connections that can't be opened are errors that name the server and may pass."""

from __future__ import annotations

import pytest

from include.postgres import ConnectionFailedError
from include.transfer import TransferInterruptedError, plan, transfer_table
from include.transfer.session import clone_connection, connect
from tests.transfer.conftest import execute


def test_a_second_connection_that_is_refused_is_a_warehouse_error(source_uri: str) -> None:
    server, _, database = source_uri.rpartition("/")
    with connect(source_uri, "source") as first:
        with clone_connection(first, "source") as second:
            assert second.execute("show intervalstyle").fetchone() == ("postgres",)
        execute(f"{server}/postgres", f"alter database {database} allow_connections false")
        with pytest.raises(ConnectionFailedError, match=r"^source: can't connect: .*not currently accepting"):
            clone_connection(first, "source")


def test_a_server_that_is_away_fails_the_table_until_the_next_try(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create table t (v int)")
    [t] = plan(source_uri, target_uri)
    with pytest.raises(TransferInterruptedError, match=r"^public.t -> public.t: source: can't connect: ") as raised:
        transfer_table("postgresql://me:secret@127.0.0.1:1/shop", target_uri, t, run_id="away")
    assert "secret" not in str(raised.value)
