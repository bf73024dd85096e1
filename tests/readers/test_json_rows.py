"""Files as they are opened, and JSON rows however they stand: parsed, or with the problem that kept them from it."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.readers import Line, Unreadable, json_rows, opened
from include.readers.streams import CHUNK
from include.storage import UnavailableFileError, UnusableFileError, hash_of


def write(tmp_path: Path, content: bytes, name: str = "rows.json") -> Path:
    file = tmp_path / name
    file.write_bytes(content)
    return file


def json_of(file: Path, max_bytes: int = 100) -> list[Line]:
    with opened(file, hash_of(file)) as stream:
        return list(json_rows(stream, max_bytes, orjson.loads))


@pytest.mark.parametrize("name", ["rows.json", "rows.json.gz"])
def test_json_rows_are_numbered_and_blank_ones_passed_over(tmp_path: Path, name: str) -> None:
    content = b'\xef\xbb\xbf{"id": 1}\n\n  \n{"id": 2}'
    file = write(tmp_path, gzip.compress(content) if name.endswith(".gz") else content, name)
    assert [(number, value, problem) for number, _, value, problem in json_of(file)] == [
        (1, {"id": 1}, None),
        (4, {"id": 2}, None),
    ]


def test_json_line_that_is_no_row_comes_with_its_problem_and_its_bytes(tmp_path: Path) -> None:
    file = write(tmp_path, b'{"id": 1\n\xff\xfe\n' + b"x" * 200 + b'\n{"id": 2}\n{"id"')
    lines = json_of(file)
    assert [(line[0], line[3] and line[3][0]) for line in lines] == [
        (1, "json"),
        (2, "encoding"),
        (3, "too_long"),
        (4, None),
        (5, "json"),
    ]
    assert lines[0][1] == b'{"id": 1\n'
    assert lines[4][3] == Unreadable("json", "the line is not JSON; the file ends in it")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no gzip", "is named .gz and holds no gzip"),
        (gzip.compress(b'{"id": 1}\n' * 1000)[:-20], "ends within its gzip stream|holds damaged gzip"),
    ],
    ids=["no gzip", "cut short"],  # the bytes differ by the second in which they are made
)
def test_damaged_gzip_is_an_error_of_the_file(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(UnusableFileError, match=sentence):
        json_of(write(tmp_path, content, "rows.json.gz"))


def test_file_that_changes_while_it_is_read_is_left_to_the_next_run(tmp_path: Path) -> None:
    file = write(tmp_path, b'{"id": 1}\n')
    sha256 = hash_of(file)
    file.write_bytes(b'{"id": 2}\n')
    with pytest.raises(UnavailableFileError, match="changed while it was read"), opened(file, sha256) as stream:
        list(json_rows(stream, 100, orjson.loads))


# --- arrays, and values over several lines ----------------------------------------------------------------------------


class Slow(io.BytesIO):
    """A stream that gives few bytes at once, after the first line."""

    chunk = 7

    def read(self, size: int | None = -1, /) -> bytes:
        is_first = self.tell() == 0 and self.getvalue().find(b"\n") > 0
        if self.tell() == 0 and b"\n" not in self.getvalue():
            return super().read(100)
        return super().read(self.getvalue().find(b"\n") + 2 if is_first else self.chunk)


def rows_of(content: bytes, max_bytes: int = 1000) -> list[Any]:
    """Return each row's line with its value, or with its code and lines. A slow stream gives the same."""
    made = []
    for stream in (io.BytesIO(content), Slow(content)):
        lines = json_rows(stream, max_bytes, orjson.loads)
        made.append([(n, value) if not bad else (n, bad.code, bad.lines) for n, _, value, bad in lines])
    assert made[0] == made[1]
    return made[0]


ONE, TWO = {"id": 1, "in": {"a": [{"b": "}],{"}]}}, {"id": 2, "t": 'é"\\n'}
PRETTY = json.dumps([ONE, TWO], indent=2, ensure_ascii=False)
LAYOUTS = {
    "one_line": (json.dumps([ONE, TWO]), [1, 1]),
    "compact": (json.dumps([ONE, TWO], separators=(",", ":")) + "\n", [1, 1]),
    "a_line_each": (f"[\n{json.dumps(ONE)},\n{json.dumps(TWO)}\n]\n", [2, 3]),
    "commas_before": (f"[ {json.dumps(ONE)}\r\n, {json.dumps(TWO)}\r\n]", [1, 2]),
    "trailing_comma": (f"[{json.dumps(ONE)},\n{json.dumps(TWO)},\n]", [1, 2]),
    "pretty": (PRETTY, [2, 12]),
    "pretty_cr_lf": (PRETTY.replace("\n", "\r\n"), [2, 12]),
    "no_indent": (json.dumps([ONE, TWO], indent=0), [2, 12]),
    "pretty_objects": (json.dumps(ONE, indent=4) + "\n" + json.dumps(TWO, indent=4), [1, 11]),
    "begun_in_the_first_line": (
        json.dumps(ONE, indent=1).replace("{\n ", "{", 1) + "\n" + json.dumps(TWO, indent=1),
        [1, 10],
    ),
    "blank_lines_before": ("\n \n" + PRETTY, [4, 14]),
    "arrays_after_each_other": (f"[{json.dumps(ONE)}]\n[{json.dumps(TWO)}]\n", [1, 2]),
    "cr_alone": (f"{json.dumps(ONE)}\r{json.dumps(TWO)}\r", [1, 2]),
    "lines": (f"{json.dumps(ONE)}\n{json.dumps(TWO)}", [1, 2]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_are_read_however_they_stand(layout: str) -> None:
    text, numbers = LAYOUTS[layout]
    assert rows_of(text.encode()) == list(zip(numbers, [ONE, TWO], strict=True))


def test_an_object_a_line_is_one_where_the_first_was_cut_short() -> None:
    assert [line[:2] for line in rows_of(b'{"id":\n{"id": 2}\n{"id": 3}\n')] == [
        (1, "json"),
        (2, {"id": 2}),
        (3, {"id": 3}),
    ]


def test_empty_arrays_and_other_values_in_one() -> None:
    assert rows_of(b" [ ] \n") == rows_of(b"[]") == rows_of(b"") == rows_of(b"\n\n") == []
    assert rows_of(b'[1, "a", null,\n [2], 12.5]') == [(1, 1), (1, "a"), (1, None), (2, [2]), (2, 12.5)]


DAMAGED = [
    (b'[{"id": 1}, {"id": tru}, {"id": 3}]', [(1, {"id": 1}), (1, "json", 1), (1, {"id": 3})]),
    (b'[{"id": 1},\n{"id" 2},\n{"id": 3}]', [(1, {"id": 1}), (2, "json", 1), (3, {"id": 3})]),
    (b'[{"id": 1},\n{"id": "2},\n{"id": 3}\n]', [(1, {"id": 1}), (2, "json", 1), (3, {"id": 3})]),
    (b'[\n {"id": 1},\n {"id": {"a": 2},\n {"id": 3}\n]', [(2, {"id": 1}), (3, "json", 1), (4, {"id": 3})]),
    (b'[\n {\n  "id": {\n  "a": 2\n },\n {\n  "id": 3\n }\n]', [(2, "json", 4), (6, {"id": 3})]),
    (b'[{"id": NaN}, {"id": "\\ud800"}, {"id": "\xff"}]', [(1, "json", 1), (1, "json", 1), (1, "encoding", 1)]),
    (b'[nothing, {"id": 3}]', [(1, "json", 1), (1, {"id": 3})]),
    (b'{\n "id": 1\n}\n{\n "id": 2,\n}\n{\n "id": 3\n}\n', [(1, {"id": 1}), (4, "json", 1), (7, {"id": 3})]),
    (b'[{"id": 1}, {"id": "a\nb"}, {"id": 3}]', [(1, {"id": 1}), (1, "json", 1), (2, {"id": 3})]),
    (b'[\n{"id": NaN,\n"a": 1\n},\n{\n"id": 3}]', [(2, "json", 1), (5, {"id": 3})]),
    (b'[\r{"id": 1},\r{"id": x},\r{"id": 3}\r]', [(2, {"id": 1}), (3, "json", 1), (4, {"id": 3})]),
    (b'{\n "id": 1\n}\n{\n "id": 2', [(1, {"id": 1}), (4, "json", 2)]),
    (b'[' + b'[' * 5000 + b']' * 5000 + b',{"id": 3}]', [(1, "json", 1), (1, {"id": 3})]),
]  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), DAMAGED)
def test_a_damaged_value_is_one_reject(content: bytes, expected: list[Any]) -> None:
    assert rows_of(content, 20_000) == expected


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'[{"id": 1}, {"id": 2}', "ends within its array: it was cut short"),
        (b'[{"id": 1},', "ends within its array: it was cut short"),
        (b"[", "ends within its array: it was cut short"),
        (b'[{"id": 1}, {"id": ', "can't be read from line 1 on"),
        (b'[\n{"id": 1}\n]\n{"id": 2}', "goes on behind the end of its array in line 4"),
        (b'[{"id": {"a": 1}, {"id": 2}]', "can't be read from line 1 on"),
        # Without an indent nobody knows whether the next line with a brace begins a value or is within one.
        (b'[\n{\n"id": [\n{\n"a": 1\n}\n},\n{\n"id": 2\n}\n]', "can't be read from line 2 on"),
        (
            b'[{"id": 1},\n{"id": "' + b"x" * 2000 + b"}]",
            "more than 1000 bytes in line 2, and nothing says where it ends",
        ),
    ],
)
def test_an_array_that_nobody_can_go_on_reading_is_an_error_of_the_file(content: bytes, sentence: str) -> None:
    with pytest.raises(UnusableFileError, match=sentence):
        rows_of(content)


@pytest.mark.parametrize("content", [b'{"id": 1}\n{"id": 2}', b'[{"id": 12},\n{"id": 34}]', b'{"id": 1}'])
def test_a_value_of_the_length_that_is_allowed_is_read(content: bytes) -> None:
    size = 10 if len(content) > 9 else 9  # a line counts with its end
    assert "too_long" not in str(rows_of(content, size))
    assert "too_long" in str(rows_of(content, size - 1))


@pytest.mark.parametrize("filling", ["x", "\\\\", '\\"', "]},{[", "é\\n", "\\u005c"])
@pytest.mark.parametrize("size", [120, 2000])
def test_a_value_that_is_too_long_costs_no_other(filling: str, size: int) -> None:
    long = f'{{"id": "{filling * size}", "in": [{{"a": "}}"}}]}}'
    content = f'[{{"id": 1}},\n{long},\n["{filling * size}"],{{"id":\n3}}]'.encode()
    expected = [(1, {"id": 1}), (2, "too_long", 1), (3, "too_long", 1), (3, {"id": 3})]
    assert rows_of(content, 100) == expected


def test_a_value_of_any_length_is_passed_over_in_little_memory() -> None:
    content = b'[{"id": "' + b'\\"}' * 600_000 + b'"}, {"id": 2}]'
    tracemalloc.start()
    lines = list(json_rows(io.BytesIO(content), 1000, orjson.loads))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(line[0], line[2], line[3] and line[3].code) for line in lines] == [
        (1, None, "too_long"),
        (1, {"id": 2}, None),
    ]
    assert len(lines[0][1]) <= 1 << 16 and peak < 6 * CHUNK  # of 7 that the file has


def test_an_array_of_any_size_takes_little_memory() -> None:
    row = b'{"id": 1, "label": "' + b"x" * 900 + b'"}'
    for between in (b",", b",\n"):
        content = b"[" + between.join([row] * 40_000) + b"]"
        tracemalloc.start()
        count = sum(1 for _ in json_rows(io.BytesIO(content), 10_000, orjson.loads))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == 40_000
        assert peak < 8 * CHUNK


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(alphabet='a{}[],:"\\\né', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='a{"', max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(
    values=st.lists(st.dictionaries(st.text(alphabet='ab"}', max_size=2), VALUES, max_size=3), min_size=1, max_size=6),
    indent=st.none() | st.integers(0, 3),
    ascii_only=st.booleans(),
    chunk=st.integers(1, 50),
)
@settings(deadline=None, max_examples=500)
def test_any_array_comes_back_value_by_value(
    values: list[Any], indent: int | None, ascii_only: bool, chunk: int
) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    stream = Slow(text.encode())
    stream.chunk = chunk
    lines = list(json_rows(stream, 10_000, orjson.loads))
    assert [line[2] for line in lines] == values
    assert [json.loads(line[1]) for line in lines] == values
    begins = [text.encode().split(b"\n")[line[0] - 1] for line in lines]
    assert all(b"{" in begin for begin in begins)
