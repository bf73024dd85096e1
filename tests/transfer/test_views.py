"""Views on a column that changes its type."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from include.transfer import TransferError
from tests.transfer.conftest import execute, move, rows
from tests.transfer.dependants import STATE_OF_DEPENDANTS, make_dependants


def test_a_widened_column_under_a_view_is_widened(source_uri: str, target_uri: str) -> None:
    execute(
        source_uri, "create table item (id int primary key, name text)", "insert into item values (1, 'a'), (2, 'b')"
    )
    move(source_uri, target_uri)
    make_dependants(target_uri)
    execute(target_uri, "drop materialized view frozen")
    before = rows(target_uri, STATE_OF_DEPENDANTS)
    execute(source_uri, "alter table item alter column id type bigint", "insert into item values (5000000000, 'c')")
    move(source_uri, target_uri)
    after = rows(target_uri, STATE_OF_DEPENDANTS)
    assert after[0][:2] == (2, 2)
    assert after[0][2:] == before[0][2:]
    assert rows(target_uri, "select has_table_privilege('transfer_reader', 'on_it', 'select')") == [(True,)]


def test_a_view_of_somebody_else_in_the_way_is_named(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create table item (id int primary key)")
    execute(
        target_uri,
        "do $$ begin create role transfer_owner login password 'o'; exception when duplicate_object then null; end $$",
        f"alter database {target_uri.split('/')[-1]} owner to transfer_owner",
    )
    owner = re.sub(r"//.*@", "//transfer_owner:o@", target_uri)
    move(source_uri, owner)
    execute(target_uri, "create view on_it as select * from item")
    execute(source_uri, "alter table item alter column id type bigint")
    with pytest.raises(TransferError, match=r"item: views on it are in the way .*: drop them, run again"):
        move(source_uri, owner)
    assert rows(target_uri, "select * from on_it") == []


def test_a_column_under_a_busy_view_is_widened(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create table item (id int primary key)", "insert into item values (1)")
    move(source_uri, target_uri)
    execute(target_uri, "create view on_it as select * from item")
    execute(source_uri, "alter table item alter column id type bigint")
    with psycopg.connect(target_uri) as reader, ThreadPoolExecutor(1) as other:
        reader.execute("select from on_it")
        moved = other.submit(move, source_uri, target_uri)
        time.sleep(0.5)
        reader.execute("select pg_sleep(0) from item")  # a switch that held the table's lock would wait in a circle
        reader.commit()
        assert moved.result()["public.item"].verdict == "verified"
    assert rows(target_uri, "select id from on_it") == [(1,)]
