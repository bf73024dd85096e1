"""What a property that is landed may say of its values: types that agree, and a list of values of that type.

Types that contradict each other would alter values, and a list that no value can be in would reject every row. Both are
refused where the contract is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from open_data_contract_standard.model import SchemaProperty, Server

from include.contracts.types import contradiction

_OF_LANDING = ("type", "path", "format", "encoding", "delimiter")
_FOR_PEOPLE = ("id", "server", "description", "environment", "roles", "customProperties")
_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "integer": ("an integer", (int,)),
    "number": ("a number", (int, float)),
    "boolean": ("true or false", (bool,)),
}


def server_problems(landing: Server) -> Iterator[str]:
    """Yield a sentence for each field of a landing server that nothing carries out."""
    for field in type(landing).model_fields:
        if field not in (*_OF_LANDING, *_FOR_PEOPLE) and getattr(landing, field) is not None:
            name = "schema" if field == "schema_" else field
            yield f"servers: {name}: landing carries out no {name}: there are {', '.join(_OF_LANDING)}"
    if landing.format == "json" and landing.delimiter is not None:
        yield "servers: delimiter: files of JSON have none: leave it out, or say format: csv"


def property_problems(prop: SchemaProperty, place: str, *, is_csv: bool) -> Iterator[str]:
    """Yield a sentence for each thing that a property says of its values and that can't be so."""
    kind = prop.logicalType or "string"
    wrong = contradiction(kind, prop.physicalType)
    if wrong:
        yield f"schema: {place}: {wrong}"
    if is_csv and kind in ("object", "array"):
        yield f"schema: {place}: logicalType {kind}: a CSV holds none: string is what its text is landed as"
    if prop.properties and kind != "object":
        yield f"schema: {place}: properties: only a logicalType object has any, and this is {kind}"
    if prop.items and kind != "array":
        yield f"schema: {place}: items: only a logicalType array has any, and this is {kind}"
    if prop.enum and kind in ("object", "array"):
        yield f"schema: {place}: enum: landing carries out none of a logicalType {kind}"
        return
    for entry in prop.enum or []:
        if not _is_of(kind, entry.value):
            wanted = _KINDS[kind][0] if kind in _KINDS else f"text, as a {kind} arrives: put it in quotes"
            yield f"schema: {place}: enum: {entry.value!r} is not {wanted}"


def _is_of(kind: str, value: Any) -> bool:
    """Return whether a value of an enum, as YAML gives it, can be one of the logical type."""
    if kind == "date" and isinstance(value, date):
        return not isinstance(value, datetime)
    types = _KINDS[kind][1] if kind in _KINDS else (str,)
    if isinstance(value, bool) and bool not in types:
        return False
    return isinstance(value, types) and not (isinstance(value, float) and not math.isfinite(value))
