"""What a sample of a dataset shows: its names, the types that fit every value, and what could be a key.

The sample is read once, block by block. Of its values a `Field` keeps what was seen of them and a code of 64 bits for
each, by which `include.contracts.sample_key` looks for a key, at most 16 million codes of a sample. Of a larger one the
columns that are unique so far are followed further.

A code is Python's hash of the value written as text (SipHash, sys.hash_info). Values with different codes differ, so
what is called unique is unique. Two values have one code by chance in less than one of 100,000 samples of that size; a
hash of a number would not do, because that of -1 is that of -2.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from include.contracts.moments import is_date, is_email, is_timestamp

_MAX_CODES = 16_000_000
AT_ONCE = 1_000_000  # codes or rows that are in one set
_MAX_DIGITS = 100  # on each side of the point that landing keeps in a numeric column
_LONG_TEXT = 100  # a longer text is the last thing that a key would be

# A text is a number only where the number gives the text back: no leading zeros, no plus, no exponent, no -0.
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,37}")
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,37}|-?(0|[1-9][0-9]{0,37})\.[0-9]{1,38}")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,37})\.[0-9]{1,38}")
# 1.10 is another version than 1.1, and another section, but the same number.
_NAMES_TEXT = re.compile(r"(^|[^a-z])(version|release|section|chapter|code|id|key|sku|number|no|nr)($|[^a-z])", re.I)
_NAMES_KEY = re.compile(r"(^|[^a-z])(id|key|code|number|no|nr|sku|uuid|guid)$", re.I)


_TESTS: dict[str, Callable[[str], Any]] = {
    "integer": lambda text: _INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63,
    "number": _NUMBER.fullmatch,
    "decimal": _DECIMAL.fullmatch,
    "boolean": {"true", "false"}.__contains__,
    "date": is_date,
    "timestamp": is_timestamp,
    "email": is_email,
}
_CSV_KINDS = ("integer", "number", "boolean", "date", "timestamp", "email")
_JSON_KINDS = ("decimal", "date", "timestamp", "email")  # a number that JSON writes as text has a decimal point


_EQUAL_KINDS = {"number", "decimal", "timestamp"}  # of which values may be equal that are written differently


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
        self.codes: array[int] | None = array("q")  # None where the values can't be a key
        self._equal_codes: array[int] | None = None  # of numbers and moments, where texts that differ may be equal
        self._kinds = list(_CSV_KINDS if is_csv else _JSON_KINDS)
        self._is_large = False  # a number beyond what a bigint or a double holds exactly
        self._is_beyond_numeric = False
        self._characters = 0

    def add(self, values: Sequence[Any], *, is_coded: bool = False) -> None:
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
        if found & {int, float, Decimal}:
            self._see_numbers([value for value in there if type(value) in (int, float, Decimal)])
        if dict in found:
            self._add_objects([value for value in there if type(value) is dict])
        if list in found:
            self.items = self.items or Field("item", is_csv=False)
            self.items.add([item for value in there if type(value) is list for item in value])
        if len(there) < len(values) or not (self.types <= {str} or self.types <= {int, float, Decimal}):
            self.drop_codes()
        elif is_coded:
            self._add_codes(values)

    def _see_numbers(self, numbers: list[int | float | Decimal]) -> None:
        for value in numbers:
            if type(value) is int:
                self._is_large |= not -(2**63) <= value < 2**63
                self._is_beyond_numeric |= abs(value) >= 10**_MAX_DIGITS
            elif type(value) is float:
                self._is_large |= abs(value) >= 2**53
            elif type(value) is Decimal:  # more digits than a double holds
                self._is_large = True
                exponent = int(value.as_tuple().exponent)
                self._is_beyond_numeric |= value.adjusted() >= _MAX_DIGITS or exponent < -_MAX_DIGITS

    def _add_objects(self, objects: list[dict[str, Any]]) -> None:
        self.objects += len(objects)
        for name in dict.fromkeys(name for value in objects for name in value):
            field = self.fields.setdefault(name, Field(name, is_csv=self.is_csv))
            field.add([value.get(name) for value in objects])

    def _add_codes(self, values: Sequence[Any]) -> None:
        if self.codes is None:
            return
        if str not in self.types:
            self.codes.extend(map(hash, map(_number_text, values)))
            return
        before = len(self.codes)
        self.codes.extend(map(hash, values))
        if not _EQUAL_KINDS.intersection(self._kinds):
            self._equal_codes = None
            return
        equal = [_equal_text(value) if "." in value or ":" in value else value for value in values]
        if self._equal_codes is None and equal != values:
            self._equal_codes = self.codes[:before]
        if self._equal_codes is not None:
            self._equal_codes.extend(map(hash, equal))

    def drop_codes(self) -> None:
        """Forget the codes: the values are no part of a key."""
        self.codes = self._equal_codes = None

    @property
    def code_count(self) -> int:
        """How many codes are in memory."""
        return len(self.codes or ()) + len(self._equal_codes or ())

    def key_codes(self) -> array[int] | None:
        """Return a code for each value, the same for values that are equal in the column; None for no part of a key."""
        if self.codes is None or self._equal_codes is None:
            return self.codes
        return self._equal_codes if self.type().logical in ("number", "timestamp") else self.codes

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
        if self.types and self.types <= {int, float, Decimal}:
            is_exact = self._is_large and not self._is_beyond_numeric
            return Type("number", "numeric" if is_exact else "double precision")
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


def _equal_text(text: str) -> str:
    """Return one text for all that are one number or one moment: 1.50 is 1.5, and 12:00+02:00 is 10:00Z."""
    if ":" not in text:
        return _shortest(text) if _DECIMAL.fullmatch(text) else text
    if not is_timestamp(text):
        return text
    moment = datetime.fromisoformat(text)
    return (moment.astimezone(UTC) if moment.tzinfo else moment).replace(tzinfo=None).isoformat()


def _number_text(value: int | float | Decimal) -> str:
    """Return one text for all numbers of JSON that are equal: 1 and 1.0."""
    if type(value) is int:
        return str(value)
    return _shortest(format(Decimal(repr(value)) if type(value) is float else value, "f"))


def _shortest(text: str) -> str:
    short = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if short == "-0" else short


class Sample:
    """What was seen of rows."""

    def __init__(self, *, is_csv: bool) -> None:
        self.rows = 0
        self.rows_coded = 0  # the first ones, among which a key is looked for
        self.is_whole = True
        self.left_out = 0  # lines or records that are no rows
        self.why_left_out = ""  # the first of them
        self.is_csv = is_csv
        self.fields: dict[str, Field] = {}

    def add(self, columns: dict[str, Sequence[Any]], rows: int) -> None:
        """Take the next rows as columns."""
        if self.rows == self.rows_coded and self._codes() >= _MAX_CODES:
            self._drop_repeated()
        is_coded = self.rows == self.rows_coded and self._codes() < _MAX_CODES
        for name, values in columns.items():
            field = self.fields.get(name)
            if field is None:
                field = self.fields[name] = Field(name, is_csv=self.is_csv)
                if self.rows:
                    field.drop_codes()
            field.add(values, is_coded=is_coded)
        for name in self.fields.keys() - columns.keys():
            self.fields[name].drop_codes()
        self.rows_coded += rows if is_coded else 0
        self.rows += rows

    def leave_out(self, why: str) -> None:
        """Count a line or record that is no row."""
        self.why_left_out = self.why_left_out or why
        self.left_out += 1

    def _codes(self) -> int:
        return sum(field.code_count for field in self.fields.values())

    def _drop_repeated(self) -> None:
        """Make room: where a column is unique so far, the others are not needed to find the shortest key."""
        coded = {name: codes for name, field in self.fields.items() if (codes := field.key_codes())}
        unique = {name for name, codes in coded.items() if distinct(codes) == len(codes)}
        for name in coded.keys() - unique if unique else ():
            self.fields[name].drop_codes()


def distinct(codes: array[int]) -> int:
    """Return how many codes differ."""
    return sum(len(set(part)) for part in parts_of(codes))


def parts_of(codes: array[int]) -> list[array[int]]:
    """Return the codes in parts, equal ones in the same part. One set of all would need ten times their memory."""
    if len(codes) <= AT_ONCE:
        return [codes]
    parts = [array("q") for _ in range(len(codes) // AT_ONCE + 1)]
    appends = [part.append for part in parts]
    count = len(parts)
    for code in codes:
        appends[code % count](code)
    return parts
