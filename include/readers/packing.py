"""Packed streams, unpacked while they are read: gzip, bzip2, xz and zstd, each of one member or of several."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

from include.storage import UnusableFileError

_CHUNK = 1 << 18


class Packing(NamedTuple):
    """A way to pack a stream: its name, how such files are called, and how they begin."""

    name: str
    suffix: str
    begin: re.Pattern[bytes]


PACKINGS = (
    Packing("gzip", ".gz", re.compile(rb"\x1f\x8b")),
    Packing("bzip2", ".bz2", re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")),
    Packing("xz", ".xz", re.compile(rb"\xfd7zXZ\0")),
    Packing("zstd", ".zst", re.compile(rb"\x28\xb5\x2f\xfd")),
)
SUFFIXES = tuple(packing.suffix for packing in PACKINGS)
BEGIN_BYTES = 16  # that `packing_of` needs


def packing_of(begin: bytes) -> Packing | None:
    """Return how a file is packed that begins so; None for one that is not."""
    return next((packing for packing in PACKINGS if packing.begin.match(begin)), None)


def without_suffix(name: str) -> str:
    """Return a file's name without the .gz, .bz2, .xz, .zst or .zip at its end."""
    return re.sub(r"\.(gz|bz2|xz|zst|zip)$", "", name, flags=re.IGNORECASE)


def unpacked(stream: Any, packing: Packing) -> io.BufferedReader:
    """Return what a packed stream holds. Reading raises UnusableFileError for one that is damaged or cut short."""
    raw: Any
    if packing.name == "gzip":
        raw = _Decompressed(gzip.GzipFile(fileobj=stream), packing.name)
    elif packing.name == "zstd":
        import pyarrow as pa  # a tenth of a second to import, and only zstd needs it

        raw = _Decompressed(pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd"), packing.name)
    elif packing.name == "bzip2":
        raw = _Decompressed(_Members(stream, bz2.BZ2Decompressor), packing.name)
    else:
        raw = _Decompressed(_Members(stream, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ)), packing.name)
    return io.BufferedReader(raw, _CHUNK)


def copy_limited(stream: Any, target: BinaryIO | io.RawIOBase, max_bytes: int) -> None:
    """Copy what is unpacked to a file. Raises UnusableFileError where it is more than max_bytes."""
    size = 0
    while block := stream.read(_CHUNK):
        size += len(block)
        if size > max_bytes:
            raise too_large(max_bytes)
        target.write(block)


def too_large(max_bytes: int) -> UnusableFileError:
    """Return the error of a file that holds more than may be unpacked."""
    return UnusableFileError(
        f"holds more than {max_bytes} bytes unpacked: raise maxBytes in the contract if that is right"
    )


class _Decompressed(io.RawIOBase):
    """A decompressing stream whose errors are sentences."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        self._name = name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            block = self._stream.read(len(buffer))
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # of the disk
                raise
            said = str(error).lower()
            if isinstance(error, EOFError) or "truncated" in said:
                sentence = f"ends within its {self._name} stream: it was cut short, send it again"
            elif "too much memory" in said:
                sentence = f"needs more memory than {self._name} allows: pack it with a smaller window"
            else:
                sentence = f"holds damaged {self._name}: send it again"
            raise UnusableFileError(sentence) from None
        buffer[: len(block)] = block
        return len(block)


class _Members:
    """The members of a bzip2 or xz stream, one after the other.

    The classes of bz2 and lzma pass over what stands behind a member and is none. Here it is an error.
    """

    def __init__(self, stream: BinaryIO, member: Callable[[], Any]) -> None:
        self._stream = stream
        self._new_member = member
        self._member: Any = None
        self._rest = b""  # read, and behind the member

    def read(self, size: int) -> bytes:
        """Return up to so many bytes, none at the end."""
        while True:
            if self._member is None:
                self._rest = self._rest.lstrip(b"\0") or self._stream.read(_CHUNK).lstrip(b"\0")  # padding of xz
                if not self._rest:
                    return b""
                self._member = self._new_member()
            given = self._rest
            self._rest = b""
            if not given and self._member.needs_input:
                given = self._stream.read(_CHUNK)
                if not given:
                    raise EOFError
            block: bytes = self._member.decompress(given, size)
            if self._member.eof:
                self._rest = self._member.unused_data
                self._member = None
            if block:
                return block
