"""The dialect of a CSV told by how it begins, with how sure that is, and why.

Every dialect that could be is tried on the first records. The one in which most of them have the same number of values
is the one; where two do alike, the more usual one comes first. What a person says instead is not tried.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from open_data_contract_standard.model import CustomProperty, Server

from include.contracts.dialect import read_dialect
from include.contracts.header_guess import columns_like_data, is_fixed_width, place_below_title
from include.contracts.model import ContractError
from include.contracts.notation import Notation, notation_of
from include.contracts.recognise_values import Written, kind_of, leave_doubtful, recognise_values
from include.readers import Dialect, header_names
from include.readers.csv_values import UnknownEscapeError, ValueReader

_DELIMITERS = (",", ";", "\t", "|", "||", "::", "~", "\x01")
_RECORDS = 500  # that are tried
_MOST_TITLES = 30  # lines before the header
_YEAR = re.compile("(19|20)[0-9]{2}")  # which a column may well be called
_FIRST_LINE = 1 << 16  # characters that it is looked for in
_LINE_END = re.compile(r"\r+\n|\r|\n")
_SEPARATOR = re.compile(r'"?sep=([,;|\t])"?\r*\n?', re.IGNORECASE)


@dataclass
class Recognised:
    """A dialect as a contract says it, the names and first records that it has, and how sure that is, in sentences."""

    delimiter: str
    options: dict[str, Any]  # custom properties of the server, where they differ from what is usual
    dialect: Dialect
    names: list[str]
    records: list[list[str | None]]
    columns: dict[str, Written] = field(init=False)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        values: dict[str, Sequence[str | None]] = {
            name: [record[place] for record in self.records] for place, name in enumerate(self.names)
        }
        self.columns = {name: recognise_values(name, texts, self._default()) for name, texts in values.items()}
        leave_doubtful(self.columns, values, self.delimiter)
        self.notes += [note for column in self.columns.values() for note in column.notes]

    def _default(self) -> Notation:
        properties = [CustomProperty(property=name, value=value) for name, value in self.options.items()]
        return notation_of(properties, Notation(("",)))

    def server_options(self) -> dict[str, Any]:
        """Return the custom properties of the landing server, none where the dialect is the usual one."""
        stated = [{"property": name, "value": value} for name, value in self.options.items()]
        return {"customProperties": stated} if stated else {}

    def complete(self, prop: dict[str, Any]) -> None:
        """Add to a drafted property how its values are written, where its type is the one that they were read for."""
        written = self.columns[prop["name"]]
        kind = prop["logicalType"]
        if written.is_text and kind in ("integer", "number"):
            prop |= {"logicalType": "string", "physicalType": "text"}
            return
        kinds = {"number": ("integer", "number"), "plain": ("integer", "number", "date", "timestamp")}
        if written.kind != "text" and kind not in kinds.get(written.kind, (written.kind,)):
            return  # later values are written in other ways
        if written.type_options:
            prop["logicalTypeOptions"] = written.type_options
        options = dict(written.options)
        if kind == "integer" and options.get("groupChar") != ".":  # which is the decimalChar where none is stated
            options.pop("decimalChar", None)
        stated = [{"property": name, "value": value} for name, value in options.items()]
        if stated:
            prop["customProperties"] = [*prop.pop("customProperties", []), *stated]


@dataclass
class _Trial:
    """What a delimiter and options make of the first lines."""

    delimiter: str
    options: dict[str, Any]
    records: list[tuple[int, list[str | None]]]  # with the number of the lines before each
    errors: int

    @property
    def widths(self) -> Counter[int]:
        return Counter(len(record) for _, record in self.records)

    @property
    def width(self) -> int:
        """How many values most records have."""
        return max(self.widths.items(), key=lambda item: (item[1] * (item[0] > 1), item[1]), default=(0, 0))[0]

    @property
    def share(self) -> float:
        """The share of records that have so many, and more than one."""
        count = self.widths[self.width] if self.width > 1 else 0
        return count / max(1, len(self.records) + self.errors)


def recognise(
    head: str, *, is_whole: bool, delimiter: str | None = None, named: str | None = None, said: dict[str, Any]
) -> Recognised:
    """Return the dialect of a file that begins so.

    `delimiter` and the options `said` are a person's, `named` is what the file's name tells. Raises ContractError where
    they can't be.
    """
    end = _LINE_END.search(re.sub('"[^"]*"', "", head[:_FIRST_LINE]))
    is_cr = end is not None and end[0] == "\r"  # as landing tells it, by the end of the first line
    lines = re.findall(r"[^\r]*\r|[^\r]+" if is_cr else r"[^\n]*\n|[^\n]+", head)
    if not is_whole and len(lines) > 1:
        lines.pop()
    notes = []
    found = _SEPARATOR.fullmatch(lines[0]) if lines and not said.get("skipRows") else None
    if found:
        lines.pop(0)
        notes.append(f"the delimiter is {found[1]!r}: the first line, sep={found[1]}, says so")
        delimiter = delimiter or found[1]
    trials = [_try(lines, *each) for each in _candidates("".join(lines), delimiter or named, said)]
    if named and not delimiter and not any(trial.share for trial in trials):  # it cuts nothing
        others = [_try(lines, *each) for each in _candidates("".join(lines), None, said)]
        trials = others if any(trial.share for trial in others) else trials
    best = max(trials, key=lambda trial: round(trial.share, 2))  # of equal ones the first
    if best.share == 0:
        best = trials[0]
        if delimiter is None and is_fixed_width(lines[:_RECORDS]):
            raise ContractError(
                "looks like columns of a fixed width, which are not read: export the file as CSV; or say its"
                " --delimiter, where it has but one column"
            )
    if not notes:
        notes.append(_how_sure(best, trials, is_given=delimiter is not None))
    for name, value in best.options.items():
        if name not in said:
            notes.append(f"{name} is {value!r}: {best.share:.0%} of the first records have {best.width} values then")
    _take_titles(best, lines, said, notes, 1 if found else 0)
    if "missingValues" not in best.options and any("\\N" in record for _, record in best.records):
        best.options["missingValues"] = ["", "\\N"]
        notes.append("missingValues has \\N, which stands alone in some values")
    names, records = _header(best, said, notes)
    return Recognised(best.delimiter, best.options, _dialect(best.delimiter, best.options), names, records, notes)


def _candidates(text: str, delimiter: str | None, said: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what could be, the usual first."""
    delimiters = [delimiter] if delimiter else [each for each in _DELIMITERS if each in text] or [","]
    quotes: list[dict[str, Any]] = [{}]
    if "quoteChar" not in said:
        quotes += [{"quoteChar": "none"}] if '"' in text else []
        quotes += [{"quoteChar": "'"}] if re.search(r"(^|[,;|\t])'", text, re.MULTILINE) else []
    escapes: list[dict[str, Any]] = [{}]
    if "escapeChar" not in said and re.search(r"\\[\"',;|\t\\]|\\$", text, re.MULTILINE):
        nulls = {"missingValues": ["", "\\N"]} if "\\N" in text and "missingValues" not in said else {}
        escapes.append({"escapeChar": "\\", **nulls})
    spaces: list[dict[str, Any]] = [{}]
    if "skipInitialSpace" not in said and re.search(r'[,;|] +"', text):
        spaces.append({"skipInitialSpace": True})
    comments: list[dict[str, Any]] = [{}]
    if "commentChar" not in said and re.search(r"^#", text, re.MULTILINE):
        comments.append({"commentChar": "#"})
    for each, *options in product(delimiters, quotes, escapes, spaces, comments):
        if {"skipInitialSpace": True} in options and each.isspace():
            continue
        yield each, {**said, **{name: value for part in options for name, value in part.items()}}


def _dialect(delimiter: str, options: dict[str, Any]) -> Dialect:
    properties = [CustomProperty(property=name, value=value) for name, value in options.items()]
    try:
        return read_dialect(Server(format="csv", delimiter=delimiter, customProperties=properties), [])
    except ValueError as error:
        raise ContractError(str(error)) from None


def _try(lines: list[str], delimiter: str, options: dict[str, Any]) -> _Trial:
    dialect = _dialect(delimiter, options)
    trial = _Trial(delimiter, dict(options), [], 0)
    taken = dialect.skip_rows

    def rest() -> Iterator[str]:
        nonlocal taken
        for line in lines[dialect.skip_rows :]:
            taken += 1
            yield line

    source = rest()
    reader = ValueReader(_Records(source, dialect), dialect)
    while len(trial.records) + trial.errors < _RECORDS:
        before = taken
        try:
            values = next(reader)
        except StopIteration:
            break
        except (csv.Error, UnknownEscapeError):
            trial.errors += 1
            continue
        if dialect.trailing_delimiter and len(values) > 1:
            values.pop()
        trial.records.append((before, values))
    return trial


class _Records:
    """The lines of a file, without those that are blank or comments where a record begins."""

    def __init__(self, lines: Iterator[str], dialect: Dialect) -> None:
        self._lines = lines
        self._comment = dialect.comment_char

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for line in self._lines:
            if line.strip("\r\n") and not (self._comment and line.startswith(self._comment)):
                return line
        raise StopIteration


def _how_sure(best: _Trial, trials: list[_Trial], *, is_given: bool) -> str:
    shown = f"the delimiter is {best.delimiter!r}"
    if is_given:
        return f"{shown}, as you said: {best.share:.0%} of the first records have {best.width} values"
    if best.share == 0:
        return f"{shown}, which is a guess: no delimiter stands in the first records"
    others = [t for t in trials if t.delimiter != best.delimiter and round(t.share, 2) == round(best.share, 2)]
    if others:
        return f"{shown}, which is a guess: with {others[0].delimiter!r} as many records have one number of values"
    sure = "certain" if best.share == 1 and len(best.records) > 2 else "likely" if best.share >= 0.9 else "a guess"
    count = len(best.records) + best.errors
    return f"{shown}, which is {sure}: {best.share:.0%} of the first {count} records have {best.width} values"


def _take_titles(best: _Trial, lines: list[str], said: dict[str, Any], notes: list[str], passed: int) -> None:
    """Pass over the lines before the first record that has as many values as most; `passed` were already.

    A spreadsheet writes a title with as many delimiters as the other rows have: one value, and nothing behind it.
    """
    if "skipRows" in said or best.width < 2:
        return
    place = next(number for number, (_, record) in enumerate(best.records) if len(record) == best.width)
    behind = [len(record) == best.width for _, record in best.records[place:]]
    titles = place_below_title([record for _, record in best.records[place:]]) if "header" not in said else 0
    skipped = best.records[place + titles][0]
    if place + titles > 0 and skipped <= _MOST_TITLES and sum(behind) >= 0.9 * len(behind):
        while skipped < len(lines) and not lines[skipped].strip("\r\n"):
            skipped += 1
        best.options["skipRows"] = skipped + passed
        why = "hold one value at most, as titles do" if titles else "have other numbers of values"
        notes.append(f"skipRows is {skipped + passed}: the lines before {why}")
        best.records = best.records[place + titles :]


def _header(best: _Trial, said: dict[str, Any], notes: list[str]) -> tuple[list[str], list[list[str | None]]]:
    """Return the names of the columns, and the records without those that have another number of values."""
    records = [record for _, record in best.records]
    if not records:
        return [], []
    if said.get("trim"):
        records = [[value and value.strip() for value in record] for record in records]
    first, below = records[0], [record for record in records[1:] if len(record) == len(records[0])]
    numbered = [f"column_{place}" for place in range(1, len(first) + 1)]
    if said.get("header") is False:
        return numbered, [first, *below]
    like_data, like_names = [], []
    for place, name in enumerate(first):
        kinds = {kind_of(value or "\\N") for record in below for value in [record[place]]} - {"null"}
        if len(below) > 1 and len(kinds) == 1 and kinds <= {"number", "time"}:
            kind = kind_of(name or "\\N")
            if kind in kinds and not _YEAR.fullmatch(name or ""):
                like_data.append(place)
            elif kind != "null":
                like_names.append(place)
    places = [] if like_names else [place + 1 for place in like_data]
    places = columns_like_data([[value or "" for value in record] for record in [first, *below]]) or places
    if "header" not in said and places:
        best.options["header"] = False
        shown = ", ".join(map(str, places[:5])) + (", ..." if len(places) > 5 else "")
        notes.append(
            f"header is false: the first record looks like data, its values {shown} are like those below."
            " Give the properties their names"
        )
        return numbered, [first, *below]
    if not like_names and "header" not in said:
        notes.append("the first record is taken for names; nothing says whether it is data: see --dialect header=false")
    names = header_names([name or "" for name in first])
    return names, below
