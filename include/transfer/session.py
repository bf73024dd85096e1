"""Connections to both servers of a transfer, set so that a value has the same text on each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from include import postgres
from include.postgres import Connection, safe_message
from include.transfer.model import SnapshotLostError

_SETTINGS = {
    # The text of a value must be the same on both servers: they compare it, and COPY carries it.
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmloption": "content",
    # Names are always written with their schema, so that nobody's search_path decides what a name means.
    "search_path": "pg_catalog",
    # A policy that would hide rows from this user becomes an error; on, the copy would silently be a part.
    "row_security": "off",
    # A run that waited for a lock must see what the other run committed, also where the default is stricter.
    "default_transaction_isolation": "read committed",
    # A read of hours must not be timed out by the server's defaults.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # The server notices within a minute that this client is gone, and gives up its locks.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "client_min_messages": "warning",
    # Rows must arrive in the order of the source's file: its statistics, which the target takes over, describe it.
    "synchronize_seqscans": "off",
    # Each query runs once, and those that hash a wide table have thousands of expressions to compile.
    "jit": "off",
}
_KEEPALIVES: dict[str, Any] = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


def connect(uri: str, place: str) -> Connection:
    """Open an autocommit connection to `place` ("source" or "target"), its session set for moving rows.

    Raises what `include.postgres.connect` raises.
    """
    options = {"connect_timeout": 30, "application_name": "transfer", **_KEEPALIVES}
    connection = postgres.connect(uri, place, client_encoding="utf8", **options)
    _configure(connection, place)
    return connection


def clone_connection(connection: Connection, place: str) -> Connection:
    """Open another connection to the same database as the same user, its session set in the same way.

    Raises what `include.postgres.connect` raises; `place` is "source" or "target".
    """
    info = connection.info
    # the dsn repeats the options of the first connection, except the password
    clone = postgres.connect(info.dsn, place, password=info.password)
    _configure(clone, place)
    return clone


def older_version(source: Connection, target: Connection) -> int:
    """Return the version of the older of two servers, as in server_version_num."""
    return min(source.info.server_version, target.info.server_version)


def _configure(connection: Connection, place: str) -> None:
    """Apply `_SETTINGS`, without those that this server's version doesn't have."""
    try:
        names, values = zip(*_SETTINGS.items(), strict=True)
        connection.execute(
            "select set_config(s.name, v.value, false) from unnest(%s::text[], %s::text[]) as v(name, value)"
            " join pg_settings s on lower(s.name) = v.name",
            [list(names), list(values)],
        )
    except psycopg.Error as error:
        connection.close()
        raise postgres.as_warehouse_error(error, f"{place}: can't set the session") from None


@contextmanager
def reading(source: Connection, snapshot: str | None) -> Iterator[None]:
    """Read the source at one snapshot for a `with` block: at an exported one, or at its own. Changes nothing there.

    `snapshot` is an id as `include.transfer.snapshot` gives it. Raises SnapshotLostError when nobody holds it any more.
    """
    source.execute("begin isolation level repeatable read, read only")
    try:
        if snapshot is not None:
            try:
                source.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(snapshot.partition("/")[0])))
            except psycopg.Error as error:
                raise SnapshotLostError(
                    f"source: snapshot {snapshot} of this run is gone ({safe_message(error)}); start the run again"
                ) from None
        yield
    finally:
        try:
            if not source.closed:
                source.execute("rollback")
        except psycopg.Error:  # everything was read already, or another error is on its way to the caller
            source.close()
