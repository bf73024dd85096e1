"""A file opened for reading, cut into its lines, and what a row is that was read."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from include.readers.kinds import HEAD_BYTES, check_kind, told_encoding
from include.readers.packing import BEGIN_BYTES, PACKINGS, packing_of, unpacked
from include.storage import UnavailableFileError, UnusableFileError

CHUNK = 1 << 18  # bytes that are read at once
KEPT_BYTES = 1 << 16  # of a row that is too long, for the reject


class UnreadableRowError(ValueError):
    """What a parser raises for a row that it can say more about than that it is damaged."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Unreadable(NamedTuple):
    """Why something is no row: a code, a sentence, and how many lines of the file it takes, each perhaps a row."""

    code: str
    reason: str
    lines: int = 1


# A row: number of its first line, bytes as they stood in the file, parsed value, and what kept it from being parsed.
# A plain tuple, because one is made for each row: a named one takes 0.3 s longer for a million rows, which land in
# about nine.
Line = tuple[int, bytes, Any, Unreadable | None]


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

    def fileno(self) -> int:
        return self._stream.fileno()

    def readinto(self, buffer: Any) -> int:
        count = self._stream.readinto(buffer)  # type: ignore[attr-defined]
        self.digest.update(memoryview(buffer)[:count])
        return int(count)


@contextlib.contextmanager
def opened(file: Path, sha256: str | None, encoding: str | None = "UTF-8", format_: str = "text") -> Iterator[Stream]:
    """Open a plain or packed file for reading from its first row. A byte order mark is skipped.

    `sha256` is the file's hash. At the end of the block, UnavailableFileError says that the file is another one by now,
    and UnusableFileError that what it is packed with is damaged or cut short. A file of another kind, such as a PDF, is
    an UnusableFileError at once: `format_` is parquet, xlsx, or text for JSON and CSV. `encoding` is what the text is
    expected in, None for what the first bytes tell; the stream has the bytes as they are. Without a `sha256` the block
    may end before the file does, and nothing is said of the rest.
    """
    with file.open("rb", buffering=0) as raw:
        hashed = _Hashed(raw)
        buffered = io.BufferedReader(hashed, CHUNK)
        packing = packing_of(buffered.peek(BEGIN_BYTES)[:BEGIN_BYTES])
        named = next((each for each in PACKINGS if each.suffix == file.suffix), None)
        if named is not None and packing is not named:
            raise UnusableFileError(f"is named {named.suffix} and holds no {named.name}: send it again")
        content = unpacked(buffered, packing) if packing is not None else buffered
        begin = content.peek(HEAD_BYTES)[:HEAD_BYTES]
        check_kind(begin, encoding or told_encoding(begin), format_)
        if content.peek(3)[:3] == b"\xef\xbb\xbf":
            content.read(3)
        yield content
        if sha256 is None:
            return
        while content.read(CHUNK):
            pass
        while buffered.read(CHUNK):
            pass
        if hashed.digest.hexdigest() != sha256:
            raise UnavailableFileError("changed while it was read: it is taken up by the next run")


def line_blocks(
    stream: Stream, max_bytes: int, end: bytes = b"\n", first: bytes = b""
) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the lines of a stream with their ends, some at once, with the number of the first of them.

    `first` is what was read of the stream already. A line longer than max_bytes may come in pieces, each alone and with
    the line's number: all but the last are without the line's end, and the first is longer than max_bytes.
    """
    number, rest, block = 1, b"", first or stream.read(CHUNK)
    while block:
        *lines, rest = (rest + block).split(end)
        if lines:
            yield number, [line + end for line in lines]
            number += len(lines)
        if len(rest) > max_bytes:
            yield number, [rest]
            rest = b""
        block = stream.read(CHUNK)
    if rest:
        yield number, [rest]


def numbered_lines(
    stream: Stream, max_bytes: int, end: bytes = b"\n", first: bytes = b""
) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of `line_blocks` one by one, each with its number."""
    for number, lines in line_blocks(stream, max_bytes, end, first):
        yield from zip(range(number, number + len(lines)), lines, strict=True)


def problem_of(raw: bytes, code: str, reason: str, lines: int = 1) -> Unreadable:
    """Return what is wrong with bytes that could not be parsed: the given, or `encoding` where they are not UTF-8."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return Unreadable("encoding", f"byte {error.start + 1} of the line is not UTF-8", lines)
    return Unreadable(code, reason, lines)
