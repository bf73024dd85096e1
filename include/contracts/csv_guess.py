"""What the first records of a CSV tell of it: what stands between its values, and whether it begins with a header."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from include.contracts.moments import is_date, is_email, is_timestamp

DELIMITERS = (",", ";", "\t", "|")
_RECORDS = 1000  # that are looked at
_SURE = 0.99  # share of the records with equally many values
_HALF = 0.5  # share that a delimiter has to reach
_OTHER = 0.9  # share at which another delimiter could be meant as well
_NAMED = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}

_NUMBER = re.compile(r"[+-]?[0-9][0-9.,]*%?")
_YEAR = re.compile(r"1[5-9][0-9]{2}|2[01][0-9]{2}")
_TESTS = (_NUMBER.fullmatch, is_date, is_timestamp, is_email, {"true", "false"}.__contains__)


class Delimiter(NamedTuple):
    """What stands between values, and a sentence that says how sure that is."""

    text: str
    note: str


def first_records(head: bytes, delimiter: str, *, is_whole: bool) -> list[list[str]]:
    """Return the first records of a CSV that are not blank. Without `is_whole` the last one may be cut: it is left."""
    records: list[list[str]] = []
    lines = io.StringIO(head.decode("utf-8", "replace"), newline="")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for record in reader:
            if record and (len(record) > 1 or record[0].strip()):
                records.append(record)
            if len(records) > _RECORDS:
                break
    except csv.Error:  # a stray quote: what stands before it says enough
        return records
    return records if is_whole or len(records) < 2 or len(records) > _RECORDS else records[:-1]


def guess_delimiter(head: bytes, *, is_whole: bool, named: str | None = None) -> Delimiter:
    """Return the delimiter that cuts the first records into equally many values, two at least.

    `named` is the one that the file's name tells: another is taken only where that one cuts nothing.
    """
    fits = {text: _fit(first_records(head, text, is_whole=is_whole)) for text in DELIMITERS}
    usable = [text for text in DELIMITERS if fits[text][0] > 1 and fits[text][1] > _HALF]
    if not usable:
        text = named or max(DELIMITERS, key=lambda text: (fits[text][0] == 1) * fits[text][1])
        return Delimiter(text, f"found no delimiter: each record is one value, and the contract says {_NAMED[text]}")
    best = named if named in usable else max(usable, key=lambda text: (round(fits[text][1], 2), fits[text][0]))
    values, share, records = fits[best]
    others = [text for text in usable if text != best and fits[text][1] >= _OTHER and records > 1]
    how = f"{share:.0%} of the first {records:,} records have {values} values" if records > 1 else f"{values} names"
    if named == best:
        return Delimiter(best, f"the delimiter is {_NAMED[best]}, as the sample's name says: {how}")
    if share >= _SURE and not others and records > 1:
        return Delimiter(best, f"the delimiter is {_NAMED[best]}, surely: {how}")
    reason = how
    if others:
        reason += f", but {_NAMED[others[0]]} would give {fits[others[0]][0]} in {fits[others[0]][1]:.0%}"
    return Delimiter(best, f"the delimiter is perhaps {_NAMED[best]}: {reason}; --delimiter says another")


def _fit(records: list[list[str]]) -> tuple[int, float, int]:
    """Return how many values most records have, what share of the records that is, and how many they are."""
    if not records:
        return 0, 0.0, 0
    values, count = Counter(map(len, records)).most_common(1)[0]
    return values, count / len(records), len(records)


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
