"""Rows of any dialect come back value by value from what another writer made of them; what has two readings is none."""

from __future__ import annotations

import io
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.readers import Dialect, as_record, csv_records
from include.storage import UnusableFileError
from tests.readers.test_csv_records import Slow, told

NAMES = ("id", "label", "more")
COLUMNS = {"id": True, "label": False}


def read(content: str, dialect: Dialect, *, max_bytes: int = 1000) -> list[Any]:
    return told(list(csv_records(io.BytesIO(content.encode()), max_bytes, dialect, COLUMNS)))


# --- a writer of its own ----------------------------------------------------------------------------------------------


class Writer:
    """Writes rows in a dialect; `chance` decides what the dialect leaves open. `fit` makes a value one it can hold."""

    def __init__(self, dialect: Dialect, chance: random.Random, end: str) -> None:
        self.dialect, self.chance, self.end = dialect, chance, end
        self.marks = {*dialect.delimiter, *(dialect.quote_char or ""), *(dialect.escape_char or ""), "\n", "\r"}
        self.marks |= set(dialect.comment_char or "")

    def fit(self, value: str) -> str:
        d = self.dialect
        if d.escape_char:
            return value.replace("\r", "")  # before a line feed, nobody could tell it from a line end
        if d.quote_char is None:
            value = "".join(char for char in value if char not in self.marks)
            return value.lstrip(" ") if d.skip_initial_space else value
        return value if d.double_quote else value.replace(d.quote_char, "")

    def value(self, value: str | None) -> str:
        d = self.dialect
        if value is None:
            return "\\N"
        is_odd = bool(set(value) & self.marks) or (d.skip_initial_space and value.startswith(" "))
        may_escape = d.escape_char and value and not (d.skip_initial_space and is_odd)
        if d.quote_char and self.chance.random() < (0.3 if may_escape or not (is_odd or not value) else 1):
            return d.quote_char + self.within_quotes(value) + d.quote_char
        if d.escape_char:
            return "".join(
                d.escape_char + char if self.is_escaped(char, place) else char for place, char in enumerate(value)
            )
        return value

    def is_escaped(self, char: str, place: int) -> bool:
        return char in self.marks or (char == " " and place == 0 and self.dialect.skip_initial_space)

    def within_quotes(self, value: str) -> str:
        d, quote = self.dialect, self.dialect.quote_char or ""
        if d.escape_char:
            value = value.replace(d.escape_char, d.escape_char * 2)
        doubled = (quote if d.double_quote else d.escape_char or "") + quote
        return value.replace(quote, doubled)

    def file(self, rows: list[list[str | None]]) -> str:
        d = self.dialect
        lines = [f'a "title" {number}' for number in range(d.skip_rows)]
        header = [list[str | None](NAMES[: len(rows[0])])] if d.header else []
        for row in [*header, *rows]:
            if d.comment_char and self.chance.random() < 0.3:
                lines.append(d.comment_char + ' no "record' + d.delimiter)
            if self.chance.random() < 0.2:
                lines.append("")
            gap = " " if d.skip_initial_space and self.chance.random() < 0.5 else ""
            line = (d.delimiter + gap).join(map(self.value, row)) + (d.delimiter if d.trailing_delimiter else "")
            lines.append(line)
        lines += ["Total: 3"] * d.skip_footer_rows
        return self.end.join(lines) + (self.end if self.chance.random() < 0.7 else "")


VALUE = st.text(alphabet="ab1 ,;|\t\"'\\^~#:\n\r\0é漢\u00a0", max_size=7)
DIALECTS = st.builds(
    Dialect,
    delimiter=st.sampled_from([",", ";", "\t", "|", "||", "~|~", "::", "§", ";;;"]),
    quote_char=st.sampled_from([None, '"', "'", "«"]),
    double_quote=st.booleans(),
    escape_char=st.sampled_from([None, None, "\\", "^"]),
    header=st.booleans(),
    skip_rows=st.integers(0, 2),
    skip_footer_rows=st.sampled_from([0, 0, 2]),
    comment_char=st.sampled_from([None, "#", "##"]),
    trailing_delimiter=st.booleans(),
    skip_initial_space=st.booleans(),
    missing_values=st.sampled_from([("",), ()]),
)


@given(
    dialect=DIALECTS,
    rows=st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(VALUE, min_size=n, max_size=n), min_size=1, max_size=5)),
    end=st.sampled_from(["\n", "\r\n"]),
    seed=st.integers(0, 1 << 30),
    chunk=st.integers(1, 30),
)
@settings(deadline=None, max_examples=100)
def test_rows_of_any_dialect_come_back_value_by_value(
    dialect: Dialect, rows: list[list[str]], end: str, seed: int, chunk: int
) -> None:
    has_null = dialect.escape_char == "\\"
    if has_null:
        dialect = replace(dialect, missing_values=(*dialect.missing_values, "\\N"))
    writer = Writer(dialect, random.Random(seed), end)
    fitted: list[list[str | None]] = [[writer.fit(value) for value in row] for row in rows]
    if has_null:
        fitted[-1][-1] = None
    if len(rows[0]) == 1 and dialect.quote_char is None and not dialect.trailing_delimiter:
        fitted = [["x"] if row == [""] else row for row in fitted]  # else it is a blank line
    content = Slow(writer.file(fitted).encode(), chunk)
    columns = dict.fromkeys(NAMES[: len(rows[0])], True)
    lines = list(csv_records(content, 1 << 20, dialect, columns))
    is_missing = "" in dialect.missing_values
    assert [line[3] for line in lines] == [None] * len(rows)
    assert [list(line[2].values()) for line in lines] == [[(v or None) if is_missing else v for v in r] for r in fitted]
    bare = replace(dialect, header=False, skip_rows=0, skip_footer_rows=0)
    shown = [as_record(row, bare) for row in fitted]
    again = list(csv_records(io.BytesIO("".join(f"{text}\n" for text in shown).encode()), 1 << 20, bare, columns))
    expected = [line[2] for line, text in zip(lines, shown, strict=True) if text]  # an empty one is a blank line
    assert [line[2] for line in again] == expected, "a reject that is shown can be sent again"


@pytest.mark.parametrize(
    ("dialect", "record"),
    [
        (Dialect(comment_char="#"), '"#1",a'),
        (Dialect(comment_char="#", quote_char=None, escape_char="\\"), "\\#1,a"),
        (Dialect(comment_char="#", quote_char=None), "#1,a"),  # which nothing can be done about
    ],
)
def test_a_record_that_begins_like_a_comment_is_written_as_none(dialect: Dialect, record: str) -> None:
    assert as_record(["#1", "a"], dialect) == record


@given(text=st.text(alphabet='ab,"\n\r ', max_size=60), skips=st.booleans())
@settings(deadline=None, max_examples=100)
def test_the_reader_of_odd_dialects_reads_the_usual_one_as_the_csv_module_does(text: str, skips: bool) -> None:
    usual = Dialect(skip_initial_space=skips)
    content = "id,label\n" + text
    assert read(content, usual) == read(content, replace(usual, escape_char="\\"))
    doubled = Dialect(delimiter=",,", skip_initial_space=skips)
    found = read(content.replace(",", ",,"), doubled)
    assert [tuple(v.replace(",,", ",") if type(v) is str else v for v in row) for row in found] == read(content, usual)


# --- what a dialect says ----------------------------------------------------------------------------------------------

BACKSLASH = Dialect(escape_char="\\", missing_values=("", "\\N"))


@pytest.mark.parametrize(
    ("dialect", "content", "expected"),
    [
        # readr#1491: a quote is text.
        (
            Dialect("\t", quote_char=None),
            'id\tlabel\ntt1\t"Weird Al" Yankovic\ntt2\t"Foo\ntt3\tx"\n',
            [(2, "tt1", '"Weird Al" Yankovic'), (3, "tt2", '"Foo'), (4, "tt3", 'x"')],
        ),
        (
            Dialect("\t", quote_char=None),
            "id\tlabel\n1\ta\tb\n2\ta\rb\n",
            [(2, "csv", 1), (3, "csv", 1)],
        ),
        (Dialect(quote_char="'"), "id,label\n1,'a,''b'''\n2,\"x\"\n", [(2, "1", "a,'b'"), (3, "2", '"x"')]),
        # Escapes: what they take the meaning from, a null, and what they mean nothing for.
        (BACKSLASH, 'id,label\n1,"a\\"b\\\\"\n2,a\\,b\\\nc\n3,\\N\n4,\\\\N\n', [
            (2, "1", 'a"b\\'), (3, "2", "a,b\nc"), (5, "3", None), (6, "4", "\\N"),
        ]),
        (BACKSLASH, 'id,label\n1,C:\\new\n2,"\\N"\n3,\\Nx\n4,x\\', [
            (2, "csv", 1), (3, "csv", 1), (4, "csv", 1), (5, "csv", 1),
        ]),
        (replace(BACKSLASH, escape_sequences=True), "id,label\n1,a\\nb\\tc\n2,\\q\n3,\\0\n", [
            (2, "1", "a\nb\tc"), (3, "csv", 1), (4, "3", "\0"),
        ]),
        (replace(BACKSLASH, double_quote=False), 'id,label\n1,"a\\"b"\n2,"a""b"\n3,x\n', [
            (2, "1", 'a"b'), (3, "csv", 1), (4, "3", "x"),
        ]),
        (BACKSLASH, "id,label\r\n1,a\\\r\nb\r\n2,c\r\n", [(2, "1", "a\r\nb"), (4, "2", "c")]),
        (Dialect(double_quote=False), 'id,label\n1,"a""\n2,x\n', [(2, "csv", 1), (3, "2", "x")]),
        # Where a quote is not escaped, everything is one reject to where both readings end a record.
        (BACKSLASH, 'id,label\n1,"a "b\n2,\\"\n3,y",\n4,z\n', [(2, "csv", 3), (5, "4", "z")]),
        (Dialect("||"), 'id||label\n1||"a||b"\n2||x|y\n3||"a"b\n4||"x"|\n5||z\n', [
            (2, "1", "a||b"), (3, "2", "x|y"), (4, "csv", 3),
        ]),
        (Dialect("||"), 'id||label\n1||"a"b"\n2||x\n', [(2, "csv", 1), (3, "2", "x")]),
        # Comments, where a record begins alone.
        (Dialect(comment_char="#"), '# of 2026\nid,label\n1,"a\n#b"\n#2,x\n3,#\n', [(3, "1", "a\n#b"), (6, "3", "#")]),
        (Dialect(skip_rows=2), 'Report "of\n\nid,label\n1,x\n', [(4, "1", "x")]),
        (Dialect(skip_rows=1), 'a "t\nid,label\n1,"x\ry"\n', [(3, "1", "x\ry")]),
        (Dialect(skip_footer_rows=1), "id,label\n1,x\nTotal: 1\n\n", [(2, "1", "x")]),
        (Dialect(header=False), "1,x\n2\n", [(1, "1", "x"), (2, "csv", 1)]),
        (Dialect(";", trailing_delimiter=True), "id;label;\n1;x;\n2;y\n3;y;z\n4;;\n", [
            (2, "1", "x"), (3, "csv", 1), (4, "csv", 1), (5, "4", None),
        ]),
        (Dialect(";", trailing_delimiter=True), "id;label\n1;x;\n", [(2, "1", "x")]),
        (Dialect(skip_initial_space=True), 'id, label\n1, "a, b"\n2,  x \n', [(2, "1", "a, b"), (3, "2", "x ")]),
        (Dialect(trim=True), 'id , label\n 1,\u00a0x \n2,"  "\n3," y"\n', [
            (2, "1", "x"), (3, "2", None), (4, "3", "y"),
        ]),
        (Dialect(missing_values=()), 'id,label\n1,\n2,""\n', [(2, "1", ""), (3, "2", "")]),
        # Excel's first line.
        (Dialect(";"), "sep=;\nid;label\n1;x\n", [(3, "1", "x")]),
        (Dialect("\t"), '"sep=\t"\r\nid\tlabel\r\n1\tx\r\n', [(3, "1", "x")]),
        (Dialect(";", skip_rows=1, header=False), "sep=;\n1;x\n", [(2, "1", "x")]),
    ],
)  # fmt: skip
def test_a_dialect_is_carried_out(dialect: Dialect, content: str, expected: list[Any]) -> None:
    assert read(content, dialect) == expected


def test_sentences_say_what_is_wrong_in_the_dialects_own_words() -> None:
    def reasons(content: str, dialect: Dialect) -> list[str]:
        lines = csv_records(io.BytesIO(content.encode()), 1000, dialect, COLUMNS)
        return [line[3].reason for line in lines if line[3] is not None]

    assert reasons("id,label\n1,a\\b\n2,x\\", BACKSLASH) == [
        r"an escape '\\' stands before 'b', where it means nothing: see escapeSequences",
        r"an escape '\\' is the last character of the file",
    ]
    assert reasons('id,label\n1,"a"b"\n', replace(BACKSLASH, double_quote=False)) == [
        "a quote in a quoted value is not escaped"
    ]
    assert reasons("1;x;2\n", Dialect(";", header=False)) == ["3 values where the contract has 2"]
    trailed = Dialect(";", trailing_delimiter=True)
    assert reasons('id;label\n1;x\n""\n', trailed) == ["does not end with the delimiter ';'"] * 2
    assert reasons("id\tlabel\n1\ta\rb\n", Dialect("\t", quote_char=None)) == ["holds a carriage return in a value"]


def test_a_file_that_names_another_separator_is_refused() -> None:
    with pytest.raises(UnusableFileError, match=r"says in its first line that ';' stands between .*contract says ','"):
        read("sep=;\nid;label\n", Dialect())


@pytest.mark.parametrize("quote", ['"', None])
def test_what_is_too_long_ends_where_its_dialect_says(quote: str | None) -> None:
    long = "x" * 600_000
    dialect = Dialect("||", quote, escape_char="\\", comment_char="#", skip_rows=1)
    content = f'{long}\n#{long}\nid||label\n1||{long}||\\\n2||no row\n3||x\n4||"{long}\\"||\n'
    assert read(content, dialect, max_bytes=100) == [
        (4, "too_long", 2),
        (6, "3", "x"),
        (7, "csv" if quote else "too_long", 1),  # the quote is escaped, so the value never ends
    ]
