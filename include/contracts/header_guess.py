"""Whether a CSV begins with a header, told by its first records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from include.contracts.moments import is_date, is_email, is_timestamp

_NUMBER = re.compile(r"[+-]?[0-9][0-9.,]*%?")
_YEAR = re.compile(r"1[5-9][0-9]{2}|2[01][0-9]{2}")
_TESTS = (_NUMBER.fullmatch, is_date, is_timestamp, is_email, {"true", "false"}.__contains__)


def columns_like_data(records: Sequence[Sequence[str]]) -> list[int]:
    """Return the places, from 1, at which the first record holds a value like those below it; none for a header.

    Names may be numbers too: years, or a row of numbers one after the other.
    """
    if len(records) < 2:
        return []
    header, rows = records[0], [record for record in records[1:] if len(record) == len(records[0])]
    if not rows or list(header) in map(list, rows):  # a header that is repeated further down
        return []
    columns = [[value for value in column if value] for column in zip(*rows, strict=True)]
    typed = [place for place, name in enumerate(header) if columns[place] and _is_like(name, columns[place])]
    if _is_sequence([header[place] for place in typed]):
        typed = []
    filled = [place for place, name in enumerate(header) if name.strip()]
    repeated = [place for place in filled if header[place] in columns[place]]
    found = typed + (repeated if 2 * len(repeated) > len(filled) else [])
    return sorted({place + 1 for place in found})


def _is_like(name: str, values: list[str]) -> bool:
    """Return whether a name is no name but a number, a date and so on, as all the values are."""
    if _YEAR.fullmatch(name) and not all(map(_YEAR.fullmatch, values)):
        return False
    return any(test(name) and all(map(test, values)) for test in _TESTS)


def _is_sequence(names: list[str]) -> bool:
    if len(names) < 2 or not all(name.isdecimal() for name in names):
        return False
    steps = {int(after) - int(before) for before, after in pairwise(names)}
    return len(steps) == 1 and steps != {0}
