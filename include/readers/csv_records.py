"""CSV records, which end where the dialect says: at a line end outside quotes that no escape stands before.

A quote opens a quoted value only where the value begins; anywhere else in an unquoted value it is text. A quoted value
may hold any number of lines, and a quote in it is doubled. All of this is as Python's csv module has it, which reads
the lines with a quote; a line without quotes and escapes is cut at its delimiters. `include.readers.csv_values` reads
the lines of dialects that the csv module does not know.

Where a quote in a quoted value is not doubled, nobody knows what was meant: the value may go on in the next line, or
not. What follows is then read in both ways, and reading is certain again at the first line end at which both say that a
record ends. Everything up to there is one reject.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from typing import Any

from include.readers.boundary import Boundary
from include.readers.csv_values import UnknownEscapeError, ValueReader
from include.readers.dialect import Dialect
from include.readers.streams import CHUNK, KEPT_BYTES, Line, Stream, Unreadable, numbered_lines, problem_of
from include.storage import UnusableFileError

_Lines = Iterator[tuple[int, bytes]]
_SEPARATOR = re.compile(rb'"?sep=([,;|\t]|[^\r\n]{1,4}?)"?\r*(\n|\r|$)', re.IGNORECASE)

csv.field_size_limit(1 << 30)  # process-wide and 128 KiB by default; max_bytes is the limit here


def csv_records(stream: Stream, max_bytes: int, dialect: Dialect, columns: dict[str, bool] | None) -> Iterator[Line]:
    """Yield every record after the header as {column: text}; a value that is missing is None.

    Only texts that are empty or hold the escape are told to be missing here. `columns` says which columns are known and
    whether each is required, None that any may be there; without a header they are the columns of the file.
    `max_bytes` is the longest record that is parsed. Lines end with LF, CR LF or CR, as the first one does. Raises
    UnusableFileError for a header that does not fit.
    """
    records = _records(stream, max_bytes, dialect, columns)
    return _without_last(records, dialect.skip_footer_rows) if dialect.skip_footer_rows else records


def _without_last(records: Iterator[Line], count: int) -> Iterator[Line]:
    held: deque[Line] = deque()
    for record in records:
        held.append(record)
        if len(held) > count:
            yield held.popleft()


def _records(stream: Stream, max_bytes: int, dialect: Dialect, columns: dict[str, bool] | None) -> Iterator[Line]:
    first = stream.read(CHUNK)
    end = _line_end(first, dialect)
    lines = numbered_lines(stream, max_bytes, end, first)
    _skip_lines(lines, end, dialect.skip_rows or int(_names_separator(first, dialect)))
    reader = _RecordReader(lines, max_bytes, dialect, end)
    header = _header(lines, reader, dialect, end, columns) if dialect.header else list(columns or ())
    is_one = len(header) == 1
    ends, other_end, named = ("\r\n", "\r", "carriage return") if end == b"\n" else ("\r", "\n", "line feed")
    delimiter, trims, lstrips = dialect.delimiter, dialect.trim, dialect.skip_initial_space
    quote, escape, comment = (_bytes(text) for text in (dialect.quote_char, dialect.escape_char, dialect.comment_char))
    special = quote or escape or b"\n\n"  # which no line holds
    is_empty_missing, is_trailed = "" in dialect.missing_values, dialect.trailing_delimiter
    for number, raw in lines:
        if comment is not None and raw.startswith(comment):
            _skip_rest(lines, raw, end)
            continue
        if special in raw or len(raw) > max_bytes or (escape is not None and escape in raw):
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
                what = "outside quotes: quote the value" if quote else "in a value"
                yield (number, raw, None, Unreadable("csv", f"holds a {named} {what}"))
                continue
            fields = text.split(delimiter)
            if len(fields) == 1 and (not text or (text.isspace() and not is_one)):  # a blank line
                continue
            if lstrips:
                fields = [field.lstrip(" ") for field in fields]
        if trims:
            fields = [field and field.strip() for field in fields]
        if is_trailed and (len(fields) == 1 or fields.pop()):
            yield (number, raw, None, Unreadable("csv", f"does not end with the delimiter {delimiter!r}"))
            continue
        if len(fields) != len(header):
            names = "the header" if dialect.header else "the contract"
            reason = f"{len(fields)} values where {names} has {len(header)}"
            yield (number, raw, None, Unreadable("csv", reason, raw.rstrip(end).count(end) + 1))
        elif is_empty_missing and "" in fields:
            yield (number, raw, dict(zip(header, [field or None for field in fields], strict=True)), None)
        else:
            yield (number, raw, dict(zip(header, fields, strict=True)), None)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _skip_lines(lines: _Lines, end: bytes, count: int) -> None:
    for _ in range(count):
        for _, raw in lines:
            _skip_rest(lines, raw, end)
            break


def _skip_rest(lines: _Lines, raw: bytes, end: bytes) -> None:
    """Pass over what is left of a line, which comes in pieces where it is very long."""
    while not raw.endswith(end):
        raw = next(lines, (0, end))[1]


def _names_separator(first: bytes, dialect: Dialect) -> bool:
    """Return whether a file begins with the line sep=; which tells Excel what stands between the values.

    Raises UnusableFileError where that is not what the contract says.
    """
    found = _SEPARATOR.match(first)
    if found is None:
        return False
    said = found[1].decode("utf-8", "replace")
    if said != dialect.delimiter and said in (",", ";", "|", "\t"):
        raise UnusableFileError(
            f"says in its first line that {said!r} stands between its values, and the contract says"
            f" {dialect.delimiter!r}: correct one of them"
        )
    return said == dialect.delimiter


def header_names(header: list[str]) -> list[str]:
    """Return the names of a header; an empty one, as an index or a trailing comma leaves it, is column_<place>."""
    named = list(header)
    for place, name in enumerate(header):
        if not name.strip():
            named[place] = f"column_{place + 1}"
            while named[place] in header:
                named[place] += "_"
    return named


def _line_end(first: bytes, dialect: Dialect) -> bytes:
    """Return what ends the lines of a file, told by its first line: CR, or LF, which CRs may stand before.

    Two of them are what text mode under Windows makes of CR LF.
    """
    comment = _bytes(dialect.comment_char)
    is_record = not dialect.skip_rows and (comment is None or not first.startswith(comment))
    if dialect.quote_char is not None and is_record:  # in another line a quote is text
        quote = re.escape(dialect.quote_char.encode())
        first = re.sub(quote + b"(?:(?!" + quote + b").)*" + quote, b"", first, flags=re.DOTALL)
    found = re.search(rb"\r+\n|\r|\n", first)
    return b"\r" if found and found[0] == b"\r" else b"\n"


def _header(
    lines: _Lines, reader: _RecordReader, dialect: Dialect, end: bytes, columns: dict[str, bool] | None
) -> list[str]:
    comment = _bytes(dialect.comment_char)
    for _, first in lines:
        if comment is not None and first.startswith(comment):
            _skip_rest(lines, first, end)
        elif first.strip():
            break
    else:
        return []
    fields, _, problem = reader.read(first)
    if problem is not None:
        raise UnusableFileError(f"has a first line that is no header of names separated by {dialect.delimiter!r}")
    header = [field or "" for field in fields]
    if dialect.trim:
        header = [name.strip() for name in header]
    if dialect.trailing_delimiter and len(header) > 1 and not header[-1]:
        header.pop()
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

    def __init__(self, lines: _Lines, max_bytes: int, dialect: Dialect, end: bytes) -> None:
        self._lines = lines
        self._max_bytes = max_bytes
        self._dialect = dialect
        self._end = end
        self._given: bytes | None = None  # the first line, which csv has not asked for yet
        self._taken: list[bytes] = []
        self._size = 0
        self._reader: Iterator[list[Any]] = _csv_reader(self, dialect)

    def read(self, first: bytes) -> tuple[list[Any], bytes, Unreadable | None]:
        """Return a record's values and bytes; what is wrong with it, and then as much of its bytes as is kept."""
        self._given, self._taken, self._size = first, [], 0
        problem = None
        try:
            fields = next(self._reader)
        except (csv.Error, _TooLongError):
            return self._give_up()
        except UnknownEscapeError as error:
            fields, problem = [], _escape_problem(self._dialect, str(error), len(self._taken))
        raw = self._taken[0] if len(self._taken) == 1 else b"".join(self._taken)
        if not raw.isascii():
            try:
                raw.decode()
            except UnicodeDecodeError:
                return [], raw, problem_of(raw, "csv", "", len(self._taken))
        return fields, raw, problem

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

    def _give_up(self) -> tuple[list[Any], bytes, Unreadable]:
        """Pass over what can't be read, to where reading is certain again."""
        boundary = Boundary(self._dialect, self._end)
        for raw in self._taken:
            boundary.read(raw)
        while not boundary.is_certain and (following := next(self._lines, None)) is not None:
            boundary.read(following[1])
            self._size += len(following[1])
            if self._size <= self._max_bytes:
                self._taken.append(following[1])
        boundary.finish()
        kept = b"".join(self._taken)
        lines = max(1, boundary.line_ends + (not boundary.is_at_line_end))
        span = "" if lines == 1 else f", so {lines} lines can't be told apart"
        if boundary.is_ambiguous:
            how = "doubled" if self._dialect.double_quote else "escaped"
            problem = problem_of(kept, "csv", f"a quote in a quoted value is not {how}{span}", lines)
        elif not boundary.is_certain and not boundary.is_at_record_end:
            problem = problem_of(kept, "csv", f"a quoted value does not end before the file does{span}", lines)
        elif self._size > self._max_bytes:
            problem = Unreadable("too_long", f"the record is longer than {self._max_bytes} bytes", lines)
        else:
            problem = problem_of(kept, "csv", f"holds a line end of another kind outside quotes{span}", lines)
        return [], kept if self._size <= self._max_bytes else kept[:KEPT_BYTES], problem


def _csv_reader(lines: Iterator[str], dialect: Dialect) -> Iterator[list[Any]]:
    if not dialect.is_plain:
        return ValueReader(lines, dialect)
    return csv.reader(
        lines,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote_char,
        quoting=csv.QUOTE_MINIMAL if dialect.quote_char else csv.QUOTE_NONE,
        skipinitialspace=dialect.skip_initial_space,
        strict=True,
    )


def _escape_problem(dialect: Dialect, char: str, lines: int) -> Unreadable:
    if not char:
        return Unreadable("csv", f"an escape {dialect.escape_char!r} is the last character of the file", lines)
    advice = "" if dialect.escape_sequences else ": see escapeSequences"
    return Unreadable(
        "csv", f"an escape {dialect.escape_char!r} stands before {char!r}, where it means nothing{advice}", lines
    )
