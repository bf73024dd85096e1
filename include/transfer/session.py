"""Connections to both servers of a transfer, set so that a value's text is the same on each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from include import postgres
from include.postgres import Connection, safe_message
from include.transfer.model import SnapshotLostError

# Text forms must agree between servers; nothing may time a long read out; a dead client must be noticed in a minute.
# With row_security off, a policy that would hide rows from this user is an error instead of a partial copy. Who waited
# for another run must see what that one left, whatever isolation the database asks for.
_SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmloption": "content",
    "search_path": "pg_catalog",
    "row_security": "off",
    "default_transaction_isolation": "read committed",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "client_min_messages": "warning",
    "synchronize_seqscans": "off",
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


def sibling(connection: Connection) -> Connection:
    """Open another connection to the same place as the same user, its session set in the same way."""
    info = connection.info
    other = psycopg.connect(info.dsn, password=info.password, autocommit=True)
    _configure(other, "sibling")
    return other


def older_version(source: Connection, target: Connection) -> int:
    """Return what both servers can do at least, as in server_version_num."""
    return min(source.info.server_version, target.info.server_version)


def _configure(connection: Connection, place: str) -> None:
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
    """Read one moment of the source: an exported snapshot (see `snapshot`), or its own. Changes nothing there."""
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
        except psycopg.Error:  # all that was read is across, or another error is on its way
            source.close()
