"""Which options a contract may state. One that nothing carries out, or that is spelled wrongly, is no option.

The standard lets a contract say anything as a custom property, and more of types than landing checks. What is ignored
in silence looks like a promise, so it is refused where the contract is read.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from open_data_contract_standard.model import CustomProperty, OpenDataContractStandard, SchemaProperty, Server

from include.contracts.dialect import DIALECT_OPTIONS
from include.contracts.landed import property_problems, server_problems
from include.contracts.notation import NOTATION_OPTIONS
from include.contracts.notation_check import notation_problems

_OF_CONTRACT = ("maxBadRows", "maxBadPercent", "maxRowBytes", "withoutKey")
# Of a dataset behind a URL: see `include.contracts.web`, which says what each may be.
WEB_OPTIONS = (
    *("tokenSetting", "tokenConnection", "tokenHeader", "tokenParameter"),
    *("paging", "recordsPath", "nextPath", "totalPath", "maxPages"),
    *("pageParameter", "firstPage", "sizeParameter", "pageSize"),
)
_OF_SERVER = (
    *("urlSetting", "maxBytes", "maxSeconds", "deliveryOrder"),
    *(*DIALECT_OPTIONS, *NOTATION_OPTIONS, *WEB_OPTIONS),
)
_OF_PROPERTY = ("personal", "arrivesAs", *NOTATION_OPTIONS)
_OF_EXCEL = ("sheet", "headerRow")
_NOT_READ = {  # other names of formats, and what to do about them
    **dict.fromkeys(("xls", "xlsb", "xlsm", "ods", "excel"), "is written xlsx, which stands for every workbook"),
    **dict.fromkeys(("jsonl", "ndjson"), "is written json, which one object a line is too"),
    **dict.fromkeys(("tsv", "psv", "txt"), "is written csv, with a delimiter"),
    "xml": "is not read: export the file as CSV, JSON, Parquet or Excel",
    **dict.fromkeys(
        ("fixed", "fixed-width", "fixedwidth", "fwf"), "has no delimiter to read it by: export the file as CSV"
    ),
}
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
    "date": ("format",),
    "timestamp": ("format", "defaultTimezone"),
}
# What becomes of the rows of a dataset without a key when a file of the same path is delivered again.
WITHOUT_KEY = ("replaceFile", "append")
# Codecs of text that are no encodings of files: of names, of a programming language's escapes, what a machine has set,
# and those of seven bits in which one text is spelled in many ways.
_NOT_OF_FILES = (
    *("idna", "punycode", "undefined", "unicode-escape", "unicode_escape", "raw-unicode-escape", "raw_unicode_escape"),
    *("charmap", "mbcs", "oem", "utf-7", "hz"),
)
_FORMATS = ("email", "uuid", "uri", "hostname", "ipv4", "ipv6")


def unknown_options(document: OpenDataContractStandard, landing: Server | None) -> Iterator[str]:
    """Yield a sentence for each option of a contract that is not carried out. `landing` is its landing server."""
    yield from _unknown("customProperties", document.customProperties, _OF_CONTRACT)
    for level in document.slaProperties or []:
        if level.property not in _SERVICE_LEVELS:
            yield f"slaProperties: there is no {level.property!r}: {', '.join(_SERVICE_LEVELS)}"
        elif level.schedule and level.property != "frequency":
            yield f"slaProperties: {level.property}: has a schedule: landing follows that of frequency"
    if landing is None and any(each.property == "withoutKey" for each in document.customProperties or []):
        yield "customProperties: withoutKey: nothing lands in the table, so nothing replaces its rows: remove it"
    is_csv = landing is not None and landing.format == "csv"
    if landing is not None:
        yield from server_problems(landing)
        of_format = _OF_EXCEL if landing.format == "xlsx" else ()
        yield from _unknown("servers: customProperties", landing.customProperties, (*_OF_SERVER, *of_format))
        yield from _of_table_file(landing)
        if landing.encoding and not is_encoding(landing.encoding):
            yield (
                f"servers: encoding: {landing.encoding!r} is none of a file that Python knows: UTF-8,"
                " Windows-1252, UTF-16, ..."
            )
        yield from _of_versions(document, landing)
    for table in document.schema_ or []:
        yield from _unknown("schema: customProperties", table.customProperties, ())
        for rule in table.quality or []:
            if landing is not None and rule.type != "text" and not isinstance(rule.implementation, dict):
                yield f"quality: {rule.name}: has no implementation that can be carried out: a mapping, see the docs"
        for prop in table.properties or []:
            yield from _of_property(prop, (prop.name or "",), is_landed=landing is not None, is_csv=is_csv)
            yield from notation_problems(prop, (prop.name or "",), landing)


def _of_versions(document: OpenDataContractStandard, landing: Server) -> Iterator[str]:
    """Yield what is wrong with the options that say which delivery is the newer, and what replaces a row."""
    for each in landing.customProperties or []:
        if each.property == "deliveryOrder" and each.value not in ("name", "modified") and not _has_group(each.value):
            yield (
                f"servers: customProperties: deliveryOrder: {each.value!r} orders nothing: write name, modified, or a"
                r" regular expression with one group, the part of the path that orders, such as _(\d+)\.csv"
            )
    has_key = any(prop.primaryKey for table in document.schema_ or [] for prop in _every(table.properties))
    for each in document.customProperties or []:
        if each.property == "withoutKey" and each.value not in WITHOUT_KEY:
            yield f"customProperties: withoutKey: {each.value!r} is neither of {', '.join(WITHOUT_KEY)}"
        elif each.property == "withoutKey" and has_key:
            yield "customProperties: withoutKey: a property has primaryKey: remove the one or the other"


def _has_group(pattern: object) -> bool:
    try:
        return isinstance(pattern, str) and re.compile(pattern).groups == 1
    except re.error:
        return False


def _every(properties: list[SchemaProperty] | None) -> Iterator[SchemaProperty]:
    """Yield properties and those inside of objects."""
    for prop in properties or []:
        yield prop
        yield from _every(prop.properties)


def unknown_format(name: str | None) -> str:
    """Return what is wrong with a format that is not landed."""
    return f"{name!r} " + _NOT_READ.get((name or "").lower(), "is none of json, csv, parquet and xlsx")


def _of_table_file(landing: Server) -> Iterator[str]:
    """Yield what a landing server says of a Parquet file or a workbook that can't be."""
    if landing.format in ("parquet", "xlsx"):
        for name, value in (("encoding", landing.encoding), ("delimiter", landing.delimiter)):
            if value:
                yield f"servers: {name}: {value!r} is not carried out: {landing.format} files say it themselves"
    for each in landing.customProperties or []:
        if each.property == "sheet" and not (isinstance(each.value, str) and each.value):
            yield f"servers: customProperties: sheet: {each.value!r} is no name of a sheet"
        if each.property == "headerRow" and (type(each.value) is not int or not 1 <= each.value <= 1_048_576):
            yield f"servers: customProperties: headerRow: {each.value!r} is no row of a sheet, the first of which is 1"


def is_encoding(name: str) -> bool:
    """Return whether text can be read in an encoding of this name, bit by bit."""
    try:
        found = codecs.lookup(name)
    except LookupError:
        return False
    is_text = getattr(found, "_is_text_encoding", True)  # base64 and the like are codecs too
    return is_text and found.incrementaldecoder is not None and found.name not in _NOT_OF_FILES


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
        yield from property_problems(prop, place, is_csv=is_csv)
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
