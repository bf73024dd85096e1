"""A refresh keeps what depends on the target table, or says what is in its way."""

from __future__ import annotations

import psycopg
import pytest

from include.transfer import TransferError
from tests.transfer.conftest import execute, move, rows
from tests.transfer.dependants import STATE_OF_DEPENDANTS, make_dependants


def test_what_depends_on_the_target_table_stays(source_uri: str, target_uri: str) -> None:
    execute(
        source_uri, "create table item (id bigint primary key, name text)", "insert into item values (1, 'a'), (2, 'b')"
    )
    move(source_uri, target_uri)
    make_dependants(target_uri)
    before = rows(target_uri, STATE_OF_DEPENDANTS)
    for new in (3, 4, 5):
        execute(source_uri, f"insert into item values ({new}, 'n')")
        done = move(source_uri, target_uri, full=new != 5)
        assert done["public.item"].mode == ("key" if new == 5 else "full")
        after = rows(target_uri, STATE_OF_DEPENDANTS)
        assert after[0][:2] == (new - 1, new - 1)
        assert after[0][2:] == before[0][2:]
    with psycopg.connect(target_uri) as connection:  # the policy still hides a row
        connection.execute("set role transfer_reader")
        assert connection.execute("select count(*) from item").fetchone() == (4,)
    children = "select count(*) from pg_class where relnamespace = 'transfer'::regnamespace and relname like 'item%'"
    assert rows(target_uri, children + " and relkind = 'r'") == [(1,)]  # those of earlier refreshes are gone


def test_a_generated_column_of_the_target_alone_stays(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create table item (id int primary key, name text)", "insert into item values (1, 'a')")
    move(source_uri, target_uri)
    execute(target_uri, "alter table item add upper text generated always as (upper(name)) stored")
    execute(target_uri, "alter table item add twice int generated always as (id * 2) virtual")
    for new in (2, 3, 4):
        execute(source_uri, f"insert into item values ({new}, 'n')")
        move(source_uri, target_uri, full=new != 4)
        assert rows(target_uri, f"select upper, twice from item where id = {new}") == [("N", new * 2)]


def test_a_foreign_key_in_the_target_that_stops_a_table_is_named(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create table item (id int primary key)", "insert into item values (1), (2)")
    move(source_uri, target_uri)
    execute(target_uri, "create table note (item int references item)", "insert into note values (1)")
    execute(source_uri, "delete from item where id = 1")
    with pytest.raises(TransferError, match="item: a foreign key of another table in the target refers to it"):
        move(source_uri, target_uri)
