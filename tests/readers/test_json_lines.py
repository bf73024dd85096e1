"""Files as they are opened, and JSON lines: parsed, or with the problem that kept them from it."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest

from include.readers import Line, Unreadable, json_lines, opened
from include.storage import UnavailableFileError, UnusableFileError, hash_of


def write(tmp_path: Path, content: bytes, name: str = "rows.json") -> Path:
    file = tmp_path / name
    file.write_bytes(content)
    return file


def json_of(file: Path, max_bytes: int = 100) -> list[Line]:
    with opened(file, hash_of(file)) as stream:
        return list(json_lines(stream, max_bytes, orjson.loads))


@pytest.mark.parametrize("name", ["rows.json", "rows.json.gz"])
def test_json_lines_are_numbered_and_blank_ones_passed_over(tmp_path: Path, name: str) -> None:
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
)
def test_damaged_gzip_is_an_error_of_the_file(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(UnusableFileError, match=sentence):
        json_of(write(tmp_path, content, "rows.json.gz"))


def test_file_that_changes_while_it_is_read_is_left_to_the_next_run(tmp_path: Path) -> None:
    file = write(tmp_path, b'{"id": 1}\n')
    sha256 = hash_of(file)
    file.write_bytes(b'{"id": 2}\n')
    with pytest.raises(UnavailableFileError, match="changed while it was read"), opened(file, sha256) as stream:
        list(json_lines(stream, 100, orjson.loads))
