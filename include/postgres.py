"""Postgres for every stage: connections, errors that give no value away, small queries, advisory locks and roles.

A server's message can quote a row ("Key (email)=(...) already exists") and a URI holds a password. So what is raised
and logged is put together here, from the parts that hold neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from include.errors import FinalError, SettingError, TransientError, WarehouseError

Connection = psycopg.Connection[tuple[Any, ...]]

# Classes of SQLSTATE that another try may cure (PostgreSQL manual, appendix A): connection, transaction rollback,
# insufficient resources, object in use, operator intervention, system error, and internal error, of which
# "cache lookup failed" comes from a definition that was being changed.
_TRANSIENT_CLASSES = ("08", "40", "53", "55", "57", "58", "XX")


class ConnectionFailedError(TransientError):
    """A server can't be reached, or the connection was lost."""


class StatementRefusedError(FinalError):
    """A server refuses a statement and would refuse it again: a right is missing, or a definition does not fit."""


class StatementInterruptedError(TransientError):
    """A server could not carry out a statement now: a deadlock, a full disk, a shutdown."""


def connect(uri: str, place: str, **options: Any) -> Connection:
    """Open an autocommit connection. `place` says in errors which database is meant, such as "source_db".

    `options` are those of psycopg.connect. Raises ConnectionFailedError, or SettingError for a URI that can't be read;
    their messages hold neither the URI nor the password.
    """
    try:
        return psycopg.connect(uri, autocommit=True, **options)
    except psycopg.Error as error:
        if not _is_readable(uri):
            raise SettingError(
                f"{place}: can't connect: its URI is not one that libpq reads: check the connection's setting"
            ) from None
        reason = " ".join(str(error).split())  # names host, port, user and database, never the password
        raise ConnectionFailedError(
            f"{place}: can't connect: {reason}: check that the server runs and that the connection's setting is right"
        ) from None


@contextmanager
def session(uri: str, place: str, **options: Any) -> Iterator[Connection]:
    """Open an autocommit connection for a `with` block; what the server refuses in it becomes a WarehouseError.

    Raises what `connect` raises, StatementRefusedError and StatementInterruptedError.
    """
    with connect(uri, place, **options) as connection, errors_as_sentences(place):
        yield connection


@contextmanager
def errors_as_sentences(place: str) -> Iterator[None]:
    """Turn a psycopg error of the `with` block into a WarehouseError that names the place and holds no value."""
    try:
        yield
    except psycopg.Error as error:
        raise as_warehouse_error(error, place) from None


def as_warehouse_error(error: psycopg.Error, place: str) -> WarehouseError:
    """Return the final or transient error that stands for a psycopg error."""
    message = f"{place}: {safe_message(error)}"
    if error.sqlstate is None and isinstance(error, psycopg.OperationalError):
        return ConnectionFailedError(message)
    if is_transient(error):
        return StatementInterruptedError(message)
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return StatementRefusedError(f"{message}: grant it to the connection's user, or connect as another user")
    return StatementRefusedError(message)


def is_transient(error: psycopg.Error) -> bool:
    """Return whether the same statement may succeed when it is tried again."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(_TRANSIENT_CLASSES)


def safe_message(error: BaseException) -> str:
    """Return what went wrong, without any value of a row and without a connection string.

    Messages of the SQLSTATE classes 22 (data exception) and 23 (constraint violation) quote values, and those that a
    function or a trigger raises say what its author liked, under any SQLSTATE. Of these only the name of the error and
    of the constraint is given.
    """
    if isinstance(error, WarehouseError):
        return str(error)
    if not isinstance(error, psycopg.Error):
        return type(error).__name__ + (f": {error}" if isinstance(error, (OSError, MemoryError)) else "")
    if error.sqlstate is None:
        return "the connection was lost" if isinstance(error, psycopg.OperationalError) else type(error).__name__
    where = f", constraint {error.diag.constraint_name}" if error.diag.constraint_name else ""
    is_raised = error.sqlstate.startswith("P0") or error.diag.source_function == "exec_stmt_raise"  # PL/pgSQL's RAISE
    if is_raised or error.sqlstate[:2] in ("22", "23"):
        return f"{type(error).__name__} (SQLSTATE {error.sqlstate}{where})"
    return f"{error.diag.message_primary} (SQLSTATE {error.sqlstate}{where})"


def query(connection: Connection, statement: LiteralString | sql.Composable, *args: Any) -> list[tuple[Any, ...]]:
    """Run one statement and return all its rows."""
    return connection.execute(statement, args or None).fetchall()  # type: ignore[arg-type]


def scalar(connection: Connection, statement: LiteralString | sql.Composable, *args: Any) -> Any:
    """Run one statement and return its one value."""
    return query(connection, statement, *args)[0][0]


def records(connection: Connection, statement: LiteralString | sql.Composable, *args: Any) -> list[dict[str, Any]]:
    """Run one statement and return all its rows as dicts by column name."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, args or None).fetchall()  # type: ignore[arg-type]


# --- advisory locks, known by a name ----------------------------------------------------------------------------------


def lock_in_transaction(connection: Connection, name: str, *, shared: bool = False) -> None:
    """Wait for the lock of this name and hold it until the open transaction ends."""
    function = sql.SQL("pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock")
    connection.execute(sql.SQL("select {}(hashtextextended(%s, 0))").format(function), [name])


@contextmanager
def session_lock(connection: Connection, name: str) -> Iterator[None]:
    """Hold the lock of this name for a `with` block, across the transactions in it."""
    connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [name])
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", [name])


# --- roles ------------------------------------------------------------------------------------------------------------


def create_grant(connection: Connection) -> str:
    """Return the statement that lets the connection's user create schemas, for a person to run."""
    database, user = (sql.Identifier(name) for name in (connection.info.dbname, connection.info.user))
    return sql.SQL("grant create on database {} to {}").format(database, user).as_string(connection)


@dataclass(frozen=True)
class Role:
    """A login that owns databases and nothing else: not a superuser, as on a managed Postgres."""

    name: str
    password: str
    databases: tuple[str, ...] = ()


def ensure_role(connection: Connection, role: Role) -> None:
    """Make the role and its databases where they are missing, and set its password. Safe to repeat.

    The connection's user must be allowed to create roles and databases; it need not be a superuser.
    """
    known = query(connection, "select from pg_roles where rolname = %s", role.name)
    verb = sql.SQL("alter role {} login password {}" if known else "create role {} login password {}")
    connection.execute(verb.format(sql.Identifier(role.name), sql.Literal(role.password)))
    for database in role.databases:
        if not query(connection, "select from pg_database where datname = %s", database):
            owned = sql.SQL("create database {} owner {}")
            connection.execute(owned.format(sql.Identifier(database), sql.Identifier(role.name)))


def _is_readable(uri: str) -> bool:
    try:
        conninfo_to_dict(uri)
    except psycopg.Error:
        return False
    return True
