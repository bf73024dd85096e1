"""Which tables a run moves, how each, and why: from what the table offers and from what the target already holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import cast, get_args

import psycopg

from include.postgres import Connection, is_transient, query, safe_message
from include.transfer.audit import SCHEMA
from include.transfer.catalog import Table, describe, list_tables
from include.transfer.model import Mode, TableName, TablePlan, TransferInterruptedError, TransferRefusedError
from include.transfer.session import connect, reading

_LONGEST_NAME = 63  # bytes; Postgres cuts longer ones without an error


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
    """Return what a run would do, a table an entry, the largest first.

    `include` and `exclude` hold shell patterns for schema.table; `modes` overrides the choice by such a pattern (the
    first that matches). `views` moves views and materialized views too, as tables, in full. System schemas and
    partitions never move by themselves. Raises TransferError when a server can't be read or a name gets too long.
    """
    with connect(source_uri, "source") as source, connect(target_uri, "target") as target:
        try:
            return _plan(source, target, include, exclude, full, schema_prefix, modes or {}, views)
        except psycopg.errors.InsufficientPrivilege as error:
            raise TransferRefusedError(f"can't plan: {safe_message(error)}: grant it, or leave the table out") from None
        except psycopg.Error as error:
            kind = TransferInterruptedError if is_transient(error) else TransferRefusedError
            raise kind(f"can't plan: {safe_message(error)}: run it again") from None


def read_modes(text: str) -> dict[str, Mode]:
    """Read `pattern=mode, ...` as an override for `plan`. TransferError quotes the part that is none."""
    modes: dict[str, Mode] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        pattern, _, mode = part.rpartition("=")
        if not pattern.strip() or mode.strip() not in get_args(Mode):
            raise TransferRefusedError(f"mode {part!r}: write PATTERN=MODE, MODE one of {', '.join(get_args(Mode))}")
        modes[pattern.strip()] = cast(Mode, mode.strip())
    return modes


def _plan(
    source: Connection,
    target: Connection,
    include: Sequence[str],
    exclude: Sequence[str],
    full: bool,
    schema_prefix: str,
    modes: Mapping[str, Mode],
    views: bool,
) -> list[TablePlan]:
    with reading(source, None):
        wanted = {
            oid: name
            for oid, name, partition in list_tables(source, views)
            if not partition and _matches(str(name), include) and not _matches(str(name), exclude)
        }
        tables = describe(source, list(wanted), schema_prefix, target.info.server_version)
    known = _known(target)
    plans = []
    for table in tables.values():
        name = TableName(schema_prefix + table.name.schema, table.name.table)
        if len(name.schema.encode()) > _LONGEST_NAME:
            raise TransferRefusedError(
                f"{table.name}: schema {name.schema} is longer than 63 bytes: take a shorter prefix"
            )
        if name.schema == SCHEMA:
            raise TransferRefusedError(
                f"{table.name}: the transfer keeps its own tables in the target's schema {SCHEMA}:"
                f" exclude '{SCHEMA}.*' or take a prefix"
            )
        override = next((mode for pattern, mode in modes.items() if fnmatchcase(str(table.name), pattern)), None)
        mode, reason = choose_mode(table, str(name) in known, known.get(str(name)), full, override)
        plans.append(
            TablePlan(
                source=str(table.name),
                target=str(name),
                mode=mode,
                reason=reason,
                rows_estimate=table.rows,
                bytes_estimate=table.bytes,
                forced=full or override == "full",
            )
        )
    return sorted(plans, key=lambda p: (-p.bytes_estimate, p.source))


def choose_mode(
    table: Table, moved: bool, watermark: str | None, full: bool, override: Mode | None
) -> tuple[Mode, str]:
    """Return the mode and the one line that says why; `moved`: the target has the table from an earlier run."""
    offered = {"append": bool(table.xid_column), "key": bool(table.key), "full": True}
    if override is not None and not offered[override]:
        lacking = {"append": "a column `xid8 default pg_current_xact_id()`", "key": "a key that no row lacks"}[override]
        raise TransferRefusedError(f"{table.name}: mode {override} is configured, but the table lacks {lacking}")
    if full:
        return "full", "full refresh: asked for"
    if override == "full":
        return "full", "full refresh: configured"
    wanted: Mode = override or ("append" if offered["append"] else "key" if offered["key"] else "full")
    why = "configured" if override else ""
    if wanted == "full":
        kind = "a view" if table.kind in ("v", "m") else "no key and no transaction-id column"
        return "full", f"full refresh: {'inherited by others' if table.has_children and table.kind == 'r' else kind}"
    how = (
        f"append: {why or 'new rows are told'} by {table.xid_column}"
        if wanted == "append"
        else f"key comparison: {why or 'changed rows are told'} by hashes of ({', '.join(table.key)})"
    )
    if not moved:
        return "full", f"full refresh: not moved before, later runs {how}"
    if wanted == "append" and watermark is None:
        return "full", f"full refresh: no watermark yet, later runs {how}"
    return wanted, how


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _known(target: Connection) -> dict[str, str | None]:
    """Return the watermark of every table of the target that was moved before, None for a table that has none."""
    audited = query(target, "select from pg_class where oid = to_regclass('transfer.tables')")
    watermarks = dict(query(target, "select target, watermark from transfer.tables")) if audited else {}
    return {str(name): watermarks[str(name)] for _, name, _ in list_tables(target) if str(name) in watermarks}
