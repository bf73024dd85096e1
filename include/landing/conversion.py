"""Values as a file writes them, turned into what the rest of landing knows: ISO dates, 1234.5, true and false, None.

What is turned follows from the contract's notation and formats. The row itself is left as it came, for its reject. A
value that does not fit exactly is a failure: none is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from open_data_contract_standard.model import SchemaProperty

from include.contracts import Contract, arrives_as_text
from include.contracts.notation import Notation, notation_of
from include.contracts.time_format import TimeFormat

_CACHED = 4096  # of the values of a column: days repeat, and a cached one takes a tenth of the time


class Failure(NamedTuple):
    """A value that is not written as the contract says: a code of `include.landing.rows`, the place, and why."""

    code: str
    path: str
    reason: str
    value: str


_Read = Callable[[str], Any]  # raises ValueError with a sentence
_Convert = Callable[[Any, str, list[Failure]], Any]  # given a value, its place, and where failures are put

# Returns the converted row, without the values that failed, and these.
Converter = Callable[[dict[str, Any]], tuple[dict[str, Any], list[Failure]]]


def converter(contract: Contract) -> Converter | None:
    """Return the function that converts the rows of a contract; None where every value is as landing knows it."""
    convert = _Maker(contract).object(contract.properties)
    if convert is None:
        return None

    def converted(row: dict[str, Any]) -> tuple[dict[str, Any], list[Failure]]:
        failures: list[Failure] = []
        return convert(row, "", failures), failures

    return converted


class _Maker:
    """Makes the functions that convert the values of properties; None where there is nothing to do."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._is_csv = contract.format == "csv"

    def object(self, properties: Sequence[SchemaProperty]) -> _Convert | None:
        made = [(str(spec.name), self.value(spec)) for spec in properties]
        members = [(name, convert) for name, convert in made if convert is not None]
        if not members:
            return None

        def convert_object(value: Any, path: str, failures: list[Failure]) -> Any:
            if not isinstance(value, dict):
                return value
            converted = dict(value)
            above = f"{path}." if path else ""
            for name, convert in members:
                if (member := converted.get(name)) is not None:
                    converted[name] = convert(member, above + name, failures)
            return converted

        return convert_object

    def value(self, spec: SchemaProperty) -> _Convert | None:
        if spec.logicalType == "object":
            return self.object(spec.properties or [])
        if spec.logicalType == "array":
            return self.array(spec.items) if spec.items else None
        notation = notation_of(spec.customProperties, self._contract.notation)
        read, code = self._read(spec, notation), "format" if spec.logicalType in ("date", "timestamp") else "type"
        nulls = frozenset(notation.missing_values) - frozenset(self._contract.dialect.missing_values)
        if read is None and not nulls:
            return None

        def convert(value: Any, path: str, failures: list[Failure]) -> Any:
            if type(value) is not str:
                return value
            if value in nulls:
                return None
            if read is None:
                return value
            try:
                return read(value)
            except ValueError as error:
                failures.append(Failure(code, path, str(error), value))
                return None

        return convert

    def array(self, items: SchemaProperty) -> _Convert | None:
        convert = self.value(items)
        if convert is None:
            return None

        def convert_items(value: Any, path: str, failures: list[Failure]) -> Any:
            if not isinstance(value, list):
                return value
            return [convert(item, f"{path}[{place}]", failures) for place, item in enumerate(value)]

        return convert_items

    def _read(self, spec: SchemaProperty, notation: Notation) -> _Read | None:
        kind, options = spec.logicalType, spec.logicalTypeOptions or {}
        if kind in ("date", "timestamp"):
            pattern, zone = options.get("format"), options.get("defaultTimezone")
            if pattern is None and zone is None:
                return None
            read = TimeFormat(pattern, zone, is_date=kind == "date").read
            return lru_cache(_CACHED)(read) if kind == "date" else read
        if kind == "boolean" and (notation.true_values, notation.false_values) != (("true",), ("false",)):
            return _words(notation, as_text=arrives_as_text(spec, self._is_csv))
        is_number = kind in ("integer", "number") and arrives_as_text(spec, self._is_csv)
        return None if not is_number or notation.is_plain_number else _number(notation, is_integer=kind == "integer")


def _words(notation: Notation, *, as_text: bool) -> _Read:
    true, false = ("true", "false") if as_text else (True, False)
    words = {**dict.fromkeys(notation.true_values, true), **dict.fromkeys(notation.false_values, false)}

    def read(text: str) -> Any:
        try:
            return words[text]
        except KeyError:
            raise ValueError(f"is none of {', '.join(words)}") from None

    return read


def _number(notation: Notation, *, is_integer: bool) -> _Read:
    is_like = notation.number_pattern(is_integer=is_integer).fullmatch
    example = notation.example if not is_integer else notation.example.partition(notation.decimal_char)[0]
    kind = "an integer" if is_integer else "a number"

    def read(text: str) -> str:
        if not is_like(text):
            raise ValueError(f"is not {kind} such as {example}")
        return notation.number(text)

    return read
