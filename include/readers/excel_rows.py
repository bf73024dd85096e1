"""Rows of a sheet of an Excel or OpenDocument workbook: .xlsx, .xls, .xlsb and .ods.

The columns are those of the header row, the rows those below it, numbered as the sheet numbers them. Empty rows are
passed over. A date comes as the text 2026-01-31, a time of a day as 23:59:59, both together as 2026-01-31T23:59:59, to
the millisecond, which is all that Excel tells apart. Of a formula the value counts that was saved with it.

A workbook keeps every number as a double: the shortest number that gives the double back comes out of it. Values that
are none make their row a problem: errors, formulas that nobody has calculated, parts of merged cells, and numbers
that have lost digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, BinaryIO

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from include.readers.csv_records import header_names
from include.readers.excel_cells import OddCells, odd_cells
from include.readers.excel_records import check_not_encrypted
from include.readers.streams import Line
from include.readers.table_lines import OddValueError, Wanted, check_columns, line_of
from include.storage import UnusableFileError

_DAMAGED = "is a damaged workbook, or one that can't be read here: open it in Excel, save it and send it again"
_MAX_CELLS = 40_000_000  # of the area that calamine keeps in memory, at 24 bytes each


def excel_rows(
    file: BinaryIO, columns: dict[str, Wanted] | None, *, sheet: str | None, header_row: int, max_bytes: int
) -> Iterator[Line]:
    """Yield every row below the header as {column: value}. Without `columns` any are taken.

    Without `sheet` the workbook must have one. `max_bytes` is what may be unpacked of it. Raises UnusableFileError for
    a workbook that is damaged or encrypted, lacks the sheet, or has a header that does not fit.
    """
    try:
        check_not_encrypted(file)
        workbook = CalamineWorkbook.from_filelike(file)
        place = _place_of(workbook, sheet)
        odd = odd_cells(file, place, max_bytes)
        if odd.rows * odd.columns > _MAX_CELLS:
            raise UnusableFileError(
                f"has values in cells of {odd.rows} rows and {odd.columns} columns, too large an area to be read: save"
                " the sheet as CSV, or delete what stands far from the others"
            )
        found = workbook.get_sheet_by_index(place)
    except PasswordError:
        raise UnusableFileError("is an encrypted workbook: send it without a password") from None
    except (CalamineError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UnusableFileError(_DAMAGED) from None
    yield from _rows(found, columns, header_row, odd)


def _place_of(workbook: CalamineWorkbook, sheet: str | None) -> int:
    """Return the place of the sheet in the workbook. Raises UnusableFileError, and names the sheets."""
    sheets = [each for each in workbook.sheets_metadata if each.typ == SheetTypeEnum.WorkSheet]
    if sheet is None:
        shown = [each for each in sheets if each.visible == SheetVisibleEnum.Visible]
        wanted = [each.name for each in shown]
        if len(wanted) != 1:
            raise UnusableFileError(f"has {len(wanted)} sheets ({_listed(wanted)}): name one as sheet")
        sheet = wanted[0]
    elif sheet not in [each.name for each in sheets]:
        raise UnusableFileError(
            f"has no sheet {sheet!r} but {_listed([each.name for each in sheets])}: mend the file or the contract"
        )
    return workbook.sheet_names.index(sheet)


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:10]) + (", ..." if len(names) > 10 else "")


def _rows(sheet: CalamineSheet, columns: dict[str, Wanted] | None, header_row: int, odd: OddCells) -> Iterator[Line]:
    if sheet.start is None:
        raise UnusableFileError(f"has nothing in the sheet {sheet.name!r}: send it again, or name another sheet")
    rows = enumerate(sheet.iter_rows(), 1)
    header: list[Any] = next((cells for number, cells in rows if number == header_row), [])
    left = sheet.start[1]
    places, names = _header(header, header_row, left, sheet, odd)
    check_columns(names, columns)
    wanted = [(columns or {}).get(name, Wanted()) for name in names]
    merged = _merged(sheet, header_row)
    for number, cells in rows:
        row: dict[str, Any] = {}
        problems = []
        for name, place, each in zip(names, places, wanted, strict=True):
            cell = cells[place]
            try:
                if cell == "" or type(cell) is str:
                    row[name] = cell or None
                else:
                    row[name] = _value(cell, each, is_excel=odd.is_excel)
            except OddValueError as error:
                row[name] = cell
                problems.append(f"{name}: cell {_address(number, left + place)} {error}")
            if (number, left + place) in odd.reasons:
                row[name] = odd.reasons[number, left + place][0]
                problems.append(f"{name}: cell {_address(number, left + place)} {odd.reasons[number, left + place][1]}")
            elif (number, left + place) in merged:
                problems.append(f"{name}: cell {_address(number, left + place)} is merged with others: split them")
        if problems or any(value is not None for value in row.values()):
            yield line_of(number, row, problems)


def _header(cells: list[Any], row: int, left: int, sheet: CalamineSheet, odd: OddCells) -> tuple[list[int], list[str]]:
    """Return the places of the columns and their names. A column with neither a name nor a value is none."""
    if not any(cell != "" for cell in cells):
        raise UnusableFileError(
            f"has no header in row {row} of the sheet {sheet.name!r}: say which row it is, as headerRow in the contract"
            " or --header-row for a draft"
        )
    texts = [str(_value(cell, Wanted(kind="string"), is_excel=False)) if cell != "" else "" for cell in cells]
    used = {place for place, text in enumerate(texts) if text.strip()}
    if len(used) < len(texts):
        for number, values in enumerate(sheet.iter_rows(), 1):
            if number > row:
                used |= {place for place, value in enumerate(values) if value != ""}
        used |= {column - left for number, column in odd.reasons if number > row and column >= left}
    places = sorted(used)
    named = header_names([""] * left + texts)[left:]
    return places, [named[place] for place in places]


def _merged(sheet: CalamineSheet, header_row: int) -> set[tuple[int, int]]:
    """Return the cells below the header that are part of others: the first of those merged alone has a value."""
    found = set()
    for (top, left), (bottom, right) in sheet.merged_cell_ranges or []:
        for row in range(max(top, header_row), min(bottom, sheet.total_height) + 1):
            found |= {(row + 1, column) for column in range(left, min(right, sheet.total_width) + 1)}
        found.discard((top + 1, left))
    return found


def _value(cell: Any, wanted: Wanted, *, is_excel: bool) -> Any:
    """Return a cell's value as JSON would have it. Raises OddValueError."""
    kind = type(cell)
    if kind is float or kind is int:
        return _number(cell, wanted)
    if kind is bool:
        return cell
    if kind is datetime:
        if wanted.kind == "date" and cell.time() == time():
            return _day(cell, is_excel=is_excel)
        return _day(cell, is_excel=is_excel) + "T" + cell.time().isoformat()
    if kind is date:
        return _day(cell, is_excel=is_excel) + ("T00:00:00" if wanted.kind == "timestamp" else "")
    if kind is time:
        return cell.isoformat()
    if kind is timedelta:
        seconds, rest = divmod(abs(cell), timedelta(seconds=1))
        text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        text += f".{rest.microseconds:06}" if rest else ""
        return ("-" if cell < timedelta() else "") + text
    return cell


def _number(cell: float, wanted: Wanted) -> Any:
    is_whole = cell == int(cell) if abs(cell) < 2**53 else False
    if wanted.keeps_digits and abs(cell) >= 2**53:
        raise OddValueError("has a number from 2^53 up, of which Excel does not keep every digit: write it as text")
    value = int(cell) if is_whole else cell
    if wanted.kind == "string":
        return str(value)
    return value


def _day(cell: date, *, is_excel: bool) -> str:
    if is_excel and (cell.year, cell.month, cell.day) < (1900, 3, 1):
        raise OddValueError("is a date before March 1900, where Excel's calendar is not ours: write it as text")
    return f"{cell.year:04}-{cell.month:02}-{cell.day:02}"


def _address(row: int, column: int) -> str:
    """Return how a sheet calls a cell: row from 1, column from 0."""
    letters = ""
    column += 1
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(65 + letter) + letters
    return f"{letters}{row}"
