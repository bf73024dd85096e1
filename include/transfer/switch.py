"""The switch of a target table to fresh child tables: what was loaded becomes what readers see, within milliseconds.

The table is locked, its old child tables are dropped, its columns, keys and indexes follow those of the new ones, and
these become its children. `modes.full` says why it is done in this way.
"""

from __future__ import annotations

import psycopg
from psycopg import sql
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from include.postgres import Connection, query, safe_message, scalar
from include.transfer.catalog import Column, Constraint, Table, describe, find_table
from include.transfer.definition import add_constraint, add_index
from include.transfer.model import TableName, TransferInterruptedError, TransferRefusedError
from include.transfer.session import clone_connection
from include.transfer.table_pair import TablePair
from include.transfer.views import drop_dependent_views, execute_view_statements

# A reader that comes while the switch waits for a longer query queues behind it, so each attempt is short.
_ATTEMPT = "20ms"
_LONGEST_WAIT = 600.0  # seconds of attempts; readers that never leave fail the table then


def switch(pair: TablePair, child_tables: list[TableName]) -> list[str]:
    """Make loaded child tables the rows of the target table; return notes. The table exists.

    Where it existed before the load, it stays locked until the caller commits, who does so at once. Raises
    TransferInterruptedError when others keep the table locked, TransferRefusedError when something depends on it that a
    refresh can't keep.
    """
    if pair.existing is None:
        _attach(pair.target, pair.name, child_tables)
        return []
    _flush_log(pair.target)
    return _replace_children(pair.target, pair.name, pair.existing, child_tables)


def _flush_log(target: Connection) -> None:
    """Have the loaded rows' log on disk before the table is locked, so that the commit has little left to write."""
    with clone_connection(target, "target") as other:
        other.execute("select pg_current_xact_id()")  # its commit flushes all that was logged before it


def _replace_children(target: Connection, name: TableName, existing: Table, child_tables: list[TableName]) -> list[str]:
    """Lock the table, drop its old rows, and give it the new child tables with their columns and keys."""
    oid = find_table(target, child_tables[0])
    assert oid is not None
    child = describe(target, [oid], "", target.info.server_version)[oid]
    old_types = {c.name: c.type for c in existing.columns}
    is_retyped = any(old_types.get(c.name, c.type) != c.type for c in child.columns)
    recreate_views = _lock(target, name, existing, drop_views=is_retyped)
    for old in existing.child_tables:
        target.execute(sql.SQL("drop table {}").format(old.identifier))
    # the first refresh of a table that held its rows itself
    if scalar(target, "select pg_relation_size(%s::regclass) > 0", name.identifier.as_string(target)):
        try:
            target.execute(sql.SQL("truncate only {}").format(name.identifier))
        except psycopg.errors.FeatureNotSupported:
            raise TransferRefusedError(
                f"{name}: a foreign key of another table in the target refers to it, which the rows of a refresh can't"
                " have: drop that foreign key and run again"
            ) from None
    notes = _align(target, name, existing, child)
    execute_view_statements(target, name, recreate_views)
    _attach(target, name, child_tables)
    return notes


def _attach(target: Connection, name: TableName, child_tables: list[TableName]) -> None:
    for child in child_tables:
        target.execute(sql.SQL("alter table {} inherit {}").format(child.identifier, name.identifier))


def _lock(target: Connection, name: TableName, existing: Table, *, drop_views: bool) -> list[sql.Composed]:
    """Lock the table and its child tables, in short attempts; return the statements that make its views again.

    With `drop_views` the views on it are dropped first, in the order in which readers take their locks: a reader locks
    the view, then its table, and would otherwise wait in a circle with the switch.
    """

    def attempt() -> list[sql.Composed]:
        with target.transaction():  # a savepoint: an attempt that fails gives up what it has locked
            target.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(_ATTEMPT)))
            recreate_views = drop_dependent_views(target, name) if drop_views else []
            for each in (name, *existing.child_tables):
                target.execute(sql.SQL("lock table only {} in access exclusive mode").format(each.identifier))
            return recreate_views

    attempts = Retrying(
        retry=retry_if_exception_type(psycopg.errors.LockNotAvailable),
        wait=wait_exponential(multiplier=0.05, exp_base=1.5, max=1.0),
        stop=stop_after_delay(_LONGEST_WAIT),
    )
    try:
        return attempts(attempt)
    except RetryError:
        raise TransferInterruptedError(
            f"{name}: {_lock_holders(target, name)} kept the table locked for {_LONGEST_WAIT:.0f} s: end it in the"
            " target (select pg_terminate_backend(...)) and run again"
        ) from None


def _lock_holders(target: Connection, name: TableName) -> str:
    rows = query(
        target,
        "select distinct pid from pg_locks where relation = %s::regclass and granted and pid <> pg_backend_pid()",
        name.identifier.as_string(target),
    )
    return f"server process {', '.join(str(pid) for (pid,) in rows)}" if rows else "another session"


def _align(target: Connection, name: TableName, existing: Table, child: Table) -> list[str]:
    """Give the parent, which is empty now, the columns, keys, checks and indexes that its child tables have.

    Constraints that the children lack are dropped from the parent; a note names each.
    """
    have = {c.name: c for c in existing.columns}
    for c in child.columns:
        for change in _column_changes(c, have.get(c.name)):
            try:
                target.execute(sql.SQL("alter table only {} {}").format(name.identifier, change))
            except psycopg.errors.FeatureNotSupported as error:
                raise TransferRefusedError(
                    f"{name}: column {c.name} can't become {c.type}: {safe_message(error)}: drop what uses"
                    " it, run again, create it again"
                ) from None
    notes = []
    wanted = {_identity(c) for c in child.constraints}
    for constraint in existing.constraints:
        if _identity(constraint) not in wanted:
            target.execute(
                sql.SQL("alter table {} drop constraint {}").format(name.identifier, sql.Identifier(constraint.name))
            )
            notes.append(f"constraint {constraint.name} dropped: the source has none like it")
    present = {_identity(c) for c in existing.constraints}
    for constraint in child.constraints:
        if _identity(constraint) not in present:
            # INHERIT wants the checks of parent and child under one name; keys are not inherited
            notes += add_constraint(target, name, constraint, named=constraint.kind == "c")
    indexes = {index.definition for index in existing.indexes}
    for index in child.indexes:
        if index.definition not in indexes:
            notes += add_index(target, name, index, named=False)
    return notes


def _identity(constraint: Constraint) -> tuple[str, str]:
    """Return what makes two constraints the same: the definition, and of a check its name as well."""
    return (constraint.name if constraint.kind == "c" else "", constraint.definition)


def _column_changes(wanted: Column, have: Column | None) -> list[sql.Composed]:
    """Return what ALTER TABLE must do to a column of an empty table."""
    column = sql.Identifier(wanted.name)
    kind = sql.SQL(wanted.type)
    collation = sql.SQL(" collate ") + sql.SQL(wanted.collation) if wanted.collation else sql.SQL("")
    if have is None:
        not_null = sql.SQL(" not null" if wanted.not_null else "")
        return [sql.SQL("add column {} {}{}{}").format(column, kind, collation, not_null)]
    changes = []
    if have.type != wanted.type or have.collation != wanted.collation:
        # a default of the old type need not have a cast to the new one
        changes.append(sql.SQL("alter column {} drop default").format(column))
        changes.append(sql.SQL("alter column {} type {}{} using null::{}").format(column, kind, collation, kind))
    if have.not_null != wanted.not_null:
        verb = sql.SQL("set not null" if wanted.not_null else "drop not null")
        changes.append(sql.SQL("alter column {} {}").format(column, verb))
    return changes
