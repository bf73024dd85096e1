"""Files in any encoding, read as UTF-8."""

from __future__ import annotations

import codecs
import io
from typing import Any, Protocol

from include.storage import UnusableFileError

_CHUNK = 1 << 18


class Readable(Protocol):
    """What decoding needs of an open file."""

    def read(self, size: int, /) -> bytes: ...


def decoded(stream: Readable, encoding: str) -> Any:
    """Return a stream of the same text in UTF-8; the stream itself where it is UTF-8 already.

    A byte that the encoding does not know stays as it is, so that it is no UTF-8 and its line is rejected. Where an
    encoding can't go on after one, reading raises UnusableFileError.
    """
    if codecs.lookup(encoding).name == "utf-8":
        return stream
    return io.BufferedReader(_Decoded(stream, encoding), _CHUNK)


class _Decoded(io.RawIOBase):
    def __init__(self, stream: Readable, encoding: str) -> None:
        self._stream = stream
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
        self._rest = b""

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
            self._rest = text.encode("utf-8", "surrogateescape")
            if not block:
                break
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
