"""What makes a row valid, and what is said of one that is not. Both follow from the contract alone.

A row is checked against a JSON schema made from the contract (jsonschema-rs), then by the contract's encoder, which
makes a valid row a line for COPY. The codes of problems are stable; people and programs may rely on them:

    json, csv, encoding, too_long   the line is no row at all
    duplicate_key                   an object names a key twice
    required, unknown_key           a value is missing, or a key that no contract knows is there
    type, format, value, range      a value is not of its kind, not in the list, too small, too large, too short
    nul_character                   text that no Postgres column can hold
    rule.<name>                     values that do not agree with each other, under the contract's rule <name>
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import jsonschema_rs
from open_data_contract_standard.model import SchemaProperty

from include.contracts import Contract, ContractError, arrives_as_text, personal_kind
from include.contracts.moments import DATE, EMAIL, TIMESTAMP
from include.landing.conversion import Converter, Failure, converter
from include.landing.encoder import BOUNDS, encoder
from include.landing.values import RejectedValueError
from include.readers import shown_key

_DECIMAL = r"^-?[0-9]{1,38}(\.[0-9]{1,38})?$"
_INTEGER = r"^-?[0-9]{1,38}$"
_BOOLEAN = "^(true|false)$"
_UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


class Problem(NamedTuple):
    """Why a row is rejected: a stable code, the place in the row, and a sentence that shows no personal value."""

    code: str
    field: str
    reason: str


class RowSchema:
    """A contract, compiled to judge rows: `encode` gives a valid row's COPY text, `explain` what is wrong with one.

    Raises ContractError for a contract that can't be carried out.
    """

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.is_text = contract.format == "csv"  # then every value arrives as text, and an empty one is null
        self._schema_rules = [rule for rule in contract.rules if rule.engine == "jsonschema"]
        self.schema = _object_schema(contract.properties, self.is_text)
        if self._schema_rules:
            self.schema["allOf"] = [rule.implementation for rule in self._schema_rules]
        self._validator = _validator(self.schema, contract)
        quick = _validator(_without_required(self.schema, contract.properties, is_in_jsonb=False), contract)
        self._specs = dict(_specs(contract.properties, ""))
        # Returns a row's line for COPY, without its end, or what is wrong with the row. Call it in the context EXACT.
        self.encode: Callable[[Any], str | list[Problem]] = encoder(
            contract, quick.is_valid, self.explain, self._rejected
        )
        convert = converter(contract)
        if convert is not None:
            self.encode = self._converting(convert, self.encode)

    def _converting(self, convert: Converter, encode: Callable[[Any], str | list[Problem]]) -> Any:
        """Return `encode` for rows that have to be converted first."""

        def encode_converted(row: Any) -> str | list[Problem]:
            if not isinstance(row, dict):
                return encode(row)
            converted, failures = convert(row)
            return self._explain_failures(converted, failures) if failures else encode(converted)

        return encode_converted

    def _explain_failures(self, converted: dict[str, Any], failures: list[Failure]) -> list[Problem]:
        """Return what is wrong with a row of which some values are not written as the contract says."""
        failed = {failure.path for failure in failures}
        problems = [Problem(f.code, f.path, self._sentence(f.path, f.reason, f.value)) for f in failures]
        others = [p for p in self.explain(converted) if p.field not in failed and not p.code.startswith("rule.")]
        return sorted([*problems, *others], key=self._place)

    def _place(self, problem: Problem) -> tuple[bool, int]:
        """Return what sorts problems in the contract's order of fields, and rules behind them."""
        order = {path: number for number, path in enumerate(self._specs)}
        return problem.code.startswith("rule."), order.get(_spec_path(problem.field), len(order))

    def explain(self, row: Any) -> list[Problem]:
        """Return every problem that the schema finds, in the contract's order of fields; none for a valid row."""
        if not isinstance(row, dict):
            return [Problem("type", "", "not a JSON object but another value")]
        problems = {problem: None for error in self._validator.iter_errors(row) for problem in self._problems(error)}
        return sorted(problems, key=self._place)

    def _rejected(self, error: RejectedValueError) -> list[Problem]:
        reason = self._sentence(error.path, error.reason) if error.path else error.reason
        return [Problem(error.code, error.path, reason)]

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
                yield Problem("unknown_key", path, f"{path or 'the row'}: the contract knows no key {shown_key(key)}")
        elif error.instance is None:
            yield Problem("required", path, f"{path}: is null")
        else:
            spec = self._specs.get(_spec_path(path))
            code, reason = _reason(keyword, error.kind, spec, self.is_text)
            yield Problem(code, path, self._sentence(path, reason, error.instance))

    def _sentence(self, path: str, reason: str, value: Any = None) -> str:
        spec = self._specs.get(_spec_path(path))
        is_shown = value is not None and spec is not None and personal_kind(spec) is None
        value = float(value) if isinstance(value, Decimal) else value  # only to be shown
        shown = repr(value)[:60] + " " if is_shown and not isinstance(value, dict | list) else ""
        return f"{path}: {shown}{reason}"


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
        as_text = spec is not None and arrives_as_text(spec, is_text)
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
    sentence = BOUNDS[keyword][1] if keyword in BOUNDS else _LIMITS.get(keyword, keyword)
    return "range", sentence.format(limit)


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
    "minLength": "is shorter than {}",
    "maxLength": "is longer than {}",
    "minItems": "has fewer items than {}",
    "maxItems": "has more items than {}",
}


# --- the JSON schema of a contract ------------------------------------------------------------------------------------


def _validator(schema: dict[str, Any], contract: Contract) -> jsonschema_rs.Draft202012Validator:
    try:
        return jsonschema_rs.Draft202012Validator(schema, validate_formats=True, email_options=EMAIL)
    except jsonschema_rs.ValidationError as error:
        raise ContractError(f"{contract.file}: makes no JSON schema: {error.message}") from None


def _without_required(
    schema: dict[str, Any], properties: Sequence[SchemaProperty], *, is_in_jsonb: bool
) -> dict[str, Any]:
    """Return an object's schema that asks for no value which the encoder reads by its name, and so misses by itself.

    Asking takes a quarter of the validator's time. The encoder reads by its name what is required in the row, in an
    object whose values are columns where all objects around it are required, and in every object of a jsonb column.
    """
    made = {keyword: said for keyword, said in schema.items() if keyword != "required"}
    made["properties"] = dict(schema["properties"])
    for spec in properties:
        name, inner, items = str(spec.name), schema["properties"][spec.name], spec.items
        is_column = bool(spec.physicalType)
        if spec.logicalType == "object" and (is_in_jsonb or is_column or spec.required):
            made["properties"][name] = _without_required(
                inner, spec.properties or (), is_in_jsonb=is_in_jsonb or is_column
            )
        elif items and items.logicalType == "object":
            rest = _without_required(inner["items"], items.properties or (), is_in_jsonb=True)
            made["properties"][name] = inner | {"items": rest}
    return made


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
        if spec.physicalType and not spec.properties:  # one column of any keys, such as a map
            del schema["additionalProperties"]
    elif kind == "array":
        schema = {"type": "array"} | {k: options[k] for k in ("minItems", "maxItems", "uniqueItems") if k in options}
        if spec.items:
            schema["items"] = _property_schema(spec.items.model_copy(update={"required": True}), is_text)
    elif kind in ("string", "date", "timestamp") or arrives_as_text(spec, is_text):
        patterns = {
            "date": DATE,
            "timestamp": TIMESTAMP,
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
                schema |= {"allOf": [{"pattern": _UUID}]}  # beside a pattern of the contract's own
    else:
        schema = {"type": kind} | {k: options[k] for k in (*BOUNDS, "multipleOf") if k in options}
    if spec.enum:
        schema |= _enum_schema(spec, is_text)
    if not spec.required:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    return schema


def _enum_schema(spec: SchemaProperty, is_text: bool) -> dict[str, Any]:
    """Return what the list of a property's values says of it. Numbers that arrive as text are for the encoder."""
    values = [entry.value for entry in spec.enum or []]
    if spec.logicalType == "boolean" and arrives_as_text(spec, is_text):
        return {"enum": ["true" if value else "false" for value in values]}
    if spec.logicalType in ("integer", "number") and arrives_as_text(spec, is_text):
        return {}
    return {"enum": [value.isoformat() if isinstance(value, date) else value for value in values]}
