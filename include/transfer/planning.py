"""Which tables a run moves, how each, and why: from what the table offers and from what the target already holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import cast, get_args

import psycopg

from include.postgres import Connection, is_transient, query, safe_message, session
from include.transfer.audit import SCHEMA
from include.transfer.catalog import Table, describe, list_tables
from include.transfer.model import Mode, TableName, TablePlan, TransferInterruptedError, TransferRefusedError
from include.transfer.session import connect, reading

_LONGEST_NAME = 63  # bytes; Postgres cuts longer ones without an error


@dataclass(frozen=True)
class _Selection:
    """What a caller asks of a run; see `plan`."""

    include: Sequence[str]
    exclude: Sequence[str]
    full: bool
    schema_prefix: str
    modes: Mapping[str, Mode]
    views: bool

    def selects(self, name: TableName) -> bool:
        """Return whether the table is to be moved."""
        text = str(name)
        return any(fnmatchcase(text, p) for p in self.include) and not any(fnmatchcase(text, p) for p in self.exclude)

    def override(self, name: TableName) -> Mode | None:
        """Return the mode that is configured for the table, None where the choice is free."""
        return next((mode for pattern, mode in self.modes.items() if fnmatchcase(str(name), pattern)), None)


def plan(
    source_uri: str,
    target_uri: str,
    *,
    include: Sequence[str] = ("*",),
    exclude: Sequence[str] = (),
    full: bool = False,
    schema_prefix: str = "",
    modes: Mapping[str, Mode] | None = None,
    views: bool = False,
) -> list[TablePlan]:
    """Return what a run would do, one plan per table, the largest table first.

    `include` and `exclude` hold shell patterns for schema.table; `modes` overrides the choice by such a pattern (the
    first that matches). `views` moves views and materialized views too, as tables, in full. System schemas and
    partitions never move by themselves. Raises TransferError when a server can't be read or a name gets too long, and
    ConnectionFailedError when one can't be reached.
    """
    selection = _Selection(include, exclude, full, schema_prefix, modes or {}, views)
    with connect(source_uri, "source") as source, connect(target_uri, "target") as target:
        try:
            return _plan(source, target, selection)
        except psycopg.errors.InsufficientPrivilege as error:
            raise TransferRefusedError(f"can't plan: {safe_message(error)}: grant it, or leave the table out") from None
        except psycopg.Error as error:
            kind = TransferInterruptedError if is_transient(error) else TransferRefusedError
            raise kind(f"can't plan: {safe_message(error)}: run it again") from None


def selected(source_uri: str, include: Sequence[str], exclude: Sequence[str]) -> set[str]:
    """Return the names of the source's tables and views that patterns of schema.table select, without a plan.

    Raises what `include.postgres.session` raises.
    """
    selection = _Selection(include, exclude, False, "", {}, True)
    with session(source_uri, "source_db") as source:
        return {str(name) for _, name, _ in list_tables(source, views=True) if selection.selects(name)}


def read_modes(text: str) -> dict[str, Mode]:
    """Read `pattern=mode, ...` as an override for `plan`. Raises TransferRefusedError for a part that is none."""
    modes: dict[str, Mode] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        pattern, _, mode = part.rpartition("=")
        if not pattern.strip() or mode.strip() not in get_args(Mode):
            raise TransferRefusedError(f"mode {part!r}: write PATTERN=MODE, MODE one of {', '.join(get_args(Mode))}")
        modes[pattern.strip()] = cast(Mode, mode.strip())
    return modes


def _plan(source: Connection, target: Connection, selection: _Selection) -> list[TablePlan]:
    """Return the plans of the selected tables, described at one snapshot of the source."""
    with reading(source, None):
        wanted = [
            oid
            for oid, name, is_partition in list_tables(source, selection.views)
            if not is_partition and selection.selects(name)
        ]
        tables = describe(source, wanted, selection.schema_prefix, target.info.server_version)
    watermarks = _watermarks(target)
    plans = [_plan_table(table, selection, watermarks) for table in tables.values()]
    return sorted(plans, key=lambda p: (-p.bytes_estimate, p.source))


def _plan_table(table: Table, selection: _Selection, watermarks: Mapping[str, str | None]) -> TablePlan:
    """Return the plan of one table. Raises TransferRefusedError for a name that the target can't have."""
    name = TableName(selection.schema_prefix + table.name.schema, table.name.table)
    if len(name.schema.encode()) > _LONGEST_NAME:
        raise TransferRefusedError(
            f"{table.name}: schema {name.schema} is longer than {_LONGEST_NAME} bytes: take a shorter prefix"
        )
    if name.schema == SCHEMA:
        raise TransferRefusedError(
            f"{table.name}: the transfer keeps its own tables in the target's schema {SCHEMA}:"
            f" exclude '{SCHEMA}.*' or take a prefix"
        )
    override = selection.override(table.name)
    has_moved, watermark = str(name) in watermarks, watermarks.get(str(name))
    mode, reason = _choose_mode(table, has_moved, watermark, selection.full, override)
    return TablePlan(
        source=str(table.name),
        target=str(name),
        mode=mode,
        reason=reason,
        rows_estimate=table.rows,
        bytes_estimate=table.bytes,
        forced=selection.full or override == "full",
    )


def _choose_mode(
    table: Table, has_moved: bool, watermark: str | None, full: bool, override: Mode | None
) -> tuple[Mode, str]:
    """Return the mode of a table and the one line that says why.

    `has_moved` and `watermark`: what the target has of the table from an earlier run. `full`: a full refresh is asked
    for. `override`: the mode that is configured. Raises TransferRefusedError where the table doesn't offer that mode.
    """
    offered = {"append": bool(table.xid_column), "key": bool(table.key), "full": True}
    if override is not None and not offered[override]:
        lacking = {"append": "a column `xid8 default pg_current_xact_id()`", "key": "a key that no row lacks"}[override]
        raise TransferRefusedError(f"{table.name}: mode {override} is configured, but the table lacks {lacking}")
    if full:
        return "full", "full refresh: asked for"
    if override == "full":
        return "full", "full refresh: configured"
    wanted: Mode = override or ("append" if offered["append"] else "key" if offered["key"] else "full")
    if wanted == "full":
        kind = "a view" if table.kind in ("v", "m") else "no key and no transaction-id column"
        return "full", f"full refresh: {'inherited by others' if table.has_children and table.kind == 'r' else kind}"
    why = "configured" if override else "changes are found"
    if wanted == "append":
        how = f"append: {why} by {table.xid_column}"
    else:
        how = f"key comparison: {why} by hashes of ({', '.join(table.key)})"
    # both modes need what an earlier run has left in the target
    if not has_moved:
        return "full", f"full refresh: not moved before, later runs {how}"
    if wanted == "append" and watermark is None:
        return "full", f"full refresh: no watermark yet, later runs {how}"
    return wanted, how


def _watermarks(target: Connection) -> dict[str, str | None]:
    """Return the watermark of every target table that has moved before, None for a table that has none."""
    audited = query(target, "select from pg_class where oid = to_regclass('transfer.tables')")
    watermarks = dict(query(target, "select target, watermark from transfer.tables")) if audited else {}
    # a table that somebody has dropped in the target since then has to move in full
    return {str(name): watermarks[str(name)] for _, name, _ in list_tables(target) if str(name) in watermarks}
