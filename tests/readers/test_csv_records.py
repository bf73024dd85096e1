"""CSV records end where the dialect says; what can't be read is one reject, and no line out of a value is a record."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.readers import Dialect, Line, csv_records, opened
from include.storage import UnusableFileError, hash_of

COLUMNS = {"id": True, "label": False}


def read(content: bytes, *, max_bytes: int = 100, delimiter: str = ",", names: tuple[str, ...] = ()) -> list[Line]:
    columns = dict.fromkeys(names, True) if names else COLUMNS
    return list(csv_records(io.BytesIO(content), max_bytes, Dialect(delimiter=delimiter), columns))


def told(lines: list[Line]) -> list[Any]:
    """Return each record's first line with its values, or with its code and the lines that it takes."""
    return [
        (number, *value.values()) if problem is None else (number, problem.code, problem.lines)
        for number, _, value, problem in lines
    ]


def test_a_quoted_value_has_any_number_of_lines(tmp_path: Path) -> None:
    value = "report:\n" + "".join(f"{number},from the report\n" for number in range(50_000))
    file = tmp_path / "rows.csv"
    file.write_text(f'id,label\n9,"{value}"\n10,x\n')
    with opened(file, hash_of(file)) as stream:
        lines = list(csv_records(stream, 1 << 24, Dialect(), COLUMNS))
    assert told(lines) == [(2, "9", value), (50_004, "10", "x")]


def test_a_quote_within_an_unquoted_value_is_text_and_opens_nothing() -> None:
    lines = read(b'id,label\nA2 6" nail,"first line\nB9,second line"\n1,a"b"c\n2,"\n3,"x"\n')
    assert told(lines[:2]) == [(2, 'A2 6" nail', "first line\nB9,second line"), (4, "1", 'a"b"c')]
    assert told(read(b'id,label\n1,5"\n2,6"\n')) == [(2, "1", '5"'), (3, "2", '6"')]


def test_empty_values_are_none_and_blank_lines_are_passed_over() -> None:
    assert told(read(b'\r\nid,label\r\n1,"a\nb"\r\n\r\n   \r\n2,\r\n3,""')) == [
        (3, "1", "a\nb"),
        (7, "2", None),
        (8, "3", None),
    ]


def test_lines_that_end_with_two_carriage_returns_are_lines() -> None:
    content = b'id,label\r\r\n1,a\r\r\n2,"b"\r\r\n\r\r\n"3",\r\r\n'
    assert told(read(content)) == [(2, "1", "a"), (3, "2", "b"), (5, "3", None)]
    assert told(read(b'id,"la\r\nbel"\r\r\n1,a', names=("id", "la\r\nbel"))) == [(3, "1", "a")]
    assert told(read(b"id,label\r1,a\r\r2,b\r")) == [(2, "1", "a"), (4, "2", "b")]


def test_a_line_of_nothing_but_tabs_or_of_one_blank_value_is_a_row() -> None:
    assert told(read(b"id\tlabel\n\t\n", delimiter="\t")) == [(2, None, None)]
    assert told(read(b"id\n  \n\n", names=("id",))) == [(2, "  ")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_end_as_those_of_the_header_do(end: bytes) -> None:
    content = end.join([b"id,label", b'1,"a\r\nb\nc\rd"', b"2,x", b"", b"3,y"])
    lines = read(content)
    assert [(line[2]["id"], line[2]["label"]) for line in lines] == [("1", "a\r\nb\nc\rd"), ("2", "x"), ("3", "y")]
    assert read(content + end)[-1][2] == {"id": "3", "label": "y"}


def test_a_line_end_of_another_kind_outside_quotes_costs_its_line() -> None:
    assert told(read(b'id,label\n1,a\rb\n3,c\rd,"e"\n4,f\r\n')) == [(2, "csv", 1), (3, "csv", 1), (4, "4", "f")]
    assert told(read(b"id,label\r1,a\n2,b\r4,f\r")) == [(2, "csv", 1), (3, "4", "f")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # Both ways of reading say that the line ends a record.
        (b'1,"a "b" c"\n2,x\n', [(2, "csv", 1), (3, "2", "x")]),
        (b'1,"5" nail"\n2,x\n', [(2, "csv", 1), (3, "2", "x")]),
        # The value may go on in the next lines: they are no records.
        (b'1,"a "b\n2,not a row\n3,still not",\n4,x\n', [(2, "csv", 3), (5, "4", "x")]),
        (b'1,"a "b\n2,not a row\n",z\n4,x\n5,"y"\n6,z\n', [(2, "csv", 5), (7, "6", "z")]),
        # It never ends: nothing after it is a record.
        (b'1,"a\n2,x\n3,y\n', [(2, "csv", 3)]),
        (b'1,"a "b\n2,x\n3,y', [(2, "csv", 3)]),
        # A forgotten quote is closed by the next value's.
        (b'0,z\n1,"a\n2,x\n3,"y"\n4,z\n', [(2, "0", "z"), (3, "csv", 3), (6, "4", "z")]),
        # Not as many values as names, and bytes that are no UTF-8, within quotes too.
        (b'1,2,3\n1\n2,x\n"3,\n4",5,6\n', [(2, "csv", 1), (3, "csv", 1), (4, "2", "x"), (5, "csv", 2)]),
        (b'1,\xe9\n2,"a\n\xe9\nb"\n3,x\n', [(2, "encoding", 1), (3, "encoding", 3), (6, "3", "x")]),
        # Longer than 100 bytes: the whole record, though it holds what looks like records.
        (b'1,"' + b"2,x\n" * 50 + b'"\n3,y\n', [(2, "too_long", 51), (53, "3", "y")]),
        (b"1," + b"x" * 100 + b"\n3,y\n", [(2, "too_long", 1), (3, "3", "y")]),
        (b'1,"' + b"x" * 95 + b'"\n3,y\n', [(2, "1", "x" * 95), (3, "3", "y")]),
        (b"1," + b"x" * 97 + b"\n3,y\n", [(2, "1", "x" * 97), (3, "3", "y")]),
        (b"1," + b"x" * 98 + b"\n3,y\n", [(2, "too_long", 1), (3, "3", "y")]),
    ],
)
def test_what_can_not_be_read_is_one_reject_to_where_reading_is_certain_again(
    content: bytes, expected: list[Any]
) -> None:
    assert told(read(b"id,label\n" + content)) == expected


def test_a_record_that_is_longer_than_what_is_read_at_once_ends_where_it_ends() -> None:
    long = b'1,"' + b'x""\n' * 200_000 + b'",\n'
    lines = read(b"id,label\n" + long + b"2,y\n" + b"3," + b'"' * 600_002 + b"\n4,z\n")
    assert told(lines) == [(2, "too_long", 200_001), (200_003, "2", "y"), (200_004, "too_long", 1), (200_005, "4", "z")]
    assert max(len(raw) for _, raw, _, _ in lines) == 1 << 16


def test_a_header_may_hold_quoted_names_with_line_ends() -> None:
    content = b'id,"Price\n(USD)"\n1,2.5\n'
    assert told(read(content, names=("id", "Price\n(USD)"))) == [(3, "1", "2.5")]


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (b"label\n", "has a header that lacks id"),
        (b"id,colour\n", "has 1 that the contract does not know"),
        (b"id,id\n", "names a column twice"),
        (b'id,"label\n', "has a first line that is no header of names separated by ','"),
        (b"id,\xff\n", "has a first line that is no header of names separated by ','"),
    ],
)
def test_a_header_that_does_not_fit_is_an_error_of_the_file(header: bytes, sentence: str) -> None:
    with pytest.raises(UnusableFileError, match=sentence):
        read(header)


# --- files of any rows and dialect ------------------------------------------------------------------------------------

VALUE = st.text(alphabet='ab1 ,;\t|"\n\r\0é漢', max_size=8)
NAMES = ("id", "label", "more")


@given(
    rows=st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(VALUE, min_size=n, max_size=n), min_size=1, max_size=8)),
    delimiter=st.sampled_from(",;\t|§"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quotes_all=st.booleans(),
    chunk=st.integers(1, 40),
)
@settings(deadline=None, max_examples=400)
def test_rows_of_any_dialect_come_back_value_by_value(
    rows: list[list[str]], delimiter: str, end: str, quotes_all: bool, chunk: int
) -> None:
    names = NAMES[: len(rows[0])]
    special = re.compile(r".*" if quotes_all else f'[{delimiter}"\r\n]', re.DOTALL)
    text = "".join(
        delimiter.join('"' + v.replace('"', '""') + '"' if special.search(v) or row == [""] else v for v in row) + end
        for row in [list(names), *rows]
    )
    lines = list(
        csv_records(Slow(text.encode(), chunk), 1 << 20, Dialect(delimiter=delimiter), dict.fromkeys(names, True))
    )
    assert [line[3] for line in lines] == [None] * len(rows)
    assert [list(line[2].values()) for line in lines] == [[value or None for value in row] for row in rows]


class Slow(io.BytesIO):
    """A stream that gives few bytes at once, after the first time."""

    def __init__(self, content: bytes, chunk: int) -> None:
        super().__init__(content)
        self.chunk = chunk

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if self.tell() == 0 else self.chunk)


def closed_late(text: str) -> list[list[str]]:
    """Read a CSV as those do who double no quotes: one closes a value only before a delimiter or line end."""
    rows, row, value, quoted, place = [], [], "", False, 0
    while place < len(text):
        char, following = text[place], text[place + 1 : place + 2]
        place += 1
        if quoted and char == '"' and following == '"':
            value += char
            place += 1
        elif quoted and char == '"' and following in ("", ",", "\n"):
            quoted = False
        elif quoted:
            value += char
        elif char == '"' and (not value and (place == 1 or text[place - 2] in ",\n")):
            quoted = True
        elif char in ",\n":
            row.append(value)
            value = ""
            if char == "\n":
                rows.append(row)
                row = []
        else:
            value += char
    return [*rows, [*row, value]]


@given(text=st.text(alphabet='ab,"\n', max_size=60))
@example(text='"a "b\n",z\n4,"x\n"y"\n')
@settings(deadline=None, max_examples=3000)
def test_no_record_is_read_that_another_way_of_reading_does_not_have(text: str) -> None:
    content = "id,label\n" + text
    ours = [[value or "" for value in line[2].values()] for line in read(content.encode()) if line[3] is None]
    lenient = list(csv.reader(io.StringIO(content, newline="")))[1:]
    try:
        strict = [row for row in csv.reader(io.StringIO(content, newline=""), strict=True) if len(row) == 2][1:]
    except csv.Error:
        for reference in (lenient, closed_late(content)):
            found = iter(reference)
            assert all(row in found for row in ours), (ours, reference)
    else:
        assert ours == strict
