"""The child tables that hold the rows of a refreshed table: their names, their lock, and clearing up after a kill.

They are in the schema `transfer` and inherit from the target table, which is empty itself (see `modes.full`).
"""

from __future__ import annotations

import hashlib
import secrets

from psycopg import sql

from include.postgres import Connection, lock_in_transaction, query, session_lock
from include.transfer.audit import SCHEMA
from include.transfer.model import TableName


def new_name(name: TableName) -> TableName:
    """Return a name for a new child table of a target table."""
    return TableName(SCHEMA, f"{_name_prefix(name)}{secrets.token_hex(4)}")


def lock_for_creation(target: Connection, name: TableName) -> None:
    """Keep `drop_orphaned_children` waiting until the open transaction, which makes a child table, has ended."""
    lock_in_transaction(target, _lock_name(name), shared=True)


def drop_orphaned_children(target: Connection, name: TableName) -> None:
    """Drop the child tables that a killed run has made for a target table and never attached to it.

    The caller keeps other runs from the table.
    """
    with session_lock(target, _lock_name(name)):  # waits for sessions of the killed run, which may still be at work
        for (child,) in query(
            target,
            "select relname from pg_class c where relnamespace = 'transfer'::regnamespace and relkind = 'r'"
            " and starts_with(relname, %s) and not exists (select from pg_inherits where inhrelid = c.oid)",
            _name_prefix(name),
        ):
            target.execute(sql.SQL("drop table {}").format(sql.Identifier(SCHEMA, child)))


def _lock_name(name: TableName) -> str:
    # sessions of older versions take this lock too, so its name stays
    return f"transfer stores of {name}"


def _name_prefix(name: TableName) -> str:
    """Return how the names of a table's child tables begin: its name, for people, and a hash that no other table has.

    The name is cut to 38 bytes, so that 25 are left of the 63 that a name may have: 12 for the hash of the full name,
    8 for the random end, and the underscores.
    """
    digest = hashlib.sha256(str(name).encode()).hexdigest()[:12]
    return f"{name.table.encode()[:38].decode(errors='ignore')}_{digest}_"
