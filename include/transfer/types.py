"""The types that a table's columns need: enums, domains, composites and ranges are made in the target.

A type of the source's schema `x` is made in the schema prefix + `x`. Types of an extension are not made: the target
must have the extension. Types commit before the rows, because a new label of an enum can't be used in the transaction
that adds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from include.postgres import Connection, lock_in_transaction, query, scalar
from include.transfer.catalog import Table
from include.transfer.definition import ensure_schema, execute_or_note
from include.transfer.model import TransferRefusedError

_FIRST_USER_OID = 16384  # below are the types that every server has
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
    """A type of the source; the fields are those of pg_type."""

    oid: int
    schema: str
    name: str
    kind: str  # typtype: b(ase), e(num), d(omain), c(omposite), r(ange), m(ultirange)
    element: int
    is_array: bool
    shown: str
    relation: int
    base: int
    base_typmod: int
    not_null: bool
    extension: str | None


def ensure_types(source: Connection, target: Connection, table: Table, prefix: str) -> list[str]:
    """See that the types of the table's columns exist in the target; return notes of what was left out of them.

    Raises TransferRefusedError for a type that can't be made there.
    """
    wanted = {c.type_oid for c in table.columns if c.type_oid >= _FIRST_USER_OID}
    if not wanted:
        return []
    with target.transaction():
        lock_in_transaction(target, "transfer")  # tables of one run may share a type
        copier = _TypeCopier(source, target, prefix)
        for oid in sorted(wanted):
            copier.ensure(oid)
    return copier.notes


class _TypeCopier:
    """Makes types of the source in the target, and brings those up to date that exist there."""

    def __init__(self, source: Connection, target: Connection, prefix: str) -> None:
        self._source, self._target, self._prefix = source, target, prefix
        self.notes: list[str] = []

    def ensure(self, oid: int) -> None:
        """See that a type of the source exists in the target, and first the types that it consists of."""
        found = self._read(oid)
        if found.is_array:
            self.ensure(found.element)
        elif found.schema in _BUILT_IN:
            return
        elif found.extension is not None:
            if scalar(self._target, "select to_regtype(%s)", found.shown) is None:
                raise TransferRefusedError(
                    f"type {found.shown} belongs to extension {found.extension}, which the target lacks: run there:"
                    f" create extension {sql.Identifier(found.extension).as_string(self._target)}"
                )
        elif found.kind == "m":  # it comes with its range
            ranged = "select rngtypid::bigint from pg_range where rngmultitypid = %s"
            self.ensure(scalar(self._source, ranged, oid))
        else:
            copy = {"e": self._copy_enum, "d": self._copy_domain, "c": self._copy_composite, "r": self._copy_range}
            if found.kind not in copy:
                raise TransferRefusedError(
                    f"type {found.shown} is made of functions of its own: cast it to text in a view"
                )
            ensure_schema(self._target, self._prefix + found.schema)
            copy[found.kind](found, self._name(found), self._oid_in_target(found))

    def _read(self, oid: int) -> _Type:
        return _Type(*query(self._source, _TYPE, oid)[0])

    def _name(self, found: _Type) -> sql.Identifier:
        return sql.Identifier(self._prefix + found.schema, found.name)

    def _oid_in_target(self, found: _Type) -> int | None:
        rows = query(
            self._target,
            "select t.oid::bigint from pg_type t join pg_namespace n on n.oid = t.typnamespace"
            " where n.nspname = %s and t.typname = %s",
            *(self._prefix + found.schema, found.name),
        )
        return rows[0][0] if rows else None

    def _spell(self, oid: int, typmod: int) -> sql.Composable:
        """Return a type of the source as the target spells it."""
        found = self._read(oid)
        element = self._read(found.element) if found.is_array else found
        if element.schema in _BUILT_IN or element.extension is not None:
            return sql.SQL(scalar(self._source, "select format_type(%s, %s)", oid, typmod))
        return self._name(element) + sql.SQL("[]" if found.is_array else "")

    def _copy_enum(self, found: _Type, name: sql.Identifier, there: int | None) -> None:
        """Make an enum, or add the labels that the target's lacks, each after the one that it follows."""
        labels_of = "select enumlabel from pg_enum where enumtypid = %s order by enumsortorder"
        labels = [label for (label,) in query(self._source, labels_of, found.oid)]
        if there is None:
            literals = sql.SQL(", ").join(sql.Literal(label) for label in labels)
            self._target.execute(sql.SQL("create type {} as enum ({})").format(name, literals))
            return
        have = {label for (label,) in query(self._target, labels_of, there)}
        for number, label in enumerate(labels):
            if label in have:
                continue
            after = sql.SQL(" after {}").format(sql.Literal(labels[number - 1])) if number else sql.SQL("")
            add = sql.SQL("alter type {} add value {}{}")
            self._target.execute(add.format(name, sql.Literal(label), after))

    def _copy_domain(self, found: _Type, name: sql.Identifier, there: int | None) -> None:
        """Make a domain, or take from the target's what the source no longer asks of a value.

        What the source asks more than before is not added: values from earlier runs need not obey it.
        """
        self.ensure(found.base)
        checks_of = (
            "select conname, pg_get_constraintdef(oid) from pg_constraint"
            " where contypid = %s and contype = 'c' and convalidated"
        )
        checks: list[tuple[Any, ...]] = query(self._source, checks_of, found.oid)
        alter = sql.SQL("alter domain {} ").format(name)
        if there is not None:
            for check, definition in query(self._target, checks_of, there):
                if definition not in dict(checks).values():
                    drop = alter + sql.SQL("drop constraint {}").format(sql.Identifier(check))
                    self.notes += execute_or_note(self._target, drop, f"dropping check {check} of domain {found.shown}")
            has_not_null = scalar(self._target, "select typnotnull from pg_type where oid = %s", there)
            if not found.not_null and has_not_null:
                drop = alter + sql.SQL("drop not null")
                self.notes += execute_or_note(self._target, drop, f"dropping NOT NULL of domain {found.shown}")
            return
        base = self._spell(found.base, found.base_typmod)
        not_null = sql.SQL(" not null" if found.not_null else "")
        self._target.execute(sql.SQL("create domain {} as {}{}").format(name, base, not_null))
        for check, definition in checks:
            add = alter + sql.SQL("add constraint {} {}").format(sql.Identifier(check), sql.SQL(definition))
            self.notes += execute_or_note(self._target, add, f"check {check} of domain {found.shown}")

    def _copy_composite(self, found: _Type, name: sql.Identifier, there: int | None) -> None:
        """Make a composite type, or the empty table whose rows are the type.

        Raises TransferRefusedError when the target's type has other fields.
        """
        fields_of = (
            "select attname, atttypid::bigint, atttypmod from pg_attribute where attrelid = %s and attnum > 0"
            " and not attisdropped order by attnum"
        )
        definitions: list[sql.Composable] = []
        fields: list[tuple[Any, ...]] = query(self._source, fields_of, found.relation)
        for field, oid, typmod in fields:
            self.ensure(oid)
            definitions.append(sql.Identifier(field) + sql.SQL(" ") + self._spell(oid, typmod))
        if there is None:
            # Where a table's rows are the type, the table itself may move in this run: it is made here, empty, and
            # its own move finds it.
            is_table = scalar(self._source, "select relkind in ('r', 'p') from pg_class where oid = %s", found.relation)
            create = sql.SQL("create table {} ({})" if is_table else "create type {} as ({})")
            self._target.execute(create.format(name, sql.SQL(", ").join(definitions)))
            return
        relation = scalar(self._target, "select typrelid::bigint from pg_type where oid = %s", there)
        if [row[0] for row in query(self._target, fields_of, relation)] != [row[0] for row in fields]:
            raise TransferRefusedError(
                f"type {found.shown} has other fields than in the target: run there: alter type"
                f" {name.as_string(self._target)} add attribute, drop attribute or rename attribute"
            )

    def _copy_range(self, found: _Type, name: sql.Identifier, there: int | None) -> None:
        """Make a range type with its multirange, where the target lacks it."""
        [(subtype, multirange)] = query(
            self._source,
            "select rngsubtype::bigint, (select typname from pg_type where oid = rngmultitypid) from pg_range"
            " where rngtypid = %s",
            found.oid,
        )
        self.ensure(subtype)
        if there is None:
            self._target.execute(
                sql.SQL("create type {} as range (subtype = {}, multirange_type_name = {})").format(
                    name, self._spell(subtype, -1), sql.Identifier(self._prefix + found.schema, multirange)
                )
            )
