"""The cells of a sheet of an old .xls workbook, which is a file system in a file that holds a stream of records.

Sources: [MS-CFB] for the file system, [MS-XLS] 2.1.4 and 2.4 for the records.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from include.storage import UnusableFileError

_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_LAST_SECTOR = 0xFFFFFFFA  # the number of a sector is below
_BOUND_SHEET, _FILE_PASS, _END, _BOOL_OR_ERROR, _FORMULA = 0x85, 0x2F, 0x0A, 0x205, 0x06
_CELLS = (0x203, 0x204, 0xFD, 0x27E, _BOOL_OR_ERROR, _FORMULA)  # numbers and texts


def look_through_xls(file: BinaryIO, sheet: int) -> Iterator[tuple[int, int, bool]]:
    """Yield row (from 1), column (from 0) and whether it holds an error for the cells of a sheet that hold something.

    Raises UnusableFileError for a workbook that is damaged or encrypted.
    """
    file.seek(0)
    content = file.read()
    try:
        stream = _stream_of_workbook(content)
        starts = []
        for kind, data in _records(stream, 0):
            if kind == _FILE_PASS:
                raise UnusableFileError("is an encrypted workbook: send it without a password")
            if kind == _BOUND_SHEET:
                starts.append(struct.unpack_from("<I", data)[0])
        for kind, data in _records(stream, starts[sheet]):
            if kind in _CELLS:
                row, column = struct.unpack_from("<HH", data)
                is_error = (kind == _BOOL_OR_ERROR and data[7] == 1) or (
                    kind == _FORMULA and data[12:14] == b"\xff\xff" and data[6] == 2
                )
                yield row + 1, column, is_error
    except (struct.error, IndexError, KeyError):
        raise UnusableFileError("is a damaged workbook: open it in Excel, save it and send it again") from None


def check_not_encrypted(file: BinaryIO) -> None:
    """Raise UnusableFileError for an encrypted workbook, of either kind, and for a damaged .xls."""
    file.seek(0)
    if file.read(len(_MAGIC)) == _MAGIC:
        next(look_through_xls(file, 0), None)
    file.seek(0)


def _records(stream: bytes, place: int) -> Iterator[tuple[int, bytes]]:
    """Yield the records of one part of the stream, up to its end."""
    while place + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, place)
        if kind == _END:
            return
        yield kind, stream[place + 4 : place + 4 + size]
        place += 4 + size


def _stream_of_workbook(content: bytes) -> bytes:
    if not content.startswith(_MAGIC):
        return content  # of Excel 4 and older: nothing but records
    size = 1 << struct.unpack_from("<H", content, 30)[0]
    directory, _, smallest, small_table = struct.unpack_from("<IIII", content, 48)
    table = _table(content, size)
    entries = _chain(content, table, directory, size)
    names = {
        entries[place : place + 64].decode("utf-16-le", "replace").rstrip("\0"): entries[place : place + 128]
        for place in range(0, len(entries), 128)
    }
    if "EncryptedPackage" in names:
        raise UnusableFileError("is an encrypted workbook: send it without a password")
    entry = names.get("Workbook") or names["Book"]
    start, length = struct.unpack_from("<II", entry, 116)
    if length >= smallest:
        return _chain(content, table, start, size)[:length]
    root = _chain(content, table, struct.unpack_from("<I", names["Root Entry"], 116)[0], size)
    numbers = _chain(content, table, small_table, size)
    small = list(struct.unpack(f"<{len(numbers) // 4}I", numbers))
    return b"".join(root[each * 64 : each * 64 + 64] for each in _numbers(small, start))[:length]


def _table(content: bytes, size: int) -> list[int]:
    """Return the table that says which sector follows each sector."""
    sectors = list(struct.unpack_from("<109I", content, 76))
    following, count = struct.unpack_from("<II", content, 68)
    for _ in range(count):
        more = struct.unpack_from(f"<{size // 4}I", content, size * (following + 1))
        sectors += more[:-1]
        following = more[-1]
    table: list[int] = []
    for sector in sectors:
        if sector < _LAST_SECTOR:
            table += struct.unpack_from(f"<{size // 4}I", content, size * (sector + 1))
    return table


def _chain(content: bytes, table: list[int], start: int, size: int) -> bytes:
    return b"".join(content[size * (each + 1) : size * (each + 2)] for each in _numbers(table, start))


def _numbers(table: list[int], start: int) -> Iterator[int]:
    for _ in range(len(table) + 1):  # no more, where a chain has come back to its beginning
        if start >= _LAST_SECTOR:
            return
        yield start
        start = table[start]
