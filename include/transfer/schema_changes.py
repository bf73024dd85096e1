"""What became of a table's columns since its last transfer, and whether the target can follow by itself.

A new column is added, a dropped one is kept and NULL from then on, a widened type is widened, NOT NULL follows: each by
a full refresh, which fills the new shape and switches to it at once. A rename and any other change of type are a
person's decision: they stop the table with an error that says what to run.
"""

from __future__ import annotations

from psycopg import sql

from include.postgres import Connection
from include.transfer.audit import SCHEMA, Standing
from include.transfer.catalog import Column, Table
from include.transfer.model import TransferRefusedError

# Every value of the left type is one of each right type. Lengths and precisions are compared apart.
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


def find_changes(target: Connection, table: Table, existing: Table, known: Standing | None, same: bool) -> list[str]:
    """Return one line for each change that a full refresh must bring to the target; no line, no change.

    `same`: the rows came from this very source table, so its column numbers can be compared. Raises
    TransferRefusedError for what a full refresh can't bring.
    """
    name = existing.name
    if existing.kind != "r":
        raise TransferRefusedError(
            f"{name}: the target has something else of that name than a table: rename or drop it"
        )
    if any(store.schema != SCHEMA for store in existing.stores):
        raise TransferRefusedError(
            f"{name}: other tables inherit from it in the target: end that with alter table no inherit"
        )
    have = {c.name: c for c in existing.columns}
    before = known.columns if known else {}
    renamed = {number: old for old, number in before.items() if old in have} if same else {}
    lines = []
    for c in table.columns:
        old = renamed.get(c.number)
        if c.name not in have and old is not None and old not in {each.name for each in table.columns}:
            statement = sql.SQL("alter table {} rename column {} to {}").format(
                name.identifier, sql.Identifier(old), sql.Identifier(c.name)
            )
            raise TransferRefusedError(
                f"{table.name}: column {old} is now called {c.name}: run in the target:"
                f" {statement.as_string(target)}; or, to keep both: alter table ... add column"
            )
        if c.name not in have:
            lines.append(f"column {c.name} is new")
        else:
            lines += _type_change(target, table, c, existing, have[c.name])
    for gone in set(before) & set(have) - {c.name for c in table.columns}:
        lines.append(f"column {gone} was dropped in the source: kept, NULL from now on")
    return lines


def _type_change(target: Connection, table: Table, wanted: Column, existing: Table, have: Column) -> list[str]:
    lines = []
    if wanted.type != have.type:
        if not _widens(have, wanted):
            column = sql.Identifier(wanted.name).as_string(target)
            there = existing.name.identifier.as_string(target)
            raise TransferRefusedError(
                f"{table.name}: column {wanted.name} is {wanted.type} in the source and {have.type} in the target,"
                f" which can't follow by itself: run in the target: alter table {there} alter column {column} type"
                f" {wanted.type} using {column}::{wanted.type}; or drop table {there} cascade"
            )
        lines.append(f"column {wanted.name} was widened from {have.type} to {wanted.type}")
    if have.not_null and not wanted.not_null:
        lines.append(f"column {wanted.name} may be NULL now")
    return lines


def _widens(have: Column, wanted: Column) -> bool:
    old, new = have.base, wanted.base
    if new in _WIDER.get(old, ()) and wanted.typmod == -1:
        return True
    if old == "character" and new == "character varying":
        return wanted.typmod >= have.typmod
    if old != new or have.type.endswith("[]") != wanted.type.endswith("[]"):
        return False
    if wanted.typmod == -1:
        return True
    if have.typmod == -1:
        return False
    if old == "numeric":
        (old_digits, old_scale), (digits, scale) = (_digits(c.typmod) for c in (have, wanted))
        return scale >= old_scale and digits - scale >= old_digits - old_scale
    return wanted.typmod >= have.typmod


def _digits(typmod: int) -> tuple[int, int]:
    """Return precision and scale of a numeric's typmod (numeric.c: scale is 11 bits, with a sign)."""
    packed = typmod - 4
    return packed >> 16, ((packed & 0x7FF) ^ 1024) - 1024
