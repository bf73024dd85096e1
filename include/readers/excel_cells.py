"""What calamine does not tell of a sheet: cells that hold an error or a formula without a value, and how far it goes.

calamine gives such a cell as an empty one. And it keeps the whole area between the first and the last cell in memory:
two cells in opposite corners of a sheet would take 500 GB and end the process. So the sheet is looked through first.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import BinaryIO
from xml.etree import ElementTree

from include.readers.excel_records import look_through_xls
from include.readers.packing import too_large
from include.storage import UnusableFileError

ERROR = "holds an error: mend it"
_NOT_CALCULATED = "holds a formula that was saved without its value: open the workbook in Excel and save it"
_CHUNK = 1 << 20
_MAX_ROW_BYTES = 64 << 20


@dataclass
class OddCells:
    """How many rows and columns a sheet has, and its cells whose value calamine does not tell."""

    is_excel: bool  # and not OpenDocument, which has dates of any year
    rows: int = 0
    columns: int = 0
    reasons: dict[tuple[int, int], tuple[str, str]] = field(default_factory=dict)  # row from 1, column from 0

    def reach(self, row: int, column: int) -> None:
        """Take note of a cell that holds something."""
        self.rows, self.columns = max(self.rows, row), max(self.columns, column + 1)


def odd_cells(file: BinaryIO, sheet: int, max_bytes: int) -> OddCells:
    """Look through a sheet, given by its place in the workbook. Raises UnusableFileError for a damaged workbook.

    Raises UnusableFileError, too, where the workbook is larger than max_bytes unpacked.
    """
    file.seek(0)
    if file.read(2) != b"PK":
        found = OddCells(is_excel=True)
        for row, column, is_error in look_through_xls(file, sheet):
            found.reach(row, column)
            if is_error:
                found.reasons[row, column] = ("#", ERROR)
        return found
    try:
        with zipfile.ZipFile(file) as parts:
            if sum(part.file_size for part in parts.infolist()) > max_bytes:
                raise too_large(max_bytes)
            names = set(parts.namelist())
            if "content.xml" in names:
                return _of_open_document(parts)
            if "xl/workbook.bin" in names:
                return _of_xlsb(parts, _part_of_xlsb(parts, sheet))
            return _of_xlsx(parts, _part_of_xlsx(parts, sheet))
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, IndexError, struct.error, ElementTree.ParseError):
        raise UnusableFileError("is a damaged workbook: open it in Excel, save it and send it again") from None


# --- xlsx -------------------------------------------------------------------------------------------------------------

_CELL = re.compile(rb'<(?:\w+:)?c\s[^<>]*?\br="([A-Z]{1,3})([0-9]{1,7})"[^<>]*(?<!/)>')  # with something in it
_NO_VALUE = rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
_SUSPECT = re.compile(rb"""\st=["']e["']|(?:</(?:\w+:)?f>|<(?:\w+:)?f\b[^<>]*/>)\s*""" + _NO_VALUE)
_WHOLE_CELL = re.compile(rb"<(?:\w+:)?c\b([^<>]*)(?<!/)>(.*?)</(?:\w+:)?c>", re.DOTALL)
_ADDRESS = re.compile(rb"""\sr=["']([A-Z]{1,3})([0-9]{1,7})["']""")
_TYPE = re.compile(rb"""\st=["'](\w+)["']""")
_VALUE = re.compile(rb"<(?:\w+:)?v>([^<]+)</")


def _of_xlsx(parts: zipfile.ZipFile, part: str) -> OddCells:
    found = OddCells(is_excel=True)
    for rows in _pieces(parts, part, re.compile(rb"</(?:\w+:)?row>")):
        cells = _CELL.findall(rows)
        if cells:
            found.reach(max(int(row) for row in {row for _, row in cells}), 0)
            found.reach(0, max(_column(letters) for letters in {letters for letters, _ in cells}))
        if _SUSPECT.search(rows):
            for attributes, content in _WHOLE_CELL.findall(rows):
                _look_at(attributes, content, found)
    return found


def _look_at(attributes: bytes, content: bytes, found: OddCells) -> None:
    """Take note of a cell that holds an error or a formula without a value."""
    kind = _TYPE.search(attributes)
    value = _VALUE.search(content)
    is_error = kind is not None and kind[1] == b"e"
    is_text = kind is not None and kind[1] in (b"str", b"inlineStr")  # of which an empty one is a value
    if is_error or (b"<f" in content.replace(b":f", b"<f") and value is None and not is_text):
        address = _ADDRESS.search(attributes)
        if address is None:
            raise UnusableFileError(f"has a cell without an address that {ERROR if is_error else _NOT_CALCULATED}")
        shown = value[1].decode("utf-8", "replace") if value is not None else "#"
        place = (int(address[2]), _column(address[1]))
        found.reasons[place] = (shown, ERROR) if is_error else ("#", _NOT_CALCULATED)


def _pieces(parts: zipfile.ZipFile, part: str, end: re.Pattern[bytes]) -> Iterator[bytes]:
    """Yield the text of a part of a workbook, cut behind ends of rows."""
    rest = b""
    with parts.open(part) as stream:
        while block := stream.read(_CHUNK):
            text = rest + block
            ends = [found.end() for found in end.finditer(text, max(0, len(rest) - 40))]
            if not ends:
                rest = text
                if len(rest) > _MAX_ROW_BYTES:
                    raise UnusableFileError(f"has a row of more than {_MAX_ROW_BYTES} bytes: save it as CSV")
                continue
            yield text[: ends[-1]]
            rest = text[ends[-1] :]
    yield rest


def _part_of_xlsx(parts: zipfile.ZipFile, sheet: int) -> str:
    book = next(name for name in ("xl/workbook.xml", *_workbooks(parts)) if name in parts.namelist())
    root = ElementTree.fromstring(parts.read(book))  # noqa: S314  # expat bounds how far entities grow
    sheets = [element for element in root.iter() if element.tag.endswith("}sheet")]
    link = next(value for name, value in sheets[sheet].attrib.items() if name.endswith("}id"))
    return _linked(parts, book, link)


def _workbooks(parts: zipfile.ZipFile) -> list[str]:
    return [name for name in parts.namelist() if name.lower().endswith("workbook.xml")]


def _linked(parts: zipfile.ZipFile, book: str, link: str) -> str:
    """Return the name of the part that a workbook means by a link."""
    folder = PurePosixPath(book).parent
    links = ElementTree.fromstring(  # noqa: S314
        parts.read(f"{folder}/_rels/{PurePosixPath(book).name}.rels")
    )
    target = next(element.attrib["Target"] for element in links.iter() if element.attrib.get("Id") == link)
    return target.lstrip("/") if target.startswith("/") else f"{folder}/{target}"


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1


# --- xlsb: records of a number, a size and content ([MS-XLSB] 2.1.4) --------------------------------------------------

_ROW, _SHEET, _ERRORS, _EMPTY, _LAST_CELL = 0, 156, (3, 11), 1, 11


def _of_xlsb(parts: zipfile.ZipFile, part: str) -> OddCells:
    found = OddCells(is_excel=True)
    row = 0
    for kind, content in _records(parts.read(part)):
        if kind == _ROW:
            row = struct.unpack_from("<I", content)[0] + 1
        elif _EMPTY < kind <= _LAST_CELL:
            column = struct.unpack_from("<I", content)[0]
            found.reach(row, column)
            if kind in _ERRORS:
                found.reasons[row, column] = ("#", ERROR)
    return found


def _part_of_xlsb(parts: zipfile.ZipFile, sheet: int) -> str:
    sheets = [content for kind, content in _records(parts.read("xl/workbook.bin")) if kind == _SHEET]
    length = struct.unpack_from("<I", sheets[sheet], 8)[0]
    return _linked(parts, "xl/workbook.bin", sheets[sheet][12 : 12 + 2 * length].decode("utf-16-le"))


def _records(content: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(content):
        kind, place = content[place], place + 1
        if kind & 0x80:
            kind, place = kind & 0x7F | (content[place] & 0x7F) << 7, place + 1
        size = shift = 0
        for shift in (0, 7, 14, 21):
            byte, place = content[place], place + 1
            size |= (byte & 0x7F) << shift
            if not byte & 0x80:
                break
        yield kind, content[place : place + size]
        place += size


# --- OpenDocument -----------------------------------------------------------------------------------------------------


def _of_open_document(parts: zipfile.ZipFile) -> OddCells:
    """Look for errors in all of a workbook's sheets: where they stand can't be told without counting repeated cells."""
    for text in _pieces(parts, "content.xml", re.compile(rb"</table:table-row>|<table:table-row[^<>]*/>")):
        if b'calcext:value-type="error"' in text:
            raise UnusableFileError(
                "holds an error such as #N/A in a cell: mend it, or save it as .xlsx, of which only its row is rejected"
            )
    return OddCells(is_excel=False)
