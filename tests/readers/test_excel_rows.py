"""A workbook's cells come as the values that they hold, or as a problem with the name of the cell."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.readers import Line
from include.readers.excel_rows import excel_rows
from include.readers.table_lines import Wanted
from include.storage import UnusableFileError
from tests.readers.workbooks import DATE, DURATION, FILES, TIMESTAMP, Cell, ods, sheet, xlsb, xlsx


def read(content: bytes, columns: dict[str, Wanted] | None = None, **options: Any) -> list[Line]:
    chosen = {"sheet": None, "header_row": 1, "max_bytes": 1 << 30} | options
    return list(excel_rows(io.BytesIO(content), columns, **chosen))


def values(content: bytes, columns: dict[str, Wanted] | None = None, **options: Any) -> list[Any]:
    """Return the rows as lists with their numbers, and what is wrong with others."""
    return [
        [number, *value.values()] if problem is None else [number, problem.reason]
        for number, _, value, problem in read(content, columns, **options)
    ]


@pytest.mark.parametrize(
    ("cell", "kind", "value"),
    [
        (1, "", 1),
        (-2.5, "", -2.5),
        (0.1 + 0.2, "", 0.30000000000000004),
        (1e300, "", 1e300),
        (2**53 - 1, "", 9007199254740991),
        ("00123", "", "00123"),
        ("1e5", "", "1e5"),
        (" a  b ", "", " a  b "),
        ("a\nb & <c>", "", "a\nb & <c>"),
        (True, "", True),
        (False, "", False),
        ((46053, DATE), "", "2026-01-31"),
        ((46053, DATE), "timestamp", "2026-01-31T00:00:00"),
        ((46053.0, TIMESTAMP), "date", "2026-01-31"),
        ((46053.52100694444, TIMESTAMP), "", "2026-01-31T12:30:15"),
        ((46053.5210069560, TIMESTAMP), "", "2026-01-31T12:30:15.001000"),
        ((61, DATE), "", "1900-03-01"),
        ((2958465, DATE), "", "9999-12-31"),
        ((0.5208333333333334, TIMESTAMP), "", "12:30:00"),
        ((1.25, DURATION), "", "30:00:00"),
        ('<t="str"><f>A1&amp;"x"</f><v>ax</v>', "", "ax"),
        ("<><f>1+1</f><v>2</v>", "", 2),
        ('<t="d"><v>2026-01-31T12:30:15</v>', "", "2026-01-31T12:30:15"),
        ('<t="inlineStr"><is><r><t>ri</t></r><r><t>ch</t></r></is>', "", "rich"),
        (1234, "string", "1234"),
        (0.5, "string", "0.5"),
        ("1234", "integer", "1234"),
    ],
)
def test_a_cell_is_the_value_that_it_holds(cell: Any, kind: str, value: Any) -> None:
    content = xlsx(sheet([["id", "v"], [1, cell]]))
    columns = {"id": Wanted(), "v": Wanted(kind=kind)}
    assert [(type(row["v"]), row["v"]) for _, _, row, _ in read(content, columns)] == [(type(value), value)]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ('<t="e"><v>#N/A</v>', "holds an error: mend it"),
        ('<t="e"><f>1/0</f><v>#DIV/0!</v>', "holds an error: mend it"),
        ("<><f>1+1</f><v></v>", "holds a formula that was saved without its value"),
        ("<><f>1+1</f><v/>", "holds a formula that was saved without its value"),
        ("<><f>1+1</f>", "holds a formula that was saved without its value"),
        ('<><f t="shared" si="0"/>', "holds a formula that was saved without its value"),
        ((1, DATE), "is a date before March 1900"),
        ((60, DATE), "is a date before March 1900"),  # 29 February 1900, which was none
        (2**53, "has a number from 2^53 up"),
    ],
)
def test_a_cell_that_can_not_be_told_is_a_problem_with_its_name(cell: Any, said: str) -> None:
    content = xlsx(sheet([["id", "v"], [1, "fine"], [2, cell], [3, None]]))
    before, odd, after = read(content, {"id": Wanted(), "v": Wanted(keeps_digits=True)})
    assert (before[2], after[2]) == ({"id": 1, "v": "fine"}, {"id": 3, "v": None})
    assert odd[0] == 3
    assert odd[3] is not None
    assert odd[1].startswith(b'{"id":2,"v":')
    assert odd[3].reason.startswith(f"v: cell B3 {said}")


def test_odd_cells_are_found_wherever_the_text_of_a_sheet_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[list[Any]] = [[n, '<t="e"><v>#N/A</v>' if n % 3 else n] for n in range(1, 60)]
    content = xlsx(sheet([["id", "v"], *rows]))
    for size in (1, 50, 333):
        monkeypatch.setattr("include.readers.excel_cells._CHUNK", size)
        assert [number for number, _, row, _ in read(content) if row is None] == [n + 1 for n in range(1, 60) if n % 3]


def test_an_empty_text_of_a_formula_is_no_value() -> None:
    content = xlsx(sheet([["id", "v"], [1, '<t="str"><f>A1</f><v></v>']]))
    assert values(content) == [[2, 1, None]]


def test_rows_keep_the_numbers_of_the_sheet_and_empty_ones_are_passed_over() -> None:
    content = xlsx(sheet([["id", "v"], [], [1, None], [None, None], [None, 2]], first=4))
    assert values(content, header_row=4) == [[6, 1, None], [8, None, 2]]


@pytest.mark.parametrize("row", [1, 3, 50])
def test_a_row_without_a_header_says_so(row: int) -> None:
    with pytest.raises(UnusableFileError, match=f"has no header in row {row} of the sheet 'Data'.*headerRow"):
        values(xlsx(sheet([["id", "v"], [], [1, 1]], first=2)), header_row=row)


def test_a_column_without_a_name_is_called_by_its_place_and_one_without_anything_is_none() -> None:
    rows: list[list[Any]] = [
        [None, "id", None, None, "v"],
        [None, 1, None, '<t="e"><v>#N/A</v>', 2],
        [None, 3, None, None, 4],
    ]
    lines = read(xlsx(sheet(rows)))
    assert lines[1][2] == {"id": 3, "column_4": None, "v": 4}
    assert lines[0][3] is not None


def test_only_the_first_of_merged_cells_is_a_row() -> None:
    content = xlsx(sheet([["id", "v", "w"], [1, "a", "x"], [2, None, "y"], [3, "b", "z"]], merged="B2:B3"))
    assert values(content) == [[2, 1, "a", "x"], [3, "v: cell B3 is merged with others: split them"], [4, 3, "b", "z"]]


def test_the_sheet_is_the_one_that_was_named() -> None:
    one, two = sheet([["id"], [1]]), sheet([["id"], ['<t="e"><v>#REF!</v>'], [2]])
    both = xlsx(one, two)
    assert values(both, sheet="Data") == [[2, 1]]
    assert values(both, sheet="Other") == [[2, "id: cell A2 holds an error: mend it"], [3, 2]]
    with pytest.raises(UnusableFileError, match="has 2 sheets \\('Data', 'Other'\\): name one as sheet"):
        values(both)
    with pytest.raises(UnusableFileError, match="has no sheet 'Trades' but 'Data', 'Other'"):
        values(both, sheet="Trades")
    assert values(xlsx(one, two, hidden=("Other",))) == [[2, 1]]
    with pytest.raises(UnusableFileError, match="has nothing in the sheet 'Data'"):
        values(xlsx(sheet([])))


def test_a_header_that_does_not_fit_is_an_error_of_the_file() -> None:
    content = xlsx(sheet([["id", "v"], [1, 2]]))
    for columns, said in (
        ({"id": Wanted()}, "has 1 that the contract does not know"),
        ({"id": Wanted(), "v": Wanted(), "w": Wanted(required=True)}, "lacks w"),
    ):
        with pytest.raises(UnusableFileError, match=said):
            read(content, columns)
    with pytest.raises(UnusableFileError, match="names the column 'id' twice"):
        read(xlsx(sheet([["id", "id"], [1, 2]])))


def test_xls_xlsb_and_ods_are_read_like_xlsx() -> None:
    old = (FILES / "two_sheets.xls").read_bytes()
    error = "label: cell B3 holds an error: mend it"
    assert values(old, sheet="Data") == [[2, 1, "007", "2026-01-31"], [3, error], [4, 2.5, "x" * 300, None]]
    assert values(old, sheet="Notes", header_row=1) == [[2, "column_2: cell B2 holds an error: mend it"]]
    binary = xlsb([["id", "label"], [1.0, "007"], [2.0, "#N/A"], [2.5, None]])
    assert values(binary) == [[2, 1, "007"], [3, error], [4, 2.5, None]]
    rows = [["id", "v"], ['office:value-type="float" office:value="1"', "007"]]
    day = 'office:value-type="date" office:date-value="1850-01-31"'
    assert values(ods([*rows, ["x", day]])) == [[2, 1, "007"], [3, "x", "1850-01-31"]]
    with pytest.raises(UnusableFileError, match="holds an error such as #N/A"):
        values(ods([*rows, ['calcext:value-type="error" office:value-type="string"', "x"]]))


def damaged(content: bytes) -> dict[str, bytes]:
    place = len(content) // 3
    return {"cut": content[:place], "garbled": content[:place] + b"\xff" * 40 + content[place + 40 :]}


@pytest.mark.parametrize("kind", ["xlsx", "xls", "xlsb", "ods"])
@pytest.mark.parametrize("damage", ["cut", "garbled"])
def test_a_damaged_workbook_is_a_sentence_or_its_rows_are_whole(kind: str, damage: str) -> None:
    made = {
        "xlsx": xlsx(sheet([["id"], [1], [2]])),
        "xls": (FILES / "two_sheets.xls").read_bytes(),
        "xlsb": xlsb([["id"], [1.0], [2.0]]),
        "ods": ods([["id"], ["1"], ["2"]]),
    }[kind]
    with pytest.raises(UnusableFileError, match=r"is a damaged workbook|has no sheet|has 0 sheets|has nothing in"):
        read(damaged(made)[damage], sheet="Data" if kind == "xls" else None)


def test_an_encrypted_workbook_is_named() -> None:
    with pytest.raises(UnusableFileError, match="is an encrypted workbook: send it without a password"):
        read((FILES / "encrypted.xlsx").read_bytes())


def test_two_cells_far_apart_do_not_take_the_memory_of_all_between() -> None:
    first, last = '<c r="A1"><v>1</v></c>', '<c r="XFD1048576"><v>1</v></c>'
    far = f'<sheetData><row r="1">{first}</row><row r="1048576">{last}</row></sheetData>'
    with pytest.raises(UnusableFileError, match="1048576 rows and 16384 columns, too large an area"):
        read(xlsx(far))
    only_styled = far.replace(last, '<c r="XFD1048576" s="1"/>')
    assert values(xlsx(only_styled)) == []


def test_a_workbook_that_unpacks_to_too_much_is_refused() -> None:
    content = xlsx(sheet([["id"], ["a" * 1_000_000]]))
    assert len(content) < 10_000
    with pytest.raises(UnusableFileError, match="holds more than 100000 bytes unpacked: raise maxBytes"):
        read(content, max_bytes=100_000)


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff")).filter(
        lambda text: not text.startswith("<") and "_x" not in text
    ),
)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
@settings(max_examples=50)
def test_what_is_written_is_what_is_read(rows: list[tuple[Cell, Cell]]) -> None:
    lines = read(xlsx(sheet([["id", "a", "b"], *[[n, *row] for n, row in enumerate(rows)]])))
    assert [(row["a"] or "", row["b"] or "") for _, _, row, _ in lines] == [(a or "", b or "") for a, b in rows]


def test_a_zip_that_is_no_workbook_is_a_sentence() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as parts:
        parts.writestr("word/document.xml", "<x/>")
    with pytest.raises(UnusableFileError, match="is a damaged workbook, or one that can't be read here"):
        read(made.getvalue())
