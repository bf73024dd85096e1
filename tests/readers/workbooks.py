"""Writes workbooks for tests part by part, so that a cell may hold anything: .xlsx, .xlsb and .ods.

FILES has two that other programs wrote: an .xls with two sheets, and an .xlsx that is encrypted.
"""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

FILES = Path(__file__).parent / "files"

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
DATE, TIMESTAMP, DURATION = 1, 2, 3  # styles of cells

Cell = str | int | float | bool | None


def cell(address: str, value: Cell, style: int = 0) -> str:
    """Return a cell's XML; a text that begins with < is the cell's own content and attributes: `<t="e"><v>#N/A</v>`."""
    if value is None:
        return ""
    begin = f'<c r="{address}"' + (f' s="{style}"' if style else "")
    if isinstance(value, str) and value.startswith("<"):
        attributes, _, content = value[1:].partition(">")
        return f"{begin} {attributes}>{content}</c>"
    if isinstance(value, str):
        return f'{begin} t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
    if isinstance(value, bool):
        return f'{begin} t="b"><v>{int(value)}</v></c>'
    return f"{begin}><v>{value!r}</v></c>"


def sheet(rows: list[list[Cell | tuple[Cell, int]]], first: int = 1, merged: str = "") -> str:
    """Return the XML of a sheet; a cell may come with its style. A row without cells is left out."""
    lines = []
    for number, row in enumerate(rows, first):
        cells = [each if isinstance(each, tuple) else (each, 0) for each in row]
        content = "".join(cell(f"{chr(65 + place)}{number}", *each) for place, each in enumerate(cells))
        lines += [f'<row r="{number}">{content}</row>'] if row else []
    merges = f'<mergeCells count="1"><mergeCell ref="{merged}"/></mergeCells>' if merged else ""
    return f"<sheetData>{''.join(lines)}</sheetData>{merges}"


def xlsx(*sheets: str, names: tuple[str, ...] = ("Data", "Other", "Third"), hidden: tuple[str, ...] = ()) -> bytes:
    """Return an .xlsx with the sheets, each the XML of its rows."""
    made = io.BytesIO()
    named = list(zip(range(1, len(sheets) + 1), names, sheets, strict=False))
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("[Content_Types].xml", f'<Types xmlns="{_PACKAGE}/content-types"/>')
        office = f'<Relationship Id="r1" Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/>'
        parts.writestr("_rels/.rels", f'<Relationships xmlns="{_PACKAGE}/relationships">{office}</Relationships>')
        states = {name: "hidden" if name in hidden else "visible" for name in names}
        book = "".join(
            f'<sheet name={quoteattr(name)} sheetId="{n}" state="{states[name]}" r:id="r{n}"/>' for n, name, _ in named
        )
        parts.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><sheets>{book}</sheets></workbook>'
        )
        # The parts are not called in the order of the sheets.
        links = "".join(
            f'<Relationship Id="r{n}" Type="{_RELATIONS}/worksheet" Target="worksheets/s{9 - n}.xml"/>'
            for n, _, _ in named
        )
        links += f'<Relationship Id="s" Type="{_RELATIONS}/styles" Target="styles.xml"/>'
        parts.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{_PACKAGE}/relationships">{links}</Relationships>'
        )
        styles = "".join(f'<xf numFmtId="{number}"/>' for number in (0, 14, 22, 46))
        parts.writestr(
            "xl/styles.xml", f'<styleSheet xmlns="{_MAIN}"><cellXfs count="4">{styles}</cellXfs></styleSheet>'
        )
        for n, _, content in named:
            parts.writestr(f"xl/worksheets/s{9 - n}.xml", f'<worksheet xmlns="{_MAIN}">{content}</worksheet>')
    return made.getvalue()


def xlsb(rows: list[list[str | float | None]]) -> bytes:
    """Return an .xlsb with one sheet; the text #N/A is that error."""

    def record(kind: int, content: bytes = b"") -> bytes:
        number = bytes([kind]) if kind < 128 else bytes([kind & 0x7F | 0x80, kind >> 7])
        size = len(content)
        assert size < 128
        return number + bytes([size]) + content

    def text(value: str) -> bytes:
        return struct.pack("<I", len(value)) + value.encode("utf-16-le")

    body = record(129) + record(148, struct.pack("<4I", 0, len(rows), 0, 9)) + record(145)
    for number, row in enumerate(rows):
        body += record(0, struct.pack("<IIHBBB", number, 0, 300, 0, 0, 0) + struct.pack("<I", 0))
        for place, value in enumerate(row):
            begin = struct.pack("<II", place, 0)
            if value == "#N/A":
                body += record(3, begin + b"\x2a")
            elif isinstance(value, str):
                body += record(6, begin + text(value))
            elif value is not None:
                body += record(5, begin + struct.pack("<d", value))
    body += record(146) + record(130)
    book = record(131) + record(143) + record(156, struct.pack("<II", 0, 1) + text("r1") + text("Data"))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as parts:
        parts.writestr("[Content_Types].xml", f'<Types xmlns="{_PACKAGE}/content-types"/>')
        parts.writestr("xl/workbook.bin", book + record(144) + record(132))
        link = f'<Relationship Id="r1" Type="{_RELATIONS}/worksheet" Target="worksheets/sheet1.bin"/>'
        parts.writestr(
            "xl/_rels/workbook.bin.rels", f'<Relationships xmlns="{_PACKAGE}/relationships">{link}</Relationships>'
        )
        parts.writestr("xl/worksheets/sheet1.bin", body)
    return made.getvalue()


def ods(rows: list[list[str]]) -> bytes:
    """Return an .ods with one sheet; a cell is the attributes of its element, or a text."""
    made = io.BytesIO()
    name = "urn:oasis:names:tc:opendocument:xmlns"
    content = "".join(
        "<table:table-row>"
        + "".join(
            f"<table:table-cell {each}/>"
            if "=" in each
            else f'<table:table-cell office:value-type="string"><text:p>{escape(each)}</text:p></table:table-cell>'
            for each in row
        )
        + "</table:table-row>"
        for row in rows
    )
    with zipfile.ZipFile(made, "w") as parts:
        parts.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        parts.writestr(
            "content.xml",
            f'<office:document-content xmlns:office="{name}:office:1.0" xmlns:table="{name}:table:1.0"'
            f' xmlns:text="{name}:text:1.0" xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:'
            f'calcext:1.0"><office:body><office:spreadsheet><table:table table:name="Data">{content}</table:table>'
            "</office:spreadsheet></office:body></office:document-content>",
        )
        parts.writestr("META-INF/manifest.xml", "<manifest/>")
    return made.getvalue()
