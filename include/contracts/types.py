"""Types of Postgres in contracts: what a contract calls one, whether two spellings mean the same, and its logical type.

A column of a landed dataset has one of the types that landing writes. A table that nothing lands in may have columns of
any type, so a contract names it as the catalog does. What is written by hand may also be a synonym (int, varchar(20),
timestamptz), or the name of an enum or domain without its schema.
"""

from __future__ import annotations

import re
from typing import Any

from include.contracts.catalog import Type

# The groups are a plain type; numeric, its precision and scale; varchar and its length. landing/encoder.py has how a
# value becomes one of each.
LANDED_TYPES = re.compile(
    r"(text|smallint|integer|bigint|double precision|boolean|date|timestamptz|jsonb|uuid)"
    r"|(numeric)(?:\(([0-9]+),\s*([0-9]+)\))?|(varchar)\(([0-9]+)\)"
)
LANDED_TYPES_SPELLED = (
    "text, varchar(n), smallint, integer, bigint, numeric[(p,s)], double precision, boolean, date, timestamptz, uuid, "
    "jsonb"
)

# Which of them hold every value of a logical type as it is, and nothing else. Whatever is not here would alter a value
# (1.5 in a bigint) or let through what the logical type promises not to be there.
_HELD_BY = {
    "string": ("text", "varchar(n)", "uuid", "jsonb"),
    "integer": ("smallint", "integer", "bigint", "numeric[(p,s)]", "jsonb"),
    "number": ("numeric[(p,s)]", "double precision", "jsonb"),
    "boolean": ("boolean", "jsonb"),
    "date": ("date", "jsonb"),
    "timestamp": ("timestamptz", "date", "jsonb"),  # a date where every time is a midnight in UTC
    "object": ("jsonb",),
    "array": ("jsonb",),
}
# Beyond these Postgres makes no column.
_MAX_PRECISION = 1000
_MAX_LENGTH = 10_485_760

_SYNONYMS = {
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "smallserial": "smallint",
    "serial": "integer",
    "bigserial": "bigint",
    "bool": "boolean",
    "varchar": "character varying",
    "char varying": "character varying",
    "char": "character",
    "decimal": "numeric",
    "dec": "numeric",
    "float4": "real",
    "float8": "double precision",
    "float": "double precision",
    "varbit": "bit varying",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "time": "time without time zone",
    "timetz": "time with time zone",
}
_ARRAY = re.compile(r"((\s*\[[0-9]*\])+|\s+array(\s*\[[0-9]*\])?)\s*$", re.IGNORECASE)
_MODIFIER = re.compile(r"\(([^()\"]*)\)")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_PLAIN_QUOTED = re.compile(r'"([a-z_][a-z0-9_$]*)"')
_SCHEMA = re.compile(r'(?:"(?:[^"]|"")*"|[^".]+)\.')

# By the names that pg_type has. Others are told by their category, and strings where that says nothing either.
_LOGICAL = {
    "date": "date",
    "timestamp": "timestamp",
    "timestamptz": "timestamp",
    "time": "time",
    "timetz": "time",
    "int2": "integer",
    "int4": "integer",
    "int8": "integer",
    "oid": "integer",
    "xid8": "integer",
    "json": "object",
    "jsonb": "object",
}
_LOGICAL_BY_CATEGORY = {"B": "boolean", "C": "object", "N": "number"}


def contradiction(logical: str, physical: str | None) -> str | None:
    """Return what is wrong with the two types of a property that is landed; None where nothing is.

    An object without a physicalType is no column, and what is in a jsonb column needs none.
    """
    if logical not in _HELD_BY:
        return f"logicalType {logical} is none that landing writes: {', '.join(_HELD_BY)}"
    if physical is None:
        return None
    matched = LANDED_TYPES.fullmatch(physical)
    if matched is None:
        return f"physicalType {physical!r} is none that landing writes: {LANDED_TYPES_SPELLED}"
    plain, numeric, precision, scale, varchar, length = matched.groups()
    held = _HELD_BY[logical]
    if (plain or (numeric and "numeric[(p,s)]") or (varchar and "varchar(n)")) not in held:
        an = "an" if logical[0] in "aeio" else "a"
        return (
            f"physicalType {physical!r} does not hold {an} {logical} (its logicalType) exactly: {', '.join(held)} would"
        )
    if precision and not (1 <= int(precision) <= _MAX_PRECISION and int(scale) <= _MAX_PRECISION):
        return f"physicalType {physical!r}: Postgres takes a precision from 1 to {_MAX_PRECISION} and no larger scale"
    if length and not 1 <= int(length) <= _MAX_LENGTH:
        return f"physicalType {physical!r}: Postgres takes a length from 1 to {_MAX_LENGTH}"
    return None


def is_same_type(written: str, catalog: str) -> bool:
    """Return whether a contract's physicalType means the type that format_type spells so."""
    wanted, found = _canonical(written), _canonical(catalog)
    return wanted in (found, _SCHEMA.sub("", found, count=1))


def logical_type(type_: Type) -> dict[str, Any]:
    """Return the part of a property that describes a type: logicalType, and enum or items where it has them."""
    if type_.kind == "d" and type_.inner:
        return logical_type(type_.inner)
    if type_.inner:
        return {"logicalType": "array", "items": logical_type(type_.inner)}
    if type_.labels:
        return {"logicalType": "string", "enum": [{"value": label} for label in type_.labels]}
    by_name = _LOGICAL.get(type_.name) if type_.schema == "pg_catalog" else None
    return {"logicalType": by_name or _LOGICAL_BY_CATEGORY.get(type_.category, "string")}


def _canonical(spelling: str) -> str:
    """Return a type as format_type spells it, in small letters and without quotes that it could do without."""
    text = spelling.strip()
    array = _ARRAY.search(text)
    if array:
        text = text[: array.start()]
    if text == '"char"':  # one byte, and another type than char
        return text + ("[]" if array else "")
    modifier = _MODIFIER.search(text)
    if modifier:
        text = f"{text[: modifier.start()]} {text[modifier.end() :]}"
    name = _plain(text).removeprefix("pg_catalog.")
    limits = re.sub(r"\s", "", modifier[1]).lower() if modifier else ""
    return _with_modifier(name, limits) + ("[]" if array else "")


def _plain(name: str) -> str:
    """Return a name with its unquoted parts in small letters and single blanks, and needless quotes taken off."""
    parts = []
    last = 0
    for match in _QUOTED.finditer(name):
        parts += [name[last : match.start()].lower(), _PLAIN_QUOTED.sub(r"\1", match[0])]
        last = match.end()
    parts.append(name[last:].lower())
    if len(parts) == 1:
        return " ".join(parts[0].split())
    return "".join(part if part.startswith('"') else "".join(part.split()) for part in parts)


def _with_modifier(name: str, limits: str) -> str:
    if name == "float" and limits.isdecimal():
        return "real" if int(limits) <= 24 else "double precision"
    name = "character" if name == "bpchar" and limits else _SYNONYMS.get(name, name)
    if name in ("character", "bit") and not limits:
        limits = "1"
    if name == "numeric" and limits and "," not in limits:
        limits += ",0"
    if not limits:
        return name
    head, _, tail = name.partition(" ")
    if head in ("timestamp", "time"):
        return f"{head}({limits}) {tail}"
    return f"{name}({limits})"
