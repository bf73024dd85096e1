"""The types that a table's columns need: enums, domains, composites and ranges are made in the target, extensions' not.

A type of the source's schema `x` is made in prefix + `x`. They commit before the rows, because a new label of an enum
can't be used in the transaction that adds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from include.postgres import Connection, lock_in_transaction, query, scalar
from include.transfer.catalog import Table
from include.transfer.definition import attempt, ensure_schema
from include.transfer.model import TransferRefusedError

_BUILT_IN = ("pg_catalog", "information_schema")

_TYPE = """
select t.oid::bigint, n.nspname, t.typname, t.typtype::text, t.typelem::bigint, t.typelem <> 0 and t.typcategory = 'A',
    format_type(t.oid, null), t.typrelid::bigint, t.typbasetype::bigint, t.typtypmod, t.typnotnull,
    (select x.extname from pg_depend e join pg_extension x on x.oid = e.refobjid
        where e.classid = 'pg_type'::regclass and e.objid = t.oid and e.deptype = 'e')
from pg_type t join pg_namespace n on n.oid = t.typnamespace where t.oid = %s
"""


@dataclass(frozen=True)
class _Type:
    oid: int
    schema: str
    name: str
    kind: str
    element: int
    is_array: bool
    shown: str
    relation: int
    base: int
    base_typmod: int
    not_null: bool
    extension: str | None


def ensure_types(source: Connection, target: Connection, table: Table, prefix: str) -> list[str]:
    """See that the types of the table's columns exist in the target; return notes of what was left out of them."""
    wanted = {c.type_oid for c in table.columns if c.type_oid >= 16384}
    if not wanted:
        return []
    notes: list[str] = []
    with target.transaction():
        lock_in_transaction(target, "transfer")
        for oid in sorted(wanted):
            _ensure(source, target, oid, prefix, notes)
    return notes


def _ensure(source: Connection, target: Connection, oid: int, prefix: str, notes: list[str]) -> None:
    found = _Type(*query(source, _TYPE, oid)[0])
    if found.is_array:
        _ensure(source, target, found.element, prefix, notes)
    elif found.schema in _BUILT_IN:
        return
    elif found.extension is not None:
        if scalar(target, "select to_regtype(%s)", found.shown) is None:
            raise TransferRefusedError(
                f"type {found.shown} belongs to extension {found.extension}, which the target lacks: run there:"
                f" create extension {found.extension}"
            )
    elif found.kind == "m":
        ranged = scalar(source, "select rngtypid::bigint from pg_range where rngmultitypid = %s", oid)
        _ensure(source, target, ranged, prefix, notes)
    else:
        makers = {"e": _enum, "d": _domain, "c": _composite, "r": _range}
        if found.kind not in makers:
            raise TransferRefusedError(f"type {found.shown} is made of functions of its own: cast it to text in a view")
        schema = prefix + found.schema
        there = query(
            target,
            "select t.oid::bigint from pg_type t join pg_namespace n on n.oid = t.typnamespace"
            " where n.nspname = %s and t.typname = %s",
            *(schema, found.name),
        )
        ensure_schema(target, schema)
        identifier = sql.Identifier(schema, found.name)
        makers[found.kind](source, target, found, identifier, there[0][0] if there else None, prefix, notes)


def _spell(source: Connection, oid: int, typmod: int, prefix: str) -> sql.Composable:
    """Return a type as the target spells it."""
    found = _Type(*query(source, _TYPE, oid)[0])
    element = _Type(*query(source, _TYPE, found.element)[0]) if found.is_array else found
    if element.schema in _BUILT_IN or element.extension is not None:
        return sql.SQL(scalar(source, "select format_type(%s, %s)", oid, typmod))
    brackets = sql.SQL("[]" if found.is_array else "")
    return sql.Identifier(prefix + element.schema, element.name) + brackets


def _enum(
    source: Connection,
    target: Connection,
    found: _Type,
    name: sql.Identifier,
    there: int | None,
    prefix: str,
    notes: list[str],
) -> None:
    labels_of = "select enumlabel from pg_enum where enumtypid = %s order by enumsortorder"
    labels = [label for (label,) in query(source, labels_of, found.oid)]
    if there is None:
        literals = sql.SQL(", ").join(sql.Literal(label) for label in labels)
        target.execute(sql.SQL("create type {} as enum ({})").format(name, literals))
        return
    have = {label for (label,) in query(target, labels_of, there)}
    for place, label in enumerate(labels):
        if label in have:
            continue
        after = sql.SQL(" after {}").format(sql.Literal(labels[place - 1])) if place else sql.SQL("")
        target.execute(sql.SQL("alter type {} add value {}{}").format(name, sql.Literal(label), after))


def _domain(
    source: Connection,
    target: Connection,
    found: _Type,
    name: sql.Identifier,
    there: int | None,
    prefix: str,
    notes: list[str],
) -> None:
    _ensure(source, target, found.base, prefix, notes)
    checks_of = (
        "select conname, pg_get_constraintdef(oid) from pg_constraint"
        " where contypid = %s and contype = 'c' and convalidated"
    )
    checks = query(source, checks_of, found.oid)
    if there is not None:  # what the source no longer asks of a value would keep it out
        change = sql.SQL("alter domain {} drop ").format(name)
        for check, definition in query(target, checks_of, there):
            if definition not in dict(checks).values():
                drop = change + sql.SQL("constraint ") + sql.Identifier(check)
                notes += attempt(target, drop, f"dropping check {check} of domain {found.shown}")
        if not found.not_null and scalar(target, "select typnotnull from pg_type where oid = %s", there):
            notes += attempt(target, change + sql.SQL("not null"), f"dropping NOT NULL of domain {found.shown}")
        return
    base = _spell(source, found.base, found.base_typmod, prefix)
    not_null = sql.SQL(" not null" if found.not_null else "")
    target.execute(sql.SQL("create domain {} as {}{}").format(name, base, not_null))
    for check, definition in checks:
        statement = sql.SQL("alter domain {} add constraint {} {}").format(
            name, sql.Identifier(check), sql.SQL(definition)
        )
        notes += attempt(target, statement, f"check {check} of domain {found.shown}")


def _composite(
    source: Connection,
    target: Connection,
    found: _Type,
    name: sql.Identifier,
    there: int | None,
    prefix: str,
    notes: list[str],
) -> None:
    fields_of = (
        "select attname, atttypid::bigint, atttypmod from pg_attribute where attrelid = %s and attnum > 0"
        " and not attisdropped order by attnum"
    )
    parts: list[sql.Composable] = []
    fields: list[tuple[Any, ...]] = query(source, fields_of, found.relation)
    for field, oid, typmod in fields:
        _ensure(source, target, oid, prefix, notes)
        parts.append(sql.Identifier(field) + sql.SQL(" ") + _spell(source, oid, typmod, prefix))
    if there is None:
        # a table's rows are a type too, and the table may be on its way: it finds itself here, empty
        is_table = scalar(source, "select relkind in ('r', 'p') from pg_class where oid = %s", found.relation)
        verb = sql.SQL("create table {} ({})" if is_table else "create type {} as ({})")
        target.execute(verb.format(name, sql.SQL(", ").join(parts)))
        return
    relation = scalar(target, "select typrelid::bigint from pg_type where oid = %s", there)
    if [row[0] for row in query(target, fields_of, relation)] != [row[0] for row in fields]:
        raise TransferRefusedError(
            f"type {found.shown} has other fields than in the target: run there: alter type"
            f" {name.as_string(target)} add attribute, drop attribute or rename attribute"
        )


def _range(
    source: Connection,
    target: Connection,
    found: _Type,
    name: sql.Identifier,
    there: int | None,
    prefix: str,
    notes: list[str],
) -> None:
    [(subtype, multirange)] = query(
        source,
        "select rngsubtype::bigint, (select typname from pg_type where oid = rngmultitypid) from pg_range"
        " where rngtypid = %s",
        found.oid,
    )
    _ensure(source, target, subtype, prefix, notes)
    if there is None:
        target.execute(
            sql.SQL("create type {} as range (subtype = {}, multirange_type_name = {})").format(
                name, _spell(source, subtype, -1, prefix), sql.Identifier(prefix + found.schema, multirange)
            )
        )
