"""Whether and where a CSV or a sheet has a header, and whether its columns have a width, told by its first lines."""

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


def place_below_title(records: Sequence[Sequence[str | None]]) -> int:
    """Return the place, from 0, of the header below titles, which are records of one value at most; 0 for no title.

    The header has texts in more than half of three columns or more.
    """
    for place, record in enumerate(records):
        filled = [value for value in record if value and value.strip()]
        if len(filled) > 1:
            is_header = len(record) > 2 and 2 * len(filled) > len(record) and len(set(filled)) == len(filled)
            return place if is_header and not any(test(value) for value in filled for test in _TESTS) else 0
    return 0


def is_fixed_width(lines: Sequence[str]) -> bool:
    """Return whether lines are columns of a fixed width: blank at the same places, and somewhere two blanks abreast."""
    there = [line.rstrip() for line in lines if line.strip()]
    if len(there) < 2 or any("\t" in line for line in there):
        return False
    blank = [all(line[place] == " " for line in there) for place in range(min(map(len, there)))]
    gaps = [place for place, is_blank in enumerate(blank) if is_blank and not all(blank[:place])]
    return any(re.match(r"\S  +\S| +  \S", line[max(0, gap - 1) :]) for line in there for gap in gaps)


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
