"""What has changed in a table's columns since its last transfer, and whether the target can follow by itself.

Followed by a full refresh, which loads the rows in their new shape and switches to it at once: a new column, a dropped
one (the target keeps it, NULL from then on), a wider type, a column that may be NULL now. A rename and any other change
of type are a person's decision: they stop the table with an error that says what to run.
"""

from __future__ import annotations

from psycopg import sql

from include.postgres import Connection
from include.transfer.audit import SCHEMA, TableState
from include.transfer.catalog import Column, Table
from include.transfer.model import TransferRefusedError

# Every value of the type on the left is also one of the types on the right. `_widens` compares lengths and precisions.
_WIDER = {
    "smallint": {"integer", "bigint", "numeric"},
    "integer": {"bigint", "numeric"},
    "bigint": {"numeric"},
    "real": {"double precision"},
    "character": {"character varying", "text"},
    "character varying": {"text"},
    "date": {"timestamp without time zone"},
    "json": {"text"},
    "uuid": {"text"},
}


def find_changes(
    target: Connection, table: Table, existing: Table, state: TableState | None, is_same: bool
) -> list[str]:
    """Return one line for each change that a full refresh must bring to the target; none where the columns agree.

    `is_same`: the target's rows came from this very source table, so its column numbers can be compared. Raises
    TransferRefusedError for what a full refresh can't bring.
    """
    name = existing.name
    if existing.kind != "r":
        raise TransferRefusedError(
            f"{name}: the target has something else of that name than a table: rename or drop it"
        )
    if any(child.schema != SCHEMA for child in existing.child_tables):
        raise TransferRefusedError(
            f"{name}: other tables inherit from it in the target: end that with alter table no inherit"
        )
    have = {c.name: c for c in existing.columns}
    before = state.columns if state else {}
    # A rename keeps the column's number: what was the name of the column with this number at the last run?
    old_names = {number: old for old, number in before.items() if old in have} if is_same else {}
    source_names = {c.name for c in table.columns}
    changes = []
    for c in table.columns:
        old = old_names.get(c.number)
        if c.name in have:
            changes += _type_changes(target, table, c, existing, have[c.name])
        elif old is not None and old not in source_names:
            statement = sql.SQL("alter table {} rename column {} to {}").format(
                name.identifier, sql.Identifier(old), sql.Identifier(c.name)
            )
            raise TransferRefusedError(
                f"{table.name}: column {old} is now called {c.name}: run in the target:"
                f" {statement.as_string(target)}; or, to keep both: alter table ... add column"
            )
        else:
            changes.append(f"column {c.name} is new")
    for dropped in set(before) & set(have) - source_names:
        changes.append(f"column {dropped} was dropped in the source: kept, NULL from now on")
    return changes


def _type_changes(target: Connection, table: Table, wanted: Column, existing: Table, have: Column) -> list[str]:
    """Return what a full refresh must change in one column. Raises TransferRefusedError where the type can't follow."""
    changes = []
    if wanted.type != have.type:
        if not _widens(have, wanted):
            column = sql.Identifier(wanted.name).as_string(target)
            there = existing.name.identifier.as_string(target)
            raise TransferRefusedError(
                f"{table.name}: column {wanted.name} is {wanted.type} in the source and {have.type} in the target,"
                f" which can't follow by itself: run in the target: alter table {there} alter column {column} type"
                f" {wanted.type} using {column}::{wanted.type}; or drop table {there} cascade"
            )
        changes.append(f"column {wanted.name} was widened from {have.type} to {wanted.type}")
    if have.not_null and not wanted.not_null:
        changes.append(f"column {wanted.name} may be NULL now")
    return changes


def _widens(have: Column, wanted: Column) -> bool:
    """Return whether every value of the target's type is one of the source's new type as well."""
    old, new = have.base, wanted.base
    if new in _WIDER.get(old, ()) and wanted.typmod == -1:
        return True
    # A typmod is a length or a precision; -1 stands for none, which holds any value.
    if old == "character" and new == "character varying":
        return wanted.typmod >= have.typmod
    if old != new or have.type.endswith("[]") != wanted.type.endswith("[]"):
        return False
    if wanted.typmod == -1:
        return True
    if have.typmod == -1:
        return False
    if old == "numeric":  # no digit less on either side of the point
        (old_digits, old_scale), (digits, scale) = (_digits(c.typmod) for c in (have, wanted))
        return scale >= old_scale and digits - scale >= old_digits - old_scale
    return wanted.typmod >= have.typmod


def _digits(typmod: int) -> tuple[int, int]:
    """Return precision and scale of a numeric's typmod.

    As in PostgreSQL's numeric.c: four bytes of header are added, and the scale is 11 bits with a sign.
    """
    packed = typmod - 4
    return packed >> 16, ((packed & 0x7FF) ^ 1024) - 1024
