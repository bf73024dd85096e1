"""Whether the ways of writing values that a contract states for its properties can be carried out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from open_data_contract_standard.model import SchemaProperty, Server

from include.contracts.notation import NOTATION_OPTIONS, Notation, notation_of
from include.contracts.time_format import TimeFormat

_KINDS_OF = {  # kinds of values that each is a way of writing
    "missingValues": ("string", "integer", "number", "boolean", "date", "timestamp"),
    "decimalChar": ("number",),
    "groupChar": ("integer", "number"),
    "trueValues": ("boolean",),
    "falseValues": ("boolean",),
}


def server_notation(server: Server) -> Notation:
    """Return how a server's files write values. Raises ValueError, with a sentence, for what can't be."""
    if server.format == "csv":
        return notation_of(server.customProperties, Notation(("",)))
    for each in server.customProperties or []:
        if each.property in ("decimalChar", "groupChar"):
            raise ValueError(
                f"{each.property}: a number of JSON has none: state it at a property that arrivesAs string"
            )
    return notation_of(server.customProperties, Notation(()))


def notation_problems(prop: SchemaProperty, path: tuple[str, ...], landing: Server | None) -> Iterator[str]:
    """Yield a sentence for each way of writing that the property, or one in it, can't have."""
    place = f"schema: {'.'.join(path)}"
    kind = prop.logicalType or "string"
    stated = [str(p.property) for p in prop.customProperties or [] if p.property in NOTATION_OPTIONS]
    if landing is None:
        yield from (f"{place}: {name}: nothing lands in this table" for name in stated)
        return
    for name in stated:
        if (name, kind) == ("decimalChar", "integer") and "groupChar" in stated:
            continue  # points between thousands are none before decimals
        if kind not in _KINDS_OF[name]:
            yield f"{place}: {name}: is carried out for {', '.join(_KINDS_OF[name])}, and this is of the type {kind}"
        elif name in ("decimalChar", "groupChar") and not _is_text(prop, landing):
            yield f"{place}: {name}: a number of JSON has none: state it where it arrivesAs string"
    options = prop.logicalTypeOptions or {}
    try:
        notation_of(prop.customProperties, _default(landing))
        if kind in ("date", "timestamp"):
            TimeFormat(options.get("format"), options.get("defaultTimezone"), is_date=kind == "date")
    except ValueError as error:
        yield f"{place}: {error}"
    for inner in inner_properties(prop):
        yield from notation_problems(inner, (*path, inner.name or "item"), landing)


def inner_properties(prop: SchemaProperty) -> list[SchemaProperty]:
    """Return the properties of an object, and the items of an array."""
    return [*(prop.properties or []), *([prop.items] if prop.items else [])]


def every_property(properties: Iterable[SchemaProperty]) -> Iterator[SchemaProperty]:
    """Yield properties, and those in them."""
    for prop in properties:
        yield prop
        yield from every_property(inner_properties(prop))


def _default(landing: Server) -> Notation:
    try:
        return server_notation(landing)
    except ValueError:  # which is said of the server
        return Notation(())


def _is_text(prop: SchemaProperty, landing: Server) -> bool:
    is_string = any(c.property == "arrivesAs" for c in prop.customProperties or [])
    return landing.format == "csv" or is_string
