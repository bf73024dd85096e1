"""Rows arrive as they are, whatever their encoding and size."""

from __future__ import annotations

import pytest

from include.stack.local.postgres import PostgresServer
from include.transfer import TransferError
from tests.transfer.conftest import execute, move, rows


def test_text_in_another_encoding_arrives(source_server: PostgresServer, source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create database latin encoding 'LATIN1' template template0")
    latin = source_server.uri("latin")
    try:
        execute(latin, "create table t (id int primary key, v text)", "insert into t values (1, U&'\\00e9')")
        for _ in range(2):
            assert move(latin, target_uri, verify=False)["public.t"].mode == "full"
            assert rows(target_uri, "select v from t") == [("é",)]
        with pytest.raises(TransferError, match=r"can't verify: .* another encoding"):
            move(latin, target_uri)
    finally:
        execute(source_uri, "drop database latin with (force)")


def test_a_value_of_200_mb_arrives(source_uri: str, target_uri: str) -> None:
    execute(
        source_uri,
        "create table big (id int primary key, v bytea)",
        "alter table big alter v set storage external",
        "insert into big select 1, convert_to(repeat('0123456789', 20000000), 'utf8')",
    )
    move(source_uri, target_uri)
    assert rows(target_uri, "select length(v), md5(v) from big") == rows(
        source_uri, "select length(v), md5(v) from big"
    )
