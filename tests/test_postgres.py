"""What every stage relies on when it talks to Postgres: errors with a kind and without a value, locks, roles."""

from __future__ import annotations

import threading

import psycopg
import pytest
from psycopg import sql

from include.errors import FinalError, SettingError, TransientError
from include.postgres import (
    ConnectionFailedError,
    Role,
    StatementInterruptedError,
    StatementRefusedError,
    connect,
    ensure_role,
    is_transient,
    lock_in_transaction,
    query,
    records,
    scalar,
    session,
    session_lock,
)

SECRET = "ada@example.com"


def test_uri_that_cannot_be_read_is_final_and_shows_nothing_of_itself() -> None:
    with pytest.raises(SettingError, match="source_db: can't connect: its URI is not one that libpq reads") as caught:
        connect("postgresql://me:SECRET@db/shop?no_such_option=1", "source_db")
    assert "SECRET" not in str(caught.value) and isinstance(caught.value, FinalError)


def test_server_that_is_away_is_transient_and_named(source_uri: str) -> None:
    with pytest.raises(ConnectionFailedError, match=r"target_db: can't connect: .*Connection refused") as caught:
        connect("postgresql://me:SECRET@127.0.0.1:1/shop", "target_db")
    assert "SECRET" not in str(caught.value) and isinstance(caught.value, TransientError)


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        (f"insert into people values ('{SECRET}')", "UniqueViolation .SQLSTATE 23505, constraint people_pkey"),
        (f"select '{SECRET}'::int", "InvalidTextRepresentation .SQLSTATE 22P02"),
        (f"select now() at time zone '{SECRET}'", "InvalidParameterValue .SQLSTATE 22023"),
        (f"do 'begin raise exception ''{SECRET} is bad''; end'", "RaiseException .SQLSTATE P0001"),
        (f"do 'begin raise ''{SECRET}'' using errcode = ''42501''; end'", "InsufficientPrivilege .SQLSTATE 42501"),
        ("select * from nothing", 'relation "nothing" does not exist .SQLSTATE 42P01'),
    ],
)
def test_refused_statement_is_final_and_shows_no_value(source_uri: str, statement: str, sentence: str) -> None:
    with connect(source_uri, "source_db") as setup:
        setup.execute("create table people (email text primary key)")
        setup.execute("insert into people values (%s)", [SECRET])
    with (
        pytest.raises(StatementRefusedError, match=f"^source_db: {sentence}") as caught,
        session(source_uri, "source_db") as connection,
    ):
        connection.execute(statement.encode())
    assert SECRET not in str(caught.value) and isinstance(caught.value, FinalError)


def test_missing_right_comes_with_the_next_step(source_uri: str) -> None:
    with connect(source_uri, "source_db") as setup:
        setup.execute("create table closed (id int)")
        setup.execute("create role visitor")
        try:
            with (
                pytest.raises(StatementRefusedError, match=r"permission denied for table closed .*: grant it"),
                session(source_uri, "source_db") as connection,
            ):
                connection.execute("set role visitor")
                connection.execute("select from closed")
        finally:
            setup.execute("drop role visitor")


def test_interrupted_statement_is_transient(source_uri: str) -> None:
    with connect(source_uri, "source_db") as holder:
        holder.execute("create table busy (id int)")
        with holder.transaction():
            holder.execute("lock table busy")
            with (
                pytest.raises(StatementInterruptedError, match="lock timeout") as caught,
                session(source_uri, "source_db") as connection,
            ):
                connection.execute("set lock_timeout = '50ms'")
                connection.execute("select from busy")
    assert isinstance(caught.value, TransientError)


def test_lost_connection_is_transient(source_uri: str) -> None:
    with (
        pytest.raises(ConnectionFailedError, match="source_db: the connection was lost"),
        session(source_uri, "source_db") as connection,
        connect(source_uri, "source_db") as other,
    ):
        other.execute("select pg_terminate_backend(%s)", [connection.info.backend_pid])
        for _ in range(2):  # the first statement may be told of the shutdown, the second finds the connection gone
            try:
                connection.execute("select 1")
            except psycopg.errors.AdminShutdown:
                continue


def test_error_without_a_code_is_transient_only_where_the_server_was_not_reached() -> None:
    with pytest.raises(psycopg.OperationalError) as away:
        psycopg.connect("postgresql://127.0.0.1:1/shop")
    assert away.value.sqlstate is None and is_transient(away.value)
    assert not is_transient(psycopg.ProgrammingError("the query has 0 placeholders"))


def test_bug_inside_a_session_keeps_its_own_type(source_uri: str) -> None:
    with pytest.raises(ZeroDivisionError), session(source_uri, "source_db"):
        _ = 1 / 0


def test_small_queries_give_rows_values_and_records(source_uri: str) -> None:
    with connect(source_uri, "source_db") as connection:
        assert query(connection, "select 1, 'a' union all select 2, 'b' order by 1") == [(1, "a"), (2, "b")]
        assert scalar(connection, "select %s::int + 1", 41) == 42
        assert records(connection, "select 1 as id, 'a' as label") == [{"id": 1, "label": "a"}]


def is_free(uri: str, name: str) -> bool:
    with connect(uri, "source_db") as other:
        free = scalar(other, "select pg_try_advisory_lock(hashtextextended(%s, 0))", name)
        return bool(free)


def test_session_lock_excludes_others_and_ends_with_its_block_also_after_an_error(source_uri: str) -> None:
    with connect(source_uri, "source_db") as connection:
        with pytest.raises(psycopg.errors.UndefinedTable), session_lock(connection, "landing toys"):
            assert not is_free(source_uri, "landing toys") and is_free(source_uri, "landing other")
            connection.execute("select from nothing")
        assert is_free(source_uri, "landing toys")


def test_lock_in_transaction_ends_with_it_and_may_be_shared(source_uri: str) -> None:
    with connect(source_uri, "source_db") as one, connect(source_uri, "source_db") as two:
        with one.transaction(), two.transaction():
            lock_in_transaction(one, "stores", shared=True)
            lock_in_transaction(two, "stores", shared=True)
            assert not is_free(source_uri, "stores")
        with one.transaction():
            lock_in_transaction(one, "stores")
            waits = threading.Thread(target=lambda: lock_in_transaction(two, "stores"))
            waits.start()
            waits.join(0.3)
            assert waits.is_alive()
        waits.join(10)
        assert not waits.is_alive()
        assert is_free(source_uri, "stores")


def test_role_owns_its_databases_and_is_no_superuser(source_uri: str) -> None:
    role = Role("shopkeeper", "one", ("shopkeeper_db",))
    with connect(source_uri, "source_db") as connection:
        try:
            ensure_role(connection, role)
            ensure_role(connection, Role("shopkeeper", "two", role.databases))  # again, with another password
            parts = connection.info
            uri = f"postgresql://shopkeeper:two@127.0.0.1:{parts.port}/shopkeeper_db"
            with connect(uri, "shop") as shop:
                shop.execute("create table sold (id int)")
                assert scalar(shop, "select rolsuper or rolcreaterole from pg_roles where rolname = current_user") is (
                    False
                )
        finally:
            connection.execute("drop database if exists shopkeeper_db with (force)")
            connection.execute(sql.SQL("drop role if exists shopkeeper"))
