"""Files read row by row, plain or gzipped: JSON lines and CSV records, without ever holding a file whole.

Every row comes as a `Line`. What can't be read as a row is a line with a problem; what makes the whole file unreadable
is a FileError.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from include.storage import UnavailableFileError, UnusableFileError

_CHUNK = 1 << 18
_KEPT_BYTES = 1 << 16  # of a line that is too long, for the reject
_RECORD_LINES = 100  # a quoted CSV value may span so many lines


# A row: line number, bytes as they stood in the file, parsed value, and the problem that kept it from being parsed, as
# (code, reason). A plain tuple, because one is made for each row: a named one takes 0.3 s longer for a million rows,
# which land in about nine.
Line = tuple[int, bytes, Any, tuple[str, str] | None]


class Stream(Protocol):
    """What reading lines needs of an open file."""

    def read(self, size: int, /) -> bytes: ...

    def readline(self, size: int = -1, /) -> bytes: ...


class _Hashed(io.RawIOBase):
    """A stream that knows the hash of what went through it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._stream.readinto(buffer)  # type: ignore[attr-defined]
        self.digest.update(memoryview(buffer)[:count])
        return int(count)


@contextlib.contextmanager
def opened(file: Path, sha256: str) -> Iterator[Stream]:
    """Open a plain or gzipped file for reading from its first row. A byte order mark is skipped.

    `sha256` is the file's hash. At the end of the block, UnavailableFileError says that the file is another one by now,
    and UnusableFileError that its gzip is damaged or cut short.
    """
    with file.open("rb", buffering=0) as raw:
        hashed = _Hashed(raw)
        buffered = io.BufferedReader(hashed, _CHUNK)
        is_gzip = buffered.peek(2)[:2] == b"\x1f\x8b"
        if file.suffix == ".gz" and not is_gzip:
            raise UnusableFileError("is named .gz and holds no gzip: send it again")
        content: Any = io.BufferedReader(gzip.GzipFile(fileobj=buffered), _CHUNK) if is_gzip else buffered
        try:
            if content.peek(3)[:3] == b"\xef\xbb\xbf":
                content.read(3)
            yield content
            while content.read(_CHUNK):
                pass
        except EOFError:
            raise UnusableFileError("ends within its gzip stream: it was cut short, send it again") from None
        except (gzip.BadGzipFile, zlib.error):
            raise UnusableFileError("holds damaged gzip: send it again") from None
        while buffered.read(_CHUNK):
            pass
        if hashed.digest.hexdigest() != sha256:
            raise UnavailableFileError("changed while it was read: it is taken up by the next run")


def json_lines(stream: Stream, max_bytes: int, loads: Callable[[bytes], Any]) -> Iterator[Line]:
    """Yield every line that is not blank: parsed, or with the problem `json`, `encoding` or `too_long`.

    `max_bytes` is the longest line that is parsed; `loads` parses one and raises ValueError.
    """
    for number, raw in enumerate(_physical_lines(stream, max_bytes), 1):
        if len(raw) > max_bytes:
            yield (number, raw[:_KEPT_BYTES], None, ("too_long", f"the line is longer than {max_bytes} bytes"))
            continue
        try:
            value = loads(raw)
        except ValueError:
            if raw.strip():
                cut = "" if raw.endswith(b"\n") else "; the file ends in it"
                yield (number, raw, None, _problem(raw, "json", f"the line is not JSON{cut}"))
            continue
        yield (number, raw, value, None)


def _problem(raw: bytes, code: str, reason: str) -> tuple[str, str]:
    """Return the problem of bytes that could not be parsed: the given one, or `encoding` where they are not UTF-8."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return "encoding", f"byte {error.start + 1} of the line is not UTF-8"
    return code, reason


def csv_records(stream: Stream, max_bytes: int, delimiter: str, columns: dict[str, bool]) -> Iterator[Line]:
    """Yield every record after the header as {column: text}; an empty value is None.

    `columns` says which columns are known and whether each is required. A record may span several lines inside quotes;
    a stray quote costs the one line that it stands in. Raises UnusableFileError for a header that does not fit.
    """
    csv.field_size_limit(1 << 30)  # process-wide and 128 KiB by default; max_bytes is the limit here
    lines = _Lines(_physical_lines(stream, max_bytes))
    header = _header(lines, delimiter, columns)
    for number, raw in lines:
        if len(raw) > max_bytes:
            yield (number, raw[:_KEPT_BYTES], None, ("too_long", f"the line is longer than {max_bytes} bytes"))
            continue
        if not raw.strip():
            continue
        record, fields = raw, _fields(raw, delimiter)
        if fields is None and raw.count(b'"') % 2:
            taken = []
            for following in lines:
                taken.append(following)
                record += following[1]
                if following[1].count(b'"') % 2 or len(taken) == _RECORD_LINES or len(record) > max_bytes:
                    break
            fields = _fields(record, delimiter) if len(record) <= max_bytes else None
            if fields is None or len(fields) != len(header):
                lines.back(taken)
                record, fields = raw, None
        if fields is None:
            yield (number, record, None, _problem(record, "csv", "the quotes of the line do not match"))
        elif len(fields) != len(header):
            reason = f"{len(fields)} values where the header has {len(header)}"
            yield (number, record, None, ("csv", reason))
        else:
            yield (number, record, dict(zip(header, (f or None for f in fields), strict=True)), None)


def header_names(header: list[str]) -> list[str]:
    """Return the names of a header; an empty one, as an index or a trailing comma leaves it, is column_<place>."""
    named = list(header)
    for place, name in enumerate(header):
        if not name.strip():
            named[place] = f"column_{place + 1}"
            while named[place] in header:
                named[place] += "_"
    return named


class _Lines:
    """Numbered lines, some of which may be put back to be read again."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = enumerate(lines, 1)
        self._waiting: list[tuple[int, bytes]] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> tuple[int, bytes]:
        return self._waiting.pop(0) if self._waiting else next(self._lines)

    def back(self, lines: list[tuple[int, bytes]]) -> None:
        self._waiting[:0] = lines


def _header(lines: _Lines, delimiter: str, columns: dict[str, bool]) -> list[str]:
    first = next((raw for _, raw in lines if raw.strip()), None)
    if first is None:
        return []
    header = _fields(first, delimiter)
    if header is None:
        raise UnusableFileError(f"has a first line that is no header of names separated by {delimiter!r}")
    header = header_names(header)
    missing = [name for name, required in columns.items() if required and name not in header]
    unknown = [name for name in header if name not in columns]
    if missing or unknown or len(set(header)) != len(header):
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"has {len(unknown)} that the contract does not know"] if unknown else []
        parts += [] if missing or unknown else ["names a column twice"]
        raise UnusableFileError(f"has a header that {' and '.join(parts)}: mend the file or the contract")
    return header


def _fields(record: bytes, delimiter: str) -> list[str] | None:
    try:
        parsed = list(csv.reader([record.decode().rstrip("\r\n")], delimiter=delimiter, strict=True))
    except (csv.Error, UnicodeDecodeError):
        return None
    return parsed[0] if len(parsed) == 1 else None


def _physical_lines(stream: Stream, max_bytes: int) -> Iterator[bytes]:
    """Yield the lines of a stream with their ends. A line that is too long is cut, and still longer than max_bytes."""
    rest, is_cut = b"", False
    while block := stream.read(_CHUNK):
        if is_cut:  # the rest of a line that was too long is left out
            _, end, block = block.partition(b"\n")
            is_cut = not end
        *lines, rest = (rest + block).split(b"\n")
        yield from [line + b"\n" for line in lines]
        if len(rest) > max_bytes:
            yield rest
            rest, is_cut = b"", True
    if rest:
        yield rest
