"""A sample read as landing would read it, once and as a stream: what it is written in, and what its rows show."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.contracts.model import MAX_ROW_BYTES, ContractError
from include.contracts.recognise import Recognised, recognise
from include.contracts.sample import Sample
from include.contracts.zip_sample import other_columns
from include.decoding import decoded
from include.readers import (
    ExactJson,
    Line,
    Stream,
    Unreadable,
    csv_records,
    json_rows,
    opened,
    shown_key,
    told_encoding,
)
from include.readers.packing import without_suffix
from include.storage import FileError

_BLOCK_ROWS = 5000
_BLOCK_BYTES = 4 << 20  # of rows that are in memory at once
_HEAD_BYTES = 1 << 18
_SUFFIXES: dict[str, str | None] = {".csv": None, ".tsv": "\t", ".tab": "\t", ".psv": "|"}  # and the delimiter it names

Report = Callable[[str], None]


@dataclass
class SampleFile:
    """What was found in a sample."""

    seen: Sample
    encoding: str | None  # None for a file that is no text
    csv: Recognised | None = None  # the dialect of a CSV, None for JSON
    notes: list[str] = field(default_factory=list)  # sentences that say how sure it is
    parts: list[Path] = field(default_factory=list)  # that were read

    @property
    def has_names(self) -> bool:
        """Whether the columns have names of their own."""
        return self.csv is None or self.csv.dialect.header


def read_sample(
    parts: Sequence[Path],
    *,
    delimiter: str | None,
    encoding: str | None,
    dialect: dict[str, Any],
    rows: int | None,
    progress: Report,
) -> SampleFile:
    """Read the parts of a sample, or its first rows. `progress` is told from time to time how far it is.

    How it is written is told by the first part. A part with other columns, or that is of another kind, is passed over.
    Without `encoding` it is what the first bytes tell; without `delimiter`, name and beginning of the file tell whether
    it is a CSV, and of what `dialect`, but for the options that are given. Raises ContractError or FileError for a
    file that holds no rows that could land.
    """
    file, *others = parts
    with opened(file, None, encoding) as raw:
        begin = raw.read(_HEAD_BYTES)
        encoding = encoding or told_encoding(begin)
        text = decoded(_resumed(begin, raw), encoding)
        head = text.read(_HEAD_BYTES)
        found = SampleFile(Sample(is_csv=False), encoding)
        suffix = Path(without_suffix(file.name.lower())).suffix
        if delimiter is not None or dialect or _is_csv(suffix, head):
            found.seen = Sample(is_csv=True)
            _look_at_csv(found, head, delimiter, _SUFFIXES.get(suffix), dialect)
        _read(found, _lines(found, _resumed(head, text)), rows, progress)
    found.parts.append(file)
    for other in others:
        if found.seen.is_whole:
            _read_other(found, other, rows, progress)
    return found


class _OtherColumnsError(Exception):
    """A part has other columns than the first one."""


def _read_other(found: SampleFile, other: Path, rows: int | None, progress: Report) -> None:
    seen, first = found.seen, found.parts[0].name
    try:
        with opened(other, None, found.encoding) as raw:
            lines = _with_columns(found, _lines(found, decoded(raw, found.encoding or "UTF-8")))
            _read(found, lines, None if rows is None else rows - seen.rows - seen.left_out, progress)
        found.parts.append(other)
    except _OtherColumnsError:
        found.notes.append(other_columns(other.name, first))
    except FileError as error:
        found.notes.append(f"{other.name} is left out: {error}")


def _with_columns(found: SampleFile, lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines of a part. Raises _OtherColumnsError where its first row has other names than the sample's."""
    is_first = True
    for line in lines:
        if is_first and line[3] is None and isinstance(line[2], dict):
            is_first = False
            names, known = set(line[2]), set(found.seen.fields)
            if names != known if found.csv is not None else not names & known:
                raise _OtherColumnsError
        yield line


def _is_csv(suffix: str, head: bytes) -> bool:
    """Return whether a sample is a CSV, by its name, or by how it begins where the name says nothing."""
    if suffix in _SUFFIXES or suffix in (".json", ".jsonl", ".ndjson"):
        return suffix in _SUFFIXES
    return head.strip()[:1] not in (b"{", b"[", b"")


def _look_at_csv(found: SampleFile, head: bytes, given: str | None, named: str | None, said: dict[str, Any]) -> None:
    """Find the dialect, but for what is given."""
    is_whole = len(head) < _HEAD_BYTES
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head, is_whole)  # else it may end within a character
    except UnicodeDecodeError:
        raise _wrong_encoding(found) from None
    found.csv = recognise(text, is_whole=is_whole, delimiter=given, named=named, said=said)
    found.notes += found.csv.notes
    names = found.csv.names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ContractError(f"its header names the column {shown_key(twice)} twice: rename one of them")


def _wrong_encoding(found: SampleFile) -> ContractError:
    return ContractError(f"is not {found.encoding}: give its --encoding, such as Windows-1252")


def _lines(found: SampleFile, stream: Stream) -> Iterable[Line]:
    if found.csv is not None:
        is_known = found.parts or not found.csv.dialect.header  # a further part is refused for its header
        columns = dict.fromkeys(found.csv.names, False) if is_known else None
        return csv_records(stream, MAX_ROW_BYTES, found.csv.dialect, columns)
    parser = ExactJson(keeps_digits=True)
    return json_rows(stream, MAX_ROW_BYTES, parser.loads, parser.loads_all)


def _read(found: SampleFile, lines: Iterable[Line], rows: int | None, progress: Report) -> None:
    seen, block, size, count = found.seen, [], 0, 0
    for number, raw, value, problem in lines:
        if count == rows:
            seen.is_whole = False
            break
        count += 1
        if problem is not None or not isinstance(value, dict):
            _leave_out(found, number, problem)
            continue
        block.append(value)
        size += len(raw)
        if len(block) == _BLOCK_ROWS or size > _BLOCK_BYTES:
            _add(found, block)
            block, size = [], 0
            progress(f"read {seen.rows:,} rows")
    _add(found, block)


def _leave_out(found: SampleFile, number: int, problem: Unreadable | None) -> None:
    if found.csv is not None and problem is not None and problem.code == "encoding":
        raise _wrong_encoding(found)
    found.seen.leave_out(f"line {number}: {problem.reason if problem else 'is no JSON object'}")


def _add(found: SampleFile, block: list[dict[str, Any]]) -> None:
    if not block:
        return
    if found.csv is None:
        names = dict.fromkeys(name for value in block for name in value)
        found.seen.add({name: [value.get(name) for value in block] for name in names}, len(block))
    else:
        read = {name: found.csv.columns[name].value for name in block[0]}
        found.seen.add({name: [read[name](value[name]) for value in block] for name in read}, len(block))


class _Resumed(io.RawIOBase):
    """A stream of which the beginning was read already."""

    def __init__(self, begin: bytes, rest: Stream) -> None:
        self._begin, self._rest = begin, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._begin[: len(buffer)] or self._rest.read(len(buffer))
        self._begin = self._begin[len(block) :]
        buffer[: len(block)] = block
        return len(block)


def _resumed(begin: bytes, rest: Stream) -> Stream:
    return io.BufferedReader(_Resumed(begin, rest), _HEAD_BYTES)
