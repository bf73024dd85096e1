"""CSV records, which end where the dialect says: at a line end outside quotes.

A quote opens a quoted value only where the value begins; anywhere else in an unquoted value it is text. A quoted value
may hold any number of lines, and a quote in it is doubled. All of this is as Python's csv module has it, which reads
the lines with a quote; a line without one is cut at its delimiters.

Where a quote in a quoted value is not doubled, nobody knows what was meant: the value may go on in the next line, or
not. What follows is then read in both ways, and reading is certain again at the first line end at which both say that a
record ends. Everything up to there is one reject.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from include.readers.streams import CHUNK, KEPT_BYTES, Line, Stream, Unreadable, numbered_lines, problem_of
from include.storage import UnusableFileError

_Lines = Iterator[tuple[int, bytes]]

csv.field_size_limit(1 << 30)  # process-wide and 128 KiB by default; max_bytes is the limit here


def csv_records(stream: Stream, max_bytes: int, delimiter: str, columns: dict[str, bool] | None) -> Iterator[Line]:
    """Yield every record after the header as {column: text}; an empty value is None.

    `columns` says which columns are known and whether each is required, None that any may be there; `max_bytes` is the
    longest record that is parsed. Lines end with LF, CR LF or CR, as the header does. Raises UnusableFileError for a
    header that does not fit.
    """
    first = stream.read(CHUNK)
    end = _line_end(first)
    lines = numbered_lines(stream, max_bytes, end, first)
    reader = _RecordReader(lines, max_bytes, delimiter, end)
    header = _header(lines, reader, delimiter, columns)
    is_one = len(header) == 1
    ends, other_end, named = ("\r\n", "\r", "carriage return") if end == b"\n" else ("\r", "\n", "line feed")
    for number, raw in lines:
        if b'"' in raw or len(raw) > max_bytes:
            fields, raw, problem = reader.read(raw)
            if problem is not None:
                yield (number, raw, None, problem)
                continue
        else:
            try:
                text = raw.decode().rstrip(ends)
            except UnicodeDecodeError:
                yield (number, raw, None, problem_of(raw, "csv", ""))
                continue
            if other_end in text:
                yield (number, raw, None, Unreadable("csv", f"holds a {named} outside quotes: quote the value"))
                continue
            fields = text.split(delimiter)
            if len(fields) == 1 and (not text or (text.isspace() and not is_one)):  # a blank line
                continue
        if len(fields) != len(header):
            reason = f"{len(fields)} values where the header has {len(header)}"
            yield (number, raw, None, Unreadable("csv", reason, raw.rstrip(end).count(end) + 1))
        elif "" in fields:
            yield (number, raw, dict(zip(header, [field or None for field in fields], strict=True)), None)
        else:
            yield (number, raw, dict(zip(header, fields, strict=True)), None)


def header_names(header: list[str]) -> list[str]:
    """Return the names of a header; an empty one, as an index or a trailing comma leaves it, is column_<place>."""
    named = list(header)
    for place, name in enumerate(header):
        if not name.strip():
            named[place] = f"column_{place + 1}"
            while named[place] in header:
                named[place] += "_"
    return named


def _line_end(first: bytes) -> bytes:
    """Return what ends the lines of a file, told by its first line: CR, or LF, which CRs may stand before.

    Two of them are what text mode under Windows makes of CR LF.
    """
    found = re.search(rb"\r+\n|\r|\n", re.sub(rb'"[^"]*"', b"", first))
    return b"\r" if found and found[0] == b"\r" else b"\n"


def _header(lines: _Lines, reader: _RecordReader, delimiter: str, columns: dict[str, bool] | None) -> list[str]:
    first = next((raw for _, raw in lines if raw.strip()), None)
    if first is None:
        return []
    header, _, problem = reader.read(first)
    if problem is not None:
        raise UnusableFileError(f"has a first line that is no header of names separated by {delimiter!r}")
    header = header_names(header)
    missing = [name for name, required in (columns or {}).items() if required and name not in header]
    unknown = [name for name in header if columns is not None and name not in columns]
    if missing or unknown or len(set(header)) != len(header):
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"has {len(unknown)} that the contract does not know"] if unknown else []
        parts += [] if missing or unknown else ["names a column twice"]
        raise UnusableFileError(f"has a header that {' and '.join(parts)}: mend the file or the contract")
    return header


class _TooLongError(Exception):
    """A record is longer than the contract allows."""


class _RecordReader:
    """Reads the record that begins with a given line, and takes as many more lines as belong to it."""

    def __init__(self, lines: _Lines, max_bytes: int, delimiter: str, end: bytes) -> None:
        self._lines = lines
        self._max_bytes = max_bytes
        self._delimiter = delimiter.encode()
        self._end = end
        self._given: bytes | None = None  # the first line, which csv has not asked for yet
        self._taken: list[bytes] = []
        self._size = 0
        self._reader = csv.reader(self, delimiter=delimiter, strict=True)

    def read(self, first: bytes) -> tuple[list[str], bytes, Unreadable | None]:
        """Return a record's values and bytes; what is wrong with it, and then as much of its bytes as is kept."""
        self._given, self._taken, self._size = first, [], 0
        try:
            fields = next(self._reader)
        except (csv.Error, _TooLongError):
            return self._give_up()
        raw = self._taken[0] if len(self._taken) == 1 else b"".join(self._taken)
        if not raw.isascii():
            try:
                raw.decode()
            except UnicodeDecodeError:
                return [], raw, problem_of(raw, "csv", "", len(self._taken))
        return fields, raw, None

    def __iter__(self) -> _RecordReader:
        return self

    def __next__(self) -> str:
        """Give csv the record's next line. Bytes that are no UTF-8 are let through: they end no record."""
        if self._given is not None:
            raw, self._given = self._given, None
        else:
            raw = next(self._lines)[1]
        self._taken.append(raw)
        self._size += len(raw)
        if self._size > self._max_bytes:
            raise _TooLongError
        return raw.decode("utf-8", "surrogateescape")

    def _give_up(self) -> tuple[list[str], bytes, Unreadable]:
        """Pass over what can't be read, to where reading is certain again."""
        boundary = _Boundary(self._delimiter, self._end)
        for raw in self._taken:
            boundary.read(raw)
        while not boundary.is_certain and (following := next(self._lines, None)) is not None:
            boundary.read(following[1])
            self._size += len(following[1])
            if self._size <= self._max_bytes:
                self._taken.append(following[1])
        kept = b"".join(self._taken)
        lines = max(1, boundary.line_ends + (not boundary.is_at_line_end))
        span = "" if lines == 1 else f", so {lines} lines can't be told apart"
        if boundary.is_ambiguous:
            problem = problem_of(kept, "csv", f"a quote in a quoted value is not doubled{span}", lines)
        elif not boundary.is_certain and not boundary.is_at_record_end:
            problem = problem_of(kept, "csv", f"a quoted value does not end before the file does{span}", lines)
        elif self._size > self._max_bytes:
            problem = Unreadable("too_long", f"the record is longer than {self._max_bytes} bytes", lines)
        else:
            problem = problem_of(kept, "csv", f"holds a line end of another kind outside quotes{span}", lines)
        return [], kept if self._size <= self._max_bytes else kept[:KEPT_BYTES], problem


_START, _TEXT, _QUOTED, _CLOSED = range(4)  # of a value; within one that has no quotes, within one that has, behind it
_AT_QUOTE = (_QUOTED, _TEXT, _CLOSED, _QUOTED)  # the state after a quote, by the state before it
_AT_DELIMITER = (_START, _START, _QUOTED, _START)
_AT_OTHER_END = (_TEXT, _TEXT, _QUOTED, _CLOSED)  # a CR before the LF that ends the line
_AT_TEXT = (_TEXT, _TEXT, _QUOTED, _TEXT)  # text behind the closing quote: the value goes on without quotes,
_AT_TEXT_QUOTED = (_TEXT, _TEXT, _QUOTED, _QUOTED)  # or it has not ended yet, and the quote is part of it


class _Boundary:
    """Finds where a record ends in both ways in which a quote that is not doubled can be read."""

    def __init__(self, delimiter: bytes, end: bytes) -> None:
        apart = re.escape(delimiter)
        self._tokens = re.compile(b'"|\r|\n|' + apart + b"|(?:(?!" + apart + b')[^"\r\n])+')
        self._delimiter = delimiter
        self._end = end
        self._states = (_START, _START)
        self.is_at_line_end = False
        self.is_ambiguous = False
        self.line_ends = 0

    @property
    def is_at_record_end(self) -> bool:
        return self._states == (_START, _START)

    @property
    def is_certain(self) -> bool:
        return self.is_at_line_end and self.is_at_record_end

    def read(self, raw: bytes) -> None:
        """Go on with a line, or a piece of one."""
        self.line_ends += raw.count(self._end)
        self.is_at_line_end = raw.endswith(self._end)
        place = 0
        while place < len(raw):
            if self._states == (_QUOTED, _QUOTED):  # nothing but a quote matters
                place = raw.find(b'"', place)
                if place < 0:
                    return
            token = self._tokens.match(raw, place)
            assert token is not None
            place = token.end()
            unquoted, quoted = self._states
            if token[0] == b'"':
                self._states = (_AT_QUOTE[unquoted], _AT_QUOTE[quoted])
            elif token[0] in (self._delimiter, self._end):
                self._states = (_AT_DELIMITER[unquoted], _AT_DELIMITER[quoted])
            elif token[0] in (b"\r", b"\n"):
                self._states = (_AT_OTHER_END[unquoted], _AT_OTHER_END[quoted])
            else:
                self.is_ambiguous |= _CLOSED in self._states
                self._states = (_AT_TEXT[unquoted], _AT_TEXT_QUOTED[quoted])
