"""JSON values parsed so that nothing is lost without a word: no digit of a number, and no value of a key.

orjson is fast, makes a double of every number that is no 64-bit integer, and keeps the last value of a key that an
object names twice. So its result is checked, and the few rows that fail the check are parsed again, slowly and exactly:

- Written as JSON again, a row has as many colons as it had, unless a key was lost or a colon was spelled as an escape.
- A double has lost something only where a number has 16 digits or more, or a negative exponent. That matters only to
  a caller that keeps digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import orjson

from include.readers.streams import UnreadableRowError

_DIGITS = bytes(ord("0") if chr(byte) in "0123456789." else ord(" ") for byte in range(256))
_MANY_DIGITS = b"0" * 16
_MAY_BE_COLON = re.compile(rb"\\u003")  # which finds it in half the time that `in` takes
# Numbers that may be no double and no 64-bit integer: of 20 digits, or below -2**63 (which begins with -922); with more
# than 15 digits and a point or an exponent; with an exponent that may be smaller than those of a double.
_INEXACT = re.compile(
    rb"[0-9]{20}|-(?:9[3-9]|92[2-9])[0-9]{16}|(?=[0-9.]{17})[0-9]+\.[0-9]|[0-9]{16,}[eE]|[0-9][eE]-[0-9]{3}"
)


class ExactJson:
    """Parses JSON values. With `keeps_digits`, a number that a double can't hold becomes an int or a Decimal."""

    def __init__(self, *, keeps_digits: bool) -> None:
        self._keeps_digits = keeps_digits

    def loads(self, raw: bytes) -> Any:
        """Parse a value. Raises ValueError for no JSON, UnreadableRowError for an object that names a key twice."""
        value = orjson.loads(raw)
        return value if self._is_sure(raw, value) else _parse_exactly(raw)

    def loads_all(self, rows: list[bytes]) -> list[Any]:
        """Parse many values, which costs less than one by one. Raises ValueError where that has to be done instead."""
        values = list(map(orjson.loads, rows))
        if not self._is_sure(b"".join(rows), values):
            raise ValueError
        return values

    def _is_sure(self, raw: bytes, value: Any) -> bool:
        """Return whether nothing that matters was lost between bytes and what orjson made of them."""
        try:
            if orjson.dumps(value).count(b":") != raw.count(b":") or _MAY_BE_COLON.search(raw):
                return False
        except orjson.JSONEncodeError:  # nested too deeply for orjson to write
            return False
        if not self._keeps_digits:
            return True
        has_signs = _MANY_DIGITS in raw.translate(_DIGITS) or b"e-" in raw or b"E-" in raw
        return not (has_signs and _INEXACT.search(raw))


def _parse_exactly(raw: bytes) -> Any:
    try:
        return json.loads(raw, object_pairs_hook=_object, parse_float=_number)
    except RecursionError:
        raise UnreadableRowError("json", "is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        key = next(_repeated(key for key, _ in pairs))
        raise UnreadableRowError(
            "duplicate_key", f"names the key {shown_key(key)} twice in one object: nothing says which value counts"
        )
    return made


def _repeated(keys: Iterator[str]) -> Iterator[str]:
    seen = set()
    for key in keys:
        if key in seen:
            yield key
        seen.add(key)


def _number(text: str) -> float | Decimal:
    """Return a number as a float where that is exact, else as a Decimal."""
    exact, value = Decimal(text), float(text)
    return value if Decimal(repr(value)) == exact else exact


def shown_key(key: str) -> str:
    """Return a key of a row as a message may show it: a name, and not what looks like a value."""
    return repr(key if len(key) <= 40 and key.isprintable() and "@" not in key else "(a long or odd key)")
