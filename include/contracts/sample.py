"""What a sample of a dataset shows: its names, the types that fit every value, and what could be a key.

The sample is read once, block by block. Of its values a `Field` keeps what was seen of them and one hash for each, by
which a key is looked for, at most 16 million hashes of a sample.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from math import prod
from typing import Any, NamedTuple

import jsonschema_rs

_MAX_HASHES = 16_000_000
_MAX_KEY_COLUMNS = 4
_MAX_CANDIDATES = 20  # columns among which a key of several is looked for
_MAX_FULL_TESTS = 60  # of combinations that are unique in the first rows
_LONG_TEXT = 100  # a longer text is the last thing that a key would be

# A text is a number only where the number gives the text back: no leading zeros, no plus, no exponent, no -0.
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,37}")
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,37}|-?(0|[1-9][0-9]{0,37})\.[0-9]{1,38}")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,37})\.[0-9]{1,38}")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EMAILS = jsonschema_rs.Draft202012Validator(
    {"type": "string", "format": "email"},
    validate_formats=True,
    email_options=jsonschema_rs.EmailOptions(require_tld=True, allow_domain_literal=False, allow_display_text=False),
)
# 1.10 is another version than 1.1, and another section, but the same number.
_NAMES_TEXT = re.compile(r"(^|[^a-z])(version|release|section|chapter|code|id|key|sku|number|no|nr)($|[^a-z])", re.I)
_NAMES_KEY = re.compile(r"(^|[^a-z])(id|key|code|number|no|nr|sku|uuid|guid)$", re.I)


def _is_date(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False


def _is_timestamp(text: str) -> bool:
    if not _TIMESTAMP.fullmatch(text):
        return False
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return False
    return moment.tzinfo is None or abs(moment.utcoffset() or timedelta()) < timedelta(hours=16)


_TESTS: dict[str, Callable[[str], Any]] = {
    "integer": lambda text: _INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63,
    "number": _NUMBER.fullmatch,
    "decimal": _DECIMAL.fullmatch,
    "boolean": {"true", "false"}.__contains__,
    "date": _is_date,
    "timestamp": _is_timestamp,
    "email": _EMAILS.is_valid,
}
_CSV_KINDS = ("integer", "number", "boolean", "date", "timestamp", "email")
_JSON_KINDS = ("decimal", "date", "timestamp", "email")  # a number that JSON writes as text has a decimal point


class Type(NamedTuple):
    """The types of a property: logical, of its column, and whether it is a number that JSON writes as text."""

    logical: str
    physical: str | None  # None for an object, whose properties are the columns
    arrives_as_text: bool = False
    is_email: bool = False


class Field:
    """What was seen of the values of one name."""

    def __init__(self, name: str, *, is_csv: bool) -> None:
        self.name = name
        self.is_csv = is_csv
        self.present = 0  # values that are not null
        self.objects = 0
        self.fields: dict[str, Field] = {}  # of objects
        self.items: Field | None = None  # of arrays
        self.types: set[type] = set()
        self.hashes: array[int] | None = array("q")  # None where the values can't be a key
        self._kinds = list(_CSV_KINDS if is_csv else _JSON_KINDS)
        self._is_large = False  # a number beyond what a bigint or a double holds exactly
        self._characters = 0

    def add(self, values: Sequence[Any], *, is_hashed: bool = False) -> None:
        """Take the next values, None for one that is not there."""
        there = [value for value in values if value is not None]
        self.present += len(there)
        found = set(map(type, there))
        self.types |= found
        if str in found:
            texts = there if len(found) == 1 else [value for value in there if type(value) is str]
            self._characters += sum(map(len, texts))
            distinct = set(texts)
            self._kinds = [kind for kind in self._kinds if all(map(_TESTS[kind], distinct))]
        if int in found:
            self._is_large |= any(not -(2**63) <= value < 2**63 for value in there if type(value) is int)
        if float in found:  # an integer beyond 64 bits arrives as one
            self._is_large |= any(abs(value) >= 2**53 for value in there if type(value) is float)
        if dict in found:
            self._add_objects([value for value in there if type(value) is dict])
        if list in found:
            self.items = self.items or Field("item", is_csv=False)
            self.items.add([item for value in there if type(value) is list for item in value])
        if len(there) < len(values) or len(self.types) > 1 or not self.types <= {str, int}:
            self.hashes = None
        elif is_hashed:
            self._add_hashes(values)

    def _add_objects(self, objects: list[dict[str, Any]]) -> None:
        self.objects += len(objects)
        for name in dict.fromkeys(name for value in objects for name in value):
            field = self.fields.setdefault(name, Field(name, is_csv=self.is_csv))
            field.add([value.get(name) for value in objects])

    def _add_hashes(self, values: Sequence[Any]) -> None:
        if self.hashes is None:
            return
        if str in self.types:
            values = [_canonical(value) if "." in value or ":" in value else value for value in values]
        self.hashes.extend(map(hash, values))

    def type(self) -> Type:
        """Return the types that fit all values. Raises ValueError where several types of JSON stand side by side."""
        if self.types == {dict}:
            return Type("object", None if self.fields else "jsonb")
        if self.types == {list}:
            return Type("array", "jsonb")
        if self.types == {bool}:
            return Type("boolean", "boolean")
        if self.types == {int} and not self._is_large:
            return Type("integer", "bigint")
        if self.types and self.types <= {int, float}:
            return Type("number", "numeric" if self._is_large else "double precision")
        if self.types - {str}:
            raise ValueError(", ".join(sorted(kind.__name__ for kind in self.types)))
        kind = self._kinds[0] if self.types and self._kinds else "text"
        if kind in ("number", "decimal") and not _NAMES_TEXT.search(self.name):
            return Type("number", "numeric", arrives_as_text=True)
        return {
            "integer": Type("integer", "bigint", arrives_as_text=True),
            "boolean": Type("boolean", "boolean", arrives_as_text=True),
            "date": Type("date", "date"),
            "timestamp": Type("timestamp", "timestamptz"),
            "email": Type("string", "text", is_email=True),
        }.get(kind, Type("string", "text"))

    def rank(self) -> int:
        """Return how unlikely the values are a key, from 0 up, by name and type."""
        logical = self.type().logical
        if self.types == {str} and self._characters > _LONG_TEXT * self.present:
            return 8
        if _NAMES_KEY.search(self.name):
            return 0
        return {"string": 1, "integer": 1, "date": 2, "timestamp": 2}.get(logical, 4)


def _canonical(text: str) -> str:
    """Return one text for all that are one number or one moment: 1.50 is 1.5, and 12:00+02:00 is 10:00Z."""
    if ":" not in text:
        return text.rstrip("0").rstrip(".") if _DECIMAL.fullmatch(text) else text
    if len(text) == 19 and text[4] == "-":  # without a zone or a fraction: 2026-01-01 12:00:00
        return text[:10] + "T" + text[11:]
    if not _is_timestamp(text):
        return text
    moment = datetime.fromisoformat(text)
    return (moment.astimezone(UTC) if moment.tzinfo else moment).replace(tzinfo=None).isoformat()


class Sample:
    """What was seen of rows."""

    def __init__(self, *, is_csv: bool) -> None:
        self.rows = 0
        self.rows_hashed = 0  # the first ones, among which a key is looked for
        self.is_whole = True
        self.left_out = 0  # lines or records that are no rows
        self._is_csv = is_csv
        self.fields: dict[str, Field] = {}

    def add(self, columns: dict[str, Sequence[Any]], rows: int) -> None:
        """Take the next rows as columns."""
        is_hashed = self.rows == self.rows_hashed and self._hashes() < _MAX_HASHES
        for name, values in columns.items():
            field = self.fields.get(name)
            if field is None:
                field = self.fields[name] = Field(name, is_csv=self._is_csv)
                if self.rows:
                    field.hashes = None
            field.add(values, is_hashed=is_hashed)
        for name in self.fields.keys() - columns.keys():
            self.fields[name].hashes = None
        self.rows_hashed += rows if is_hashed else 0
        self.rows += rows

    def _hashes(self) -> int:
        return sum(len(field.hashes) for field in self.fields.values() if field.hashes is not None)


class Key(NamedTuple):
    """The shortest combination of names that is unique, empty where there is none, and sentences that say how it is."""

    names: tuple[str, ...]
    notes: list[str]


def find_key(sample: Sample) -> Key:
    """Look for a key among the fields of a sample: of names like an id first, and the leftmost."""
    rows = sample.rows_hashed
    fields = [
        (name, field.rank(), field.hashes)
        for name, field in sample.fields.items()
        if field.hashes is not None and len(field.hashes) == rows
    ]
    candidates = sorted(fields, key=lambda candidate: candidate[1])[:_MAX_CANDIDATES]
    counts = {name: len(set(hashes)) for name, _, hashes in candidates}
    where = "the sample" if rows == sample.rows else f"the first {rows:,} rows, the only ones that were compared"
    alone = [name for name, _, _ in candidates if counts[name] == rows]
    if alone:
        by_chance = "; by its name and type that may be chance" if sample.fields[alone[0]].rank() > 1 else ""
        return Key((alone[0],), [f"the key is {alone[0]}: every row of {where} has another{by_chance}"])
    shown = sorted(counts, key=lambda name: -counts[name])[:5]
    figures = "; ".join(f"{name} has {counts[name]:,} values in {rows:,} rows" for name in shown)
    figures = figures or "none is there in every row"
    ordered = sorted(candidates, key=lambda candidate: list(sample.fields).index(candidate[0]))
    if len(ordered) > 1 and _is_unique([hashes for _, _, hashes in ordered], rows):
        names, gave_up = _combination(ordered, counts, rows)
        if names:
            joined = " and ".join(names)
            return Key(names, [f"no column alone is a key: {figures}", f"the key is {joined}: unique in {where}"])
        reason = "too many combinations to try" if gave_up else f"nor {_MAX_KEY_COLUMNS} of them together"
        return Key((), [f"no key: no column is unique in {where} ({figures}), {reason}"])
    return Key((), [f"no key: no column, nor all that have a value in every row, are unique in {where} ({figures})"])


def _combination(
    candidates: list[tuple[str, int, array[int]]], counts: dict[str, int], rows: int
) -> tuple[tuple[str, ...], bool]:
    """Return the names of the shortest unique combination, and whether the search was given up."""
    tests = 0
    for size in range(2, min(_MAX_KEY_COLUMNS, len(candidates)) + 1):
        for group in sorted(combinations(candidates, size), key=lambda group: sum(rank for _, rank, _ in group)):
            if prod(counts[name] for name, _, _ in group) < rows:
                continue
            hashes = [hashes for _, _, hashes in group]
            if not _is_unique(hashes, min(rows, 30_000)):
                continue
            if _is_unique(hashes, rows):
                return tuple(name for name, _, _ in group), False
            tests += 1
            if tests == _MAX_FULL_TESTS:
                return (), True
    return (), False


def _is_unique(columns: list[array[int]], rows: int) -> bool:
    """Return whether the first rows differ from each other in these columns, asking a few of them first."""
    for size in (min(rows, 1000), rows):
        if len(set(map(hash, zip(*(column[:size] for column in columns), strict=True)))) < size:
            return False
    return True
