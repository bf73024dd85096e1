"""What makes a row valid, and how a valid row becomes a line for COPY: both follow from the contract alone.

A row is judged by a JSON schema made from the contract (jsonschema-rs), then by what a schema can't say: whether a date
exists, whether a number fits its column, whether the lines of a purchase add up. The codes of problems are stable,
people and programs may rely on them:

    json, csv, encoding, too_long   the line is no row at all
    required, unknown_key           a value is missing, or a key that no contract knows is there
    type, format, value, range      a value is not of its kind, not in the list, too small, too large, too short
    nul_character                   text that no Postgres column can hold
    rule.<name>                     values that do not agree with each other, under the contract's rule <name>
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from itertools import groupby
from operator import call, itemgetter
from typing import Any, NamedTuple

import jsonschema_rs
import orjson
from open_data_contract_standard.model import SchemaProperty

from include.landing.contracts import Contract, ContractError, Rule, custom

Row = dict[str, Any]
NULL = "\0"  # stands for null until a line is finished; no valid text holds it
EXACT = Context(prec=400)  # `encode` is called in it (decimal.localcontext): sums of prices are exact then

_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIMESTAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?$"
_DECIMAL = r"^-?[0-9]{1,38}(\.[0-9]{1,38})?$"
_INTEGER = r"^-?[0-9]{1,19}$"
_BOOLEAN = "^(true|false)$"
_UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_INTEGERS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}
_TYPES = re.compile(
    r"(text|smallint|integer|bigint|double precision|boolean|date|timestamptz|jsonb|uuid)"
    r"|(numeric)(?:\(([0-9]+),\s*([0-9]+)\))?|(varchar)\(([0-9]+)\)"
)
_SPECIAL = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_EMAIL = jsonschema_rs.EmailOptions(require_tld=True, allow_domain_literal=False, allow_display_text=False)
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


class Problem(NamedTuple):
    """Why a row is refused: a stable code, the place in the row, and a sentence that shows no personal value."""

    code: str
    field: str
    reason: str


class RefusedError(ValueError):
    """A value passes the schema and still fits no column; raised inside the encoder, never beyond it."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class RowSchema:
    """The contract, ready to judge rows: `encode` for a valid row's COPY text, `explain` for what is wrong with one."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.is_text = contract.format == "csv"  # then every value arrives as text, and an empty one is null
        self._schema_rules = [rule for rule in contract.rules if rule.engine == "jsonschema"]
        self.schema = _object_schema(contract.properties, self.is_text)
        if self._schema_rules:
            self.schema["allOf"] = [rule.implementation for rule in self._schema_rules]
        self._validator = jsonschema_rs.Draft202012Validator(self.schema, validate_formats=True, email_options=_EMAIL)
        self._is_valid = self._validator.is_valid
        self._sums = [(rule, _sum_rule(rule, contract)) for rule in contract.rules if rule.engine == "landing"]
        columns = contract.columns
        self._runs = [
            (parents, _getter([column.source[-1] for column in run]))
            for parents, run in groupby(columns, key=lambda column: column.source[:-1])
        ]
        converters = [_converter(column.spec, contract, column.path) for column in columns]
        self._converters = [
            (place, convert, columns[place].path) for place, convert in enumerate(converters) if convert is not None
        ]
        self._tabs = len(columns) - 1
        self._specs = dict(_specs(contract.properties, ""))

    def encode(self, row: Any) -> str | list[Problem]:
        """Return the row as one line of COPY's text format, without its end, or what is wrong with it."""
        if not self._is_valid(row):
            return self.explain(row)
        values = self._values(row)
        for place, convert, path in self._converters:
            if values[place] is not None:
                try:
                    values[place] = convert(values[place])
                except RefusedError as refusal:
                    return [Problem(refusal.code, path, self._sentence(path, refusal.reason))]
        for rule, agrees in self._sums:
            if not agrees(row):
                return [Problem(f"rule.{rule.name}", "", f"not so: {rule.description}")]
        nulls = values.count(None)
        if nulls:
            values = [NULL if value is None else value for value in values]
        line = "\t".join(values)
        if line.count("\t") != self._tabs or "\\" in line or "\n" in line or "\r" in line:
            line = escaped(values)
        if nulls or NULL in line:
            if line.count(NULL) != nulls:
                columns = zip(self.contract.columns, values, strict=True)
                path = next(column.path for column, value in columns if NULL in value and value is not NULL)
                return [Problem("nul_character", path, f"{path}: holds a NUL character, which text can't")]
            line = line.replace(NULL, "\\N")
        return line

    def _values(self, row: Any) -> list[Any]:
        """Return the values of the columns, None for one that is null or absent."""
        values: list[Any] = []
        try:
            for parents, get in self._runs:
                part = row
                for key in parents:
                    part = part[key]
                values += get(part)
        except (KeyError, TypeError):  # a key that may be absent is, or an object that may be null is
            return [_walk(row, column.source) for column in self.contract.columns]
        return values

    def explain(self, row: Any) -> list[Problem]:
        """Return every problem that the schema finds, in the contract's order of fields; none for a valid row."""
        if not isinstance(row, dict):
            return [Problem("type", "", "not a JSON object but another value")]
        problems = {problem: None for error in self._validator.iter_errors(row) for problem in self._problems(error)}
        order = {path: number for number, path in enumerate(self._specs)}
        return sorted(problems, key=lambda p: (p.code.startswith("rule."), order.get(_spec_path(p.field), len(order))))

    def _problems(self, error: Any) -> Iterator[Problem]:
        path = _dotted(error.instance_path)
        if error.schema_path[0] == "allOf":
            rule = self._schema_rules[int(error.schema_path[1])]
            yield Problem(f"rule.{rule.name}", path, f"not so: {rule.description}")
            return
        keyword = error.kind.name
        if keyword == "required":
            field = f"{path}.{error.kind.property}" if path else error.kind.property
            yield Problem("required", field, f"{field}: is missing")
        elif keyword == "additionalProperties":
            for key in error.kind.unexpected:
                shown = key if len(key) <= 40 and key.isprintable() and "@" not in key else "(a long or odd key)"
                yield Problem("unknown_key", path, f"{path or 'the row'}: the contract knows no key {shown!r}")
        elif error.instance is None:
            yield Problem("required", path, f"{path}: is null")
        else:
            spec = self._specs.get(_spec_path(path))
            code, reason = _reason(keyword, error.kind, spec, self.is_text)
            yield Problem(code, path, self._sentence(path, reason, error.instance))

    def _sentence(self, path: str, reason: str, value: Any = None) -> str:
        spec = self._specs.get(_spec_path(path))
        is_shown = value is not None and spec is not None and not is_personal(spec)
        shown = repr(value)[:60] + " " if is_shown and not isinstance(value, dict | list) else ""
        return f"{path}: {shown}{reason}"


def _getter(names: list[str]) -> Callable[[Row], tuple[Any, ...]]:
    """Return what takes the values of these keys from an object, at once. It raises KeyError where one is absent."""
    if len(names) == 1:
        name = names[0]
        return lambda row: (row[name],)
    return itemgetter(*names)


def escaped(values: list[str]) -> str:
    """Join values as COPY's text format wants those that hold its special characters (PostgreSQL manual, COPY)."""
    line = "\t".join(values)
    if line.count("\t") == len(values) - 1:
        return line.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return "\t".join([value.translate(_SPECIAL) for value in values])  # slower, and some value holds a tab


def is_personal(spec: SchemaProperty) -> bool:
    """Return whether the contract marks the property as personal; its values then appear in no message."""
    return spec.classification == "personal" or custom(spec.customProperties, "personal") is not None


def _specs(properties: tuple[SchemaProperty, ...] | list[SchemaProperty], above: str) -> Iterator[tuple[str, Any]]:
    for spec in properties:
        path = f"{above}.{spec.name}" if above else str(spec.name)
        yield path, spec
        yield from _specs(spec.properties or [], path)
        if spec.items:
            yield from _specs(spec.items.properties or [], path)


def _dotted(path: list[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _spec_path(path: str) -> str:
    return re.sub(r"\[[0-9]+\]", "", path)


def _reason(keyword: str, kind: Any, spec: SchemaProperty | None, is_text: bool) -> tuple[str, str]:
    """Return code and sentence of a failed keyword of the schema."""
    wanted = (spec.logicalType if spec else None) or "value"
    if keyword == "type":
        as_text = spec is not None and _arrives_as_text(spec, is_text)
        return "type", f"is not {'text' if as_text and wanted != 'object' else _KINDS.get(wanted, wanted)}"
    if keyword == "format":
        return "format", "is not an e-mail address" if kind.format == "email" else f"is not of the format {kind.format}"
    if keyword == "pattern":
        if wanted in ("integer", "number", "boolean"):
            return "type", f"is not {_KINDS[wanted]}"
        return "format", f"is not {_KINDS[wanted]}" if wanted in (
            "date",
            "timestamp",
        ) else f"is not like {kind.pattern}"
    if keyword in ("enum", "const"):
        return "value", "is not one of the values that the contract lists"
    limit = getattr(kind, "limit", "")
    return "range", _LIMITS.get(keyword, keyword).format(limit)


_KINDS = {
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date of the form 2020-01-31",
    "timestamp": "a time of the form 2020-01-31T23:59:59",
    "object": "an object",
    "array": "an array",
}
_LIMITS = {
    "minimum": "is less than {}",
    "maximum": "is more than {}",
    "exclusiveMinimum": "is not above {}",
    "exclusiveMaximum": "is not below {}",
    "minLength": "is shorter than {}",
    "maxLength": "is longer than {}",
    "minItems": "has fewer items than {}",
    "maxItems": "has more items than {}",
}


# --- the JSON schema of a contract ------------------------------------------------------------------------------------


def _arrives_as_text(spec: SchemaProperty, is_text: bool) -> bool:
    return is_text or spec.logicalType in ("string", "date", "timestamp") or custom(
        spec.customProperties, "arrivesAs"
    ) == "string"  # fmt: skip


def _object_schema(properties: tuple[SchemaProperty, ...] | list[SchemaProperty], is_text: bool) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {str(spec.name): _property_schema(spec, is_text) for spec in properties},
        "required": [str(spec.name) for spec in properties if spec.required],
        "additionalProperties": False,
    }


def _property_schema(spec: SchemaProperty, is_text: bool) -> dict[str, Any]:
    options = dict(spec.logicalTypeOptions or {})
    kind = spec.logicalType or "string"
    schema: dict[str, Any] = {}
    if kind == "object":
        schema = _object_schema(spec.properties or [], is_text)
    elif kind == "array":
        schema = {"type": "array"} | {k: options[k] for k in ("minItems", "maxItems", "uniqueItems") if k in options}
        if spec.items:
            schema["items"] = _property_schema(spec.items.model_copy(update={"required": True}), is_text)
    elif kind in ("string", "date", "timestamp") or _arrives_as_text(spec, is_text):
        patterns = {
            "date": _DATE,
            "timestamp": _TIMESTAMP,
            "integer": _INTEGER,
            "number": _DECIMAL,
            "boolean": _BOOLEAN,
        }
        schema = {"type": "string"}
        if kind in patterns:
            schema["pattern"] = patterns[kind]
        if kind == "string":
            schema |= {k: options[k] for k in ("minLength", "maxLength", "pattern", "format") if k in options}
            if spec.physicalType == "uuid":
                schema["pattern"] = _UUID
    else:
        schema = {"type": kind} | {k: options[k] for k in (*_BOUNDS, "multipleOf") if k in options}
    if spec.enum:
        schema["enum"] = [entry.value for entry in spec.enum]
    if not spec.required:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    return schema


# --- from a valid value to the text of its column ---------------------------------------------------------------------


def _converter(spec: SchemaProperty, contract: Contract, path: str) -> Callable[[Any], str] | None:
    matched = _TYPES.fullmatch(spec.physicalType or "")
    if matched is None:
        raise ContractError(
            f"{contract.file}: {path}: physicalType {spec.physicalType!r} is none that landing writes: text, "
            "varchar(n), smallint, integer, bigint, numeric[(p,s)], double precision, boolean, date, timestamptz, "
            "uuid, jsonb"
        )
    simple, numeric, precision, scale, _, length = matched.groups()
    if simple in _INTEGERS:
        return _integer(_INTEGERS[simple], _bounds(spec))
    if numeric:
        return _numeric(int(precision) if precision else None, int(scale or 0), _bounds(spec))
    if simple == "double precision":
        return _double(_bounds(spec))
    if simple == "date":
        return _date
    if simple == "timestamptz":
        return _timestamp
    if simple == "boolean":
        return _boolean
    if simple == "jsonb":
        return _json(spec)
    return _short(int(length)) if length else None


def _bounds(spec: SchemaProperty) -> list[tuple[str, Decimal]]:
    options = spec.logicalTypeOptions or {}
    return [(bound, Decimal(str(options[bound]))) for bound in _BOUNDS if bound in options]


def _check(number: Any, bounds: list[tuple[str, Decimal]]) -> None:
    for bound, limit in bounds:
        inside = {
            "minimum": number >= limit,
            "maximum": number <= limit,
            "exclusiveMinimum": number > limit,
            "exclusiveMaximum": number < limit,
        }[bound]
        if not inside:
            raise RefusedError("range", _LIMITS[bound].format(limit))


def _integer(size: int, bounds: list[tuple[str, Decimal]]) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if type(value) is int and -size <= value < size:
            return str(value)
        number = int(value)  # 1.0 is an integer in JSON's eyes
        if not -size <= number < size:
            raise RefusedError("range", "does not fit the column's integer type")
        if bounds and isinstance(value, str):
            _check(number, bounds)
        return str(number)

    return convert


def _numeric(precision: int | None, scale: int, bounds: list[tuple[str, Decimal]]) -> Callable[[Any], str]:
    is_above_zero = all(bound.endswith("inimum") and not limit for bound, limit in bounds)

    def convert(value: Any) -> str:
        text = value if type(value) is str else str(Decimal(str(value)))
        if bounds and not (is_above_zero and text[0] in "123456789"):
            _check(Decimal(text), bounds)
        if precision is not None:
            _, digits, exponent = Decimal(text).as_tuple()
            decimals = max(0, -int(exponent))
            if decimals > scale or len(digits) + int(exponent) > precision - scale:
                raise RefusedError("range", f"does not fit numeric({precision},{scale})")
        return text

    return convert


def _double(bounds: list[tuple[str, Decimal]]) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        number = float(value)
        if bounds and isinstance(value, str):
            _check(number, bounds)
        return repr(number)

    return convert


def _date(value: str) -> str:
    day = value[:10]
    try:
        date.fromisoformat(day)
    except ValueError:
        raise RefusedError("format", "is no day of the calendar") from None
    if len(value) > 10 and value[10:].strip("T 0:.Z+"):
        raise RefusedError("format", "is a time of the day, not a whole day")
    return day


def _timestamp(value: str) -> str:
    try:
        zone = datetime.fromisoformat(value).utcoffset()
    except ValueError:
        raise RefusedError("format", "is no time of the calendar") from None
    if zone is None:
        return value + "+00"
    if abs(zone) >= timedelta(hours=16):
        raise RefusedError("format", "has a zone that no place on earth has")
    return value


def _boolean(value: Any) -> str:
    return "t" if value in (True, "true") else "f"


def _short(length: int) -> Callable[[Any], str]:
    def convert(value: str) -> str:
        if len(value) > length:
            raise RefusedError("range", f"is longer than {length}")
        return value

    return convert


def _json(spec: SchemaProperty) -> Callable[[Any], str]:
    text_of = _json_text(spec)

    def convert(value: Any) -> str:
        text = text_of(value)
        if "\\u0000" in text and _holds_nul(value):
            raise RefusedError("nul_character", "holds a NUL character, which jsonb can't")
        return text

    return convert


def _json_text(spec: SchemaProperty) -> Callable[[Any], str]:
    """Return what writes a nested value as JSON: its keys named as the contract says, numbers in text as numbers."""
    if spec.logicalType == "array" and spec.items:
        item = _json_text(spec.items)
        return lambda value: "[" + ",".join([item(entry) for entry in value]) + "]"
    if spec.logicalType == "object" and spec.properties:
        return _json_object(spec.properties)
    if spec.logicalType == "number" and custom(spec.customProperties, "arrivesAs") == "string":
        return _json_decimal(_bounds(spec))
    if spec.logicalType == "integer":
        integer = _integer(_INTEGERS.get(spec.physicalType or "", 2**63), [])
        return integer if spec.required else lambda value: "null" if value is None else integer(value)
    if spec.logicalType in ("date", "timestamp"):
        check = _date if spec.logicalType == "date" else _timestamp
        return lambda value: "null" if value is None else orjson.dumps(value if check(value) else None).decode()
    return lambda value: orjson.dumps(value).decode()


def _json_object(properties: list[SchemaProperty]) -> Callable[[Any], str]:
    names = [orjson.dumps(spec.physicalName or str(spec.name)).decode() + ":" for spec in properties]
    keys = [str(spec.name) for spec in properties]
    get, writers = _getter(keys), [_json_text(spec) for spec in properties]
    whole = "{" + ",".join(f"{name.replace('%', '%%')}%s" for name in names) + "}"

    def convert(value: Any) -> str:
        if value is None:
            return "null"
        try:
            return whole % tuple(map(call, writers, get(value)))
        except KeyError:  # a key that may be absent is
            present = [part for part in zip(names, keys, writers, strict=True) if part[1] in value]
            return "{" + ",".join([name + write(value[key]) for name, key, write in present]) + "}"

    return convert


def _json_decimal(bounds: list[tuple[str, Decimal]]) -> Callable[[Any], str]:
    checked = _numeric(None, 0, bounds)
    is_above_zero = all(bound.endswith("inimum") and not limit for bound, limit in bounds)

    def convert(value: Any) -> str:
        if value is None:
            return "null"
        if is_above_zero and value[0] in "123456789":
            return value
        text = checked(value)  # JSON has no leading zeros
        sign, digits = ("-", text[1:]) if text[0] == "-" else ("", text)
        whole, point, decimals = digits.partition(".")
        return f"{sign}{whole.lstrip('0') or '0'}{point}{decimals}"

    return convert


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return NULL in value
    if isinstance(value, dict):
        return any(_holds_nul(part) for part in (*value, *value.values()))
    return isinstance(value, list) and any(_holds_nul(part) for part in value)


# --- rules about several values ---------------------------------------------------------------------------------------


def _sum_rule(rule: Rule, contract: Contract) -> Callable[[Row], bool]:
    """Return the rule {sumOf: path of an array, product: [names], equals: path}: exact, in decimals."""
    said = rule.implementation
    if set(said) != {"sumOf", "product", "equals"}:
        raise ContractError(f"{contract.file}: quality: {rule.name}: needs sumOf, product and equals, no other key")
    array, total = said["sumOf"].split("."), said["equals"].split(".")
    first, *others = said["product"]

    def agrees(row: Row) -> bool:
        lines, equals = _walk(row, array), _walk(row, total)
        if lines is None or equals is None:
            return True  # whether they may be absent is not this rule's business
        found = _decimal(equals)
        for line in lines:
            product = _decimal(line[first])
            for factor in others:
                value = line[factor]
                product *= value if type(value) is int else _decimal(value)
            found -= product
        return not found

    return agrees


def _decimal(value: Any) -> Decimal:
    return Decimal(value if type(value) is not float else repr(value))


def _walk(row: Any, path: Iterable[str]) -> Any:
    for key in path:
        row = row.get(key) if row is not None else None
    return row
