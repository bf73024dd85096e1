"""How a column's values are written, told by the first of them: numbers, days and times, words, and marks of no value.

What could be read in two ways is not read: it stays text, and a sentence says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.contracts.notation import Notation
from include.contracts.time_format import TimeFormat

_PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]+([Zz]|[+-][0-9:]+)?)?")
_NULLS = ("NA", "N/A", "n/a", "#N/A", "NULL", "null", "NaN", "nan", "None", "-", "--")
_NOTATIONS = ((",", None), (",", "."), (",", " "), (".", ","), (".", "'"), (".", " "), (",", "'"))
_BOTH_WAYS = re.compile(r"-?[1-9][0-9]{0,2}[.,][0-9]{3}")  # a group of thousands, or three decimals
_WORDS = (
    *(("Y", "N"), ("y", "n"), ("yes", "no"), ("Yes", "No"), ("YES", "NO"), ("True", "False"), ("TRUE", "FALSE")),
    *(("T", "F"), ("ja", "nein"), ("Ja", "Nein"), ("WAHR", "FALSCH"), ("oui", "non"), ("Oui", "Non"), ("VRAI", "FAUX")),
    *(("si", "no"), ("sí", "no"), ("sì", "no"), ("sim", "não"), ("VERDADERO", "FALSO"), ("да", "нет"), ("是", "否")),
)
_DAYS = {  # by which comes first, the strict format before the lenient one
    "day": (
        *("dd.MM.yyyy", "d.M.yyyy", "dd/MM/yyyy", "d/M/yyyy", "dd-MM-yyyy", "dd-MMM-yyyy", "d-MMM-yyyy", "d MMM yyyy"),
        *("dd/MMM/yyyy", "EEE, dd MMM yyyy"),
    ),
    "month": ("MM/dd/yyyy", "M/d/yyyy", "MM-dd-yyyy", "MMM d, yyyy"),
    "year": ("yyyy/MM/dd", "yyyy/M/d", "yyyy.MM.dd", "yyyy年M月d日", "yyyy-MM-dd", "yyyy-M-d"),
}
_TIMES = (
    *(" HH:mm:ss", " HH:mm", " H:mm", " H:mm:ss", " HH:mm:ss.SSS", "'T'HH:mm:ss", " h:mm a", " h:mm:ss a"),
    *(" HH:mm:ss 'UTC'", " HH:mm:ss Z", " HH:mm:ss XXX"),
)


@dataclass
class Written:
    """How the values of a column are written, as a contract says it, and what reads them."""

    options: dict[str, Any] = field(default_factory=dict)  # custom properties
    type_options: dict[str, Any] = field(default_factory=dict)  # logicalTypeOptions
    kind: str = ""  # the logical type that these are for; empty for any
    read: Callable[[str], str] | None = None
    nulls: tuple[str, ...] = ()
    is_text: bool = False  # although it looks like a number
    notes: list[str] = field(default_factory=list)

    def value(self, text: str | None) -> str | None:
        """Return a value as a contract without options would have it, and as it is where it does not fit."""
        if text is None or text in self.nulls:
            return None
        try:
            return self.read(text) if self.read else text
        except ValueError:
            return text


def kind_of(text: str) -> str:
    """Return what a value that no column is called looks like: number, time or null; empty for any other text."""
    if text == "\\N":
        return "null"
    if not re.match(r"-?[0-9]", text):
        return ""
    if _PLAIN.fullmatch(text) or _number([text]) is not None:
        return "number"
    return "time" if _ISO.fullmatch(text) or next(_times([text]), None) is not None else ""


def recognise_values(name: str, values: Sequence[str | None], said: Notation) -> Written:
    """Return how the values of a column are written, where that is not what was `said` of the whole file."""
    there = {value for value in values if value} - set(said.missing_values)
    nulls = tuple(null for null in _NULLS if null in there)
    rest = sorted(there - set(nulls))
    written = Written(nulls=said.missing_values)
    if _as_said(written, said, rest):
        pass
    elif not rest or all(map(_PLAIN.fullmatch, rest)) or all(map(_ISO.fullmatch, rest)):
        written.kind = "plain" if rest else "text"
    elif (pair := next((pair for pair in _WORDS if set(rest) == set(pair)), None)) is not None:
        true, false = pair
        written.kind = "boolean"
        written.read = lambda text: {true: "true", false: "false"}.get(text, text)
        written.options = {"trueValues": [true], "falseValues": [false]}
        written.notes.append(f"{name}: {true} and {false} are taken for true and false")
    elif all(map(_BOTH_WAYS.fullmatch, rest)) and "," in rest[0]:
        written.kind = "text"
        written.notes.append(
            f"{name}: {rest[0]} may have thousands or decimals, and stays text: say decimalChar or groupChar"
        )
    elif (notation := _number(rest)) is not None:
        written.kind, written.read = "number", _reader(notation)
        group = {"groupChar": notation.group_char} if notation.group_char else {}
        decimal = {"decimalChar": notation.decimal_char} if notation.decimal_char != "." else {}
        written.options = {**decimal, **group}
        written.notes.append(f"{name}: numbers are written like {notation.example}")
    else:
        _take_times(written, name, rest)
    if nulls and written.kind != "text":
        written.nulls = (*said.missing_values, *nulls)
        written.options["missingValues"] = list(written.nulls)
        written.notes.append(f"{name}: {', '.join(nulls)} is taken for no value")
    return written


def leave_doubtful(columns: dict[str, Written], values: dict[str, Sequence[str | None]], delimiter: str) -> None:
    """Leave as text what may be something else in the light of the file's other columns, and of its delimiter.

    Beside a decimal comma, 1.234 may be a thousand. Where commas stand between values, 1,5 may be a list.
    """
    has_comma = any(written.options.get("decimalChar") == "," for written in columns.values())
    for name, written in columns.items():
        dotted = [value for value in values[name] if value and "." in value and _PLAIN.fullmatch(value)]
        if has_comma and written.kind == "plain" and dotted and all(map(_BOTH_WAYS.fullmatch, dotted)):
            written.kind, written.is_text = "text", True
            written.notes.append(f"{name}: {dotted[0]} may have thousands or decimals, and stays text: say groupChar")
        elif delimiter == "," and written.options.get("decimalChar") == "," and "groupChar" not in written.options:
            columns[name] = Written(kind="text", nulls=("",))
            columns[name].notes.append(f"{name}: its commas may stand before decimals; it stays text: say decimalChar")


def _take_times(written: Written, name: str, values: list[str]) -> None:
    found = list(_times(values))
    orders = {order.strip() for order, _, _ in found}
    if {"day", "month"} <= orders:
        written.kind = "text"
        written.notes.append(f"{name}: {values[0]} may have the day or the month first, and stays text: say its format")
    elif found:
        _, pattern, is_date = found[0]
        written.kind = "date" if is_date else "timestamp"
        written.read = TimeFormat(pattern, is_date=is_date).read
        written.type_options = {"format": pattern}
        has_zone = is_date or "Z" in pattern or "X" in pattern
        zone = "" if has_zone else "; its times are UTC unless defaultTimezone says more"
        written.notes.append(f"{name}: its format is {pattern}{zone}")
    else:
        written.kind = "text"


def _times(values: list[str]) -> Iterator[tuple[str, str, bool]]:
    """Yield the formats that all values have: which part comes first, the pattern, and whether it is a day's."""
    for order, days in _DAYS.items():
        for day in days:
            for time in ("", *_TIMES):
                if _fits(f"{day}{time}", values, is_date=not time):
                    yield order, f"{day}{time}", not time


def _fits(pattern: str, values: list[str], *, is_date: bool) -> bool:
    read = _format(pattern, is_date)
    try:
        for value in values:
            read(value)
    except ValueError:
        return False
    return True


_FORMATS: dict[str, TimeFormat] = {}


def _format(pattern: str, is_date: bool) -> Callable[[str], str]:
    if pattern not in _FORMATS:
        _FORMATS[pattern] = TimeFormat(pattern, is_date=is_date)
    return _FORMATS[pattern].read


def _number(values: list[str]) -> Notation | None:
    """Return how numbers are written, where only one way fits all of them."""
    for decimal, group in _NOTATIONS:
        notation = Notation((), decimal, group)
        if all(map(notation.number_pattern(is_integer=False).fullmatch, values)):
            return notation
    return None


def _as_said(written: Written, said: Notation, values: list[str]) -> bool:
    """Take values as a person says that the whole file has them, and return whether they are so."""
    words = {**dict.fromkeys(said.true_values, "true"), **dict.fromkeys(said.false_values, "false")}
    if values and set(values) <= set(words):
        written.kind, written.read = "boolean", lambda text: words.get(text, text)
    elif not said.is_plain_number and all(map(said.number_pattern(is_integer=False).fullmatch, values)):
        written.kind, written.read = "number", _reader(said)
    return written.read is not None


def _reader(notation: Notation) -> Callable[[str], str]:
    is_like = notation.number_pattern(is_integer=False).fullmatch
    return lambda text: notation.number(text) if is_like(text) else text
