"""Which options a contract may state. One that nothing carries out, or that is spelled wrongly, is no option.

The standard lets a contract say anything as a custom property, and more of types than landing checks. What is ignored
in silence looks like a promise, so it is refused where the contract is read.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from open_data_contract_standard.model import CustomProperty, OpenDataContractStandard, SchemaProperty, Server

_OF_CONTRACT = ("maxBadRows", "maxBadPercent", "maxRowBytes")
# Of a dataset behind a URL: see `include.contracts.web`, which says what each may be.
WEB_OPTIONS = (
    *("tokenSetting", "tokenConnection", "tokenHeader", "tokenParameter"),
    *("paging", "recordsPath", "nextPath", "totalPath", "maxPages"),
    *("pageParameter", "firstPage", "sizeParameter", "pageSize"),
)
_OF_SERVER = ("urlSetting", "maxBytes", "maxSeconds", *WEB_OPTIONS)
_OF_PROPERTY = ("personal", "arrivesAs")
_SERVICE_LEVELS = (  # those of the standard; the frequency's schedule is carried out, the others are for people
    *("availability", "endOfLife", "endOfSupport", "errorRate", "frequency", "generalAvailability", "latency"),
    *("retention", "throughput", "timeOfAvailability", "timeToDetect", "timeToNotify", "timeToRepair"),
)
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_OF_TYPE = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "integer": (*_BOUNDS, "multipleOf"),
    "number": (*_BOUNDS, "multipleOf"),
    "array": ("minItems", "maxItems", "uniqueItems"),
}
_FORMATS = ("email", "uuid", "uri", "hostname", "ipv4", "ipv6")


def unknown_options(document: OpenDataContractStandard, landing: Server | None) -> Iterator[str]:
    """Yield a sentence for each option of a contract that is not carried out. `landing` is its landing server."""
    yield from _unknown("customProperties", document.customProperties, _OF_CONTRACT)
    for level in document.slaProperties or []:
        if level.property not in _SERVICE_LEVELS:
            yield f"slaProperties: there is no {level.property!r}: {', '.join(_SERVICE_LEVELS)}"
        elif level.schedule and level.property != "frequency":
            yield f"slaProperties: {level.property}: has a schedule: landing follows that of frequency"
    is_csv = landing is not None and landing.format == "csv"
    if landing is not None:
        yield from _unknown("servers: customProperties", landing.customProperties, _OF_SERVER)
        if landing.encoding and not is_encoding(landing.encoding):
            yield f"servers: encoding: {landing.encoding!r} is none that Python knows: UTF-8, Windows-1252, UTF-16, ..."
    for table in document.schema_ or []:
        yield from _unknown("schema: customProperties", table.customProperties, ())
        for rule in table.quality or []:
            if landing is not None and rule.type != "text" and not isinstance(rule.implementation, dict):
                yield f"quality: {rule.name}: has no implementation that can be carried out: a mapping, see the docs"
        for prop in table.properties or []:
            yield from _of_property(prop, (prop.name or "",), is_landed=landing is not None, is_csv=is_csv)


def is_encoding(name: str) -> bool:
    """Return whether text can be read in an encoding of this name, bit by bit."""
    try:
        found = codecs.lookup(name)
    except LookupError:
        return False
    is_text = getattr(found, "_is_text_encoding", True)  # base64 and the like are codecs too
    return is_text and found.incrementaldecoder is not None and found.name not in ("idna", "punycode", "undefined")


def _unknown(place: str, properties: list[CustomProperty] | None, known: tuple[str, ...]) -> Iterator[str]:
    for each in properties or []:
        if each.property not in known:
            there = f"there are {', '.join(known)}" if known else "there is none"
            yield f"{place}: {each.property!r} is none that is carried out: {there}"


def _of_property(prop: SchemaProperty, path: tuple[str, ...], *, is_landed: bool, is_csv: bool) -> Iterator[str]:
    place = ".".join(path)
    yield from _unknown(f"schema: {place}: customProperties", prop.customProperties, _OF_PROPERTY)
    for custom in prop.customProperties or []:
        if custom.property == "arrivesAs" and custom.value != "string":
            yield f"schema: {place}: arrivesAs: {custom.value!r} is none that is carried out: there is string"
    if is_landed:
        yield from _of_landed_property(prop, place, is_csv=is_csv)
    for inner in [*(prop.properties or []), *([prop.items] if prop.items else [])]:
        yield from _of_property(inner, (*path, inner.name or "item"), is_landed=is_landed, is_csv=is_csv)


def _of_landed_property(prop: SchemaProperty, place: str, *, is_csv: bool) -> Iterator[str]:
    kind = prop.logicalType or "string"
    known = _OF_TYPE.get(kind, ())
    options = prop.logicalTypeOptions or {}
    for name in options:
        if name not in known:
            there = f"there are {', '.join(known)}" if known else "there is none"
            yield f"schema: {place}: logicalTypeOptions: landing carries out no {name!r} of a {kind}: {there}"
    if options.get("format") and kind == "string" and options["format"] not in _FORMATS:
        yield (
            f"schema: {place}: logicalTypeOptions: format: {options['format']!r} is none that landing checks:"
            f" {', '.join(_FORMATS)}"
        )
    is_text = is_csv or any(c.property == "arrivesAs" for c in prop.customProperties or [])
    if "multipleOf" in options and is_text and kind in _OF_TYPE:
        yield f"schema: {place}: logicalTypeOptions: multipleOf is carried out for numbers of JSON alone"
    if prop.quality:
        yield f"schema: {place}: quality: rules stand at the table, not at a property"
    if prop.unique:
        yield f"schema: {place}: unique: landing keeps every version of a row, and tests no unique but primaryKey"
