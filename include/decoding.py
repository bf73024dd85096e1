"""Files in any encoding, read as UTF-8."""

from __future__ import annotations

import codecs
import io
import re
from typing import Any, Protocol

from include.storage import UnusableFileError

_CHUNK = 1 << 18
# Bytes that the encoding does not know and that begin a character of UTF-8: with other unknown bytes behind them they
# could be taken for one. The byte FF, which is put before them, is a part of none.
_BEGINS_CHARACTER = re.compile("[\udcc2-\udcf4]")


class Readable(Protocol):
    """What decoding needs of an open file."""

    def read(self, size: int, /) -> bytes: ...


def decoded(stream: Readable, encoding: str) -> Any:
    """Return a stream of the same text in UTF-8; the stream itself where it is UTF-8 already.

    A byte order mark is left out. A byte that the encoding does not know is no UTF-8 in the stream, so that its line is
    rejected, see `unknown_character`. Where an encoding can't go on after one, reading raises UnusableFileError.
    """
    if codecs.lookup(encoding).name == "utf-8":
        return stream
    return io.BufferedReader(_Decoded(stream, encoding), _CHUNK)


def unknown_character(line: bytes, encoding: str) -> str:
    """Return the place of the first byte of a decoded line that its file's encoding does not know."""
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return f"character {len(line[: error.start].decode()) + 1} of the line is not {encoding}"
    return f"the line is not {encoding}"


class _Decoded(io.RawIOBase):
    def __init__(self, stream: Readable, encoding: str) -> None:
        self._stream = stream
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
        self._rest = b""
        self._is_begin = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            block = self._stream.read(_CHUNK)
            try:
                text = self._decoder.decode(block, not block)
            except UnicodeDecodeError:
                raise UnusableFileError(
                    f"is not {self._encoding} throughout: correct the encoding in the contract, or send it again"
                ) from None
            if self._is_begin and text:
                text, self._is_begin = text.removeprefix("\ufeff"), False
            try:
                self._rest = text.encode()
            except UnicodeEncodeError:
                self._rest = _BEGINS_CHARACTER.sub("\udcff\\g<0>", text).encode("utf-8", "surrogateescape")
            if not block:
                break
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
