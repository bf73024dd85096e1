"""The tables of datasets, one each: made from their contracts and changed as these change.

A dataset's table holds every version of every row and is only ever appended to; `<table>_current` shows the newest
version of each key. Without a key it shows the rows of each file's newest version, or all, as the contract says.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import contextmanager
from typing import Any

from psycopg import sql

from include.contracts import Column, Contract, ContractError
from include.contracts.types import is_same_type
from include.landing import ledger
from include.names import quoted
from include.postgres import Connection, session, session_lock

# Of rows that were loaded at once, _file says which version is the newest, so it is compared byte by byte on every
# server; landing loads at once what is in this order.
METADATA = sql.SQL(
    '_file text collate "C" not null, _line bigint not null, _loaded_at timestamptz not null default now(), '
    "_xid xid8 not null default pg_current_xact_id()"
)
# Not by _xid: after a dump is restored on another server, its rows have higher transaction ids than new ones.
NEWEST_FIRST = sql.SQL("_loaded_at desc, _file desc, _line desc")


def name_of(contract: Contract) -> sql.Identifier:
    """Return the dataset's table, with its schema."""
    return sql.Identifier(contract.schema, contract.table)


def column_list(contract: Contract, alias: str | None = None) -> sql.Composed:
    """Return the contract's columns, separated by commas; with an alias, each is `alias.column`."""
    parts = [sql.Identifier(*filter(None, [alias, column.name])) for column in contract.columns]
    return sql.SQL(", ").join(parts)


def key_hash(contract: Contract, alias: str) -> sql.Composed:
    """Return the expression of the table's index: one bigint for a key of any columns, of which some may be null."""
    parts = sql.SQL(", ").join(sql.Identifier(alias, name) if alias else sql.Identifier(name) for name in contract.key)
    return sql.SQL("hash_record_extended(row({}), 0)").format(parts)


@contextmanager
def lock(connection: Connection, name: str) -> Any:
    """Hold the lock of this name (a dataset, or `tables`) and open a transaction, for a `with` block.

    The transaction begins after the lock is held, so its now() follows the order of the commits.
    """
    with session_lock(connection, f"landing {name}"), connection.transaction():
        yield


def ensure_table(contract: Contract, source_uri: str) -> None:
    """Create the table of a landed contract where it is missing, and landing's own. Safe to repeat and to run at once.

    A column that is new in the contract and may be null is added to its table. Raises ContractError, with the
    statements to run, where the contract differs from its table in another way.
    """
    with session(source_uri, "source_db") as connection:
        create_tables(connection, [contract])


def ensure_tables(contracts: Iterable[Contract], source_uri: str) -> list[str]:
    """Do the same for several contracts, and return a sentence for each one whose table differs; the others follow."""
    sentences = []
    with session(source_uri, "source_db") as connection, _locked(connection):
        for contract in contracts:
            try:
                with connection.transaction():
                    _ensure(connection, contract)
            except ContractError as error:
                sentences.append(str(error))
    return sentences


def create_tables(connection: Connection, contracts: Iterable[Contract]) -> None:
    """Do the same as `ensure_table` for each contract, on an open connection; all of them follow, or none."""
    with _locked(connection):
        for contract in contracts:
            _ensure(connection, contract)


@contextmanager
def _locked(connection: Connection) -> Any:
    """Hold the lock on changes of tables, in a transaction, with landing's own tables there."""
    with lock(connection, "tables"):
        connection.execute("set local client_min_messages = warning")
        ledger.create_tables(connection)
        yield


def _ensure(connection: Connection, contract: Contract) -> None:
    if not contract.is_landed:
        return
    if not _exists(connection, contract.schema, contract.table):
        _create(connection, contract)
    else:
        _follow(connection, contract)


def differences(connection: Connection, contract: Contract) -> tuple[list[Column], list[str]]:
    """Compare a landed contract with its table. Return the columns that can simply be added, and what else differs.

    Each other difference is a sentence with the statement that mends it, for a person to decide on. A table that does
    not exist yet differs in nothing.
    """
    table = f"{contract.schema}.{contract.table}"
    schema, view = quoted(contract.schema), quoted(f"{contract.table}_current")
    # The next run creates the view again.
    alter = f"drop view if exists {schema}.{view}; alter table {schema}.{quoted(contract.table)}"
    found = _columns(connection, contract.schema, contract.table)
    if not found:
        return [], []
    any_row = sql.SQL("select exists (select from {})").format(name_of(contract))
    has_rows = connection.execute(any_row).fetchone() == (True,)
    new, problems = [], []
    for column in contract.columns:
        if column.name not in found and not (has_rows and (column.required or column.is_key)):
            new.append(column)
        elif column.name not in found:
            problems.append(
                f"{table} lacks the column {column.name}, and its rows have no value for it: run"
                f" `{alter} add column {quoted(column.name)} {column.type}` and fill it"
            )
        elif not is_same_type(column.type, found[column.name]):
            problems.append(
                f"{table}.{column.name} is {found[column.name]}, the contract says {column.type}: run"
                f" `{alter} alter column {quoted(column.name)} type {column.type}"
                f" using {quoted(column.name)}::{column.type}`, or change the contract"
            )
    own = {"_file", "_line", "_loaded_at", "_xid"}
    for name in found.keys() - own - {column.name for column in contract.columns}:
        problems.append(
            f"{table} has a column {name}, which the contract does not know: put it back, or run"
            f" `{alter} drop column {quoted(name)}`, which forgets its values"
        )
    return new, sorted(problems)


def _columns(connection: Connection, schema: str, name: str) -> dict[str, str]:
    """Return the columns of a table or view in their order, with their types; empty where it does not exist."""
    query = (
        "select attname, format_type(atttypid, atttypmod) from pg_attribute"
        " where attrelid = to_regclass(format('%%I.%%I', %s::text, %s::text)) and attnum > 0 and not attisdropped"
        " order by attnum"
    )
    return dict(connection.execute(query, [schema, name]).fetchall())


def _follow(connection: Connection, contract: Contract) -> None:
    """Add the columns that are new in the contract. Raises ContractError where more than that differs."""
    new, problems = differences(connection, contract)
    if problems:
        raise ContractError(f"{contract.name}: the table can't follow the contract: " + "; ".join(problems))
    for column in new:
        definition = _definition(column.name, column.type)
        connection.execute(sql.SQL("alter table {} add column {}").format(name_of(contract), definition))
        _comment(connection, contract, column)
    shown = _columns(connection, contract.schema, f"{contract.table}_current")
    is_current = shown == _columns(connection, contract.schema, contract.table) and _shows_newest(connection, contract)
    if _index_key(connection, contract) or not is_current:
        _create_view(connection, contract)


def _shows_newest(connection: Connection, contract: Contract) -> bool:
    """Return whether the view shows what the contract says is the newest, told by how Postgres spells it."""
    query = "select lower(pg_get_viewdef(format('%%I.%%I', %s::text, %s::text)::regclass))"
    found = connection.execute(query, [contract.schema, f"{contract.table}_current"]).fetchone()
    if found is None:
        return False
    is_of_key = NEWEST_FIRST.as_string() in found[0]
    is_of_file = "newest._file" in found[0]
    return (is_of_key, is_of_file) == (bool(contract.key), contract.without_key == "replaceFile")


def _index_key(connection: Connection, contract: Contract) -> bool:
    """Create the index on the contract's key where it is missing, and drop that of another key.

    Returns whether it was missing.
    """
    prefix = "hash_record_extended(ROW("
    wanted = f"{prefix}{', '.join(contract.key)}), "  # the seed follows; versions of Postgres print it differently
    found = connection.execute(
        "select relname, replace(pg_get_expr(indexprs, indrelid), '\"', '') from pg_index"
        " join pg_class on pg_class.oid = indexrelid"
        " where indrelid = to_regclass(format('%%I.%%I', %s::text, %s::text)) and indexprs is not null",
        [contract.schema, contract.table],
    ).fetchall()
    if contract.key and any(expression.startswith(wanted) for _, expression in found):
        return False
    for name, expression in found:
        if expression.startswith(prefix):
            connection.execute(sql.SQL("drop index {}").format(sql.Identifier(contract.schema, name)))
    if contract.key:
        connection.execute(sql.SQL("create index on {} (({}))").format(name_of(contract), key_hash(contract, "")))
    return bool(contract.key)


def _exists(connection: Connection, schema: str, table: str) -> bool:
    found = connection.execute("select to_regclass(format('%%I.%%I', %s::text, %s::text))", [schema, table]).fetchone()
    return found is not None and found[0] is not None


def _create(connection: Connection, contract: Contract) -> None:
    columns = sql.SQL(", ").join(_definition(column.name, column.type) for column in contract.columns)
    connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(contract.schema)))
    connection.execute(sql.SQL("create table {} ({}, {})").format(name_of(contract), columns, METADATA))
    _index_key(connection, contract)
    _create_view(connection, contract)
    comment = sql.SQL("comment on table {} is {}")
    connection.execute(comment.format(name_of(contract), sql.Literal(contract.description)))
    for column in contract.columns:
        _comment(connection, contract, column)


def _create_view(connection: Connection, contract: Contract) -> None:
    key = sql.SQL(", ").join(map(sql.Identifier, contract.key))
    if contract.key:
        rows = sql.SQL("select distinct on ({key}) * from {table} order by {key}, {newest_first}")
    elif contract.without_key == "replaceFile":
        rows = sql.SQL(
            "select t.* from {table} t join (select _file, max(_loaded_at) as _loaded_at from {table} group by _file)"
            " as newest on newest._file = t._file and newest._loaded_at = t._loaded_at"
        )
    else:
        rows = sql.SQL("select * from {table}")
    connection.execute(
        sql.SQL("create or replace view {} as {}").format(
            sql.Identifier(contract.schema, f"{contract.table}_current"),
            rows.format(key=key, table=name_of(contract), newest_first=NEWEST_FIRST),
        )
    )


def remove_replaced(connection: Connection, contract: Contract, paths: list[str]) -> None:
    """Delete the rows of files whose new version has none: no row could say that it replaces them."""
    if paths:
        connection.execute(sql.SQL("delete from {} where _file = any(%s)").format(name_of(contract)), [paths])


def _comment(connection: Connection, contract: Contract, column: Column) -> None:
    connection.execute(
        sql.SQL("comment on column {} is {}").format(
            sql.Identifier(contract.schema, contract.table, column.name), sql.Literal(column.description)
        )
    )


def _definition(name: str, type_: str) -> sql.Composed:
    # The type is one of those that the encoder writes, checked when it is compiled from the contract.
    return sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type_))
