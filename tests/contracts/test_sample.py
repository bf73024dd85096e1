"""A draft and landing agree on every record of a sample: what the draft calls a row is valid under it."""

from __future__ import annotations

import gzip
import io
import json
import os
import threading
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from include import settings
from include.cli import main
from include.contracts import ContractError
from include.contracts.draft import _checked, draft, write_draft
from include.contracts.header_guess import columns_like_data
from include.contracts.moments import is_date, is_timestamp
from include.contracts.read import read_contract
from include.contracts.recognise import recognise
from include.contracts.sample import Sample
from include.contracts.sample_file import read_sample
from include.contracts.sample_key import _is_unique, find_key
from include.landing import pending_files
from include.landing.judge import RejectedRows, read_rows
from include.landing.rows import RowSchema
from include.readers import Dialect, csv_records
from include.storage import FileError


def judged(folder: Path, content: bytes, name: str) -> tuple[int, int, int, int]:
    """Return how many rows a draft read and left out, and how many of them landing calls valid and rejects."""
    found = seen(folder, content, name)
    contract = _checked(draft("web", "things", folder / name).text, "web", "things")
    with RejectedRows(contract) as rejects:
        valid = read_rows(RowSchema(contract), "x", folder / name, None, lambda *_: None, rejects)
        return (found.rows, found.left_out, valid, rejects.count)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("samples")


@given(
    header=st.sampled_from(["a,b\n", "a;b;c\r\n", "id\tname\n", "x|y\r", '"a\nb",c\n', "one\n"]),
    text=st.text('ab01.,;|\t"-: \n\r', max_size=60),
)
@example(header="a,b\n", text='1,x "y" z\n2,"un"quoted\n3,ok\n')
@example(header="a,b\n", text="\n   \n1,2\n\n")
@example(header="a,b\r", text="1,2\r3,4\r")
@example(header="a,b\n", text="1,2\r3\n4,5\n")
@example(header="x|y\r", text="0\r\n\t")
@hypothesis_settings(deadline=None, max_examples=50)
def test_a_draft_of_any_csv_takes_every_row_that_it_read(folder: Path, header: str, text: str) -> None:
    try:
        read, left_out, valid, rejected = judged(folder, (header + text).encode(), "s.csv")
    except (ContractError, FileError):
        return
    assert (read, left_out) == (valid, rejected)


VALUES = (
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats(allow_nan=False, allow_infinity=False)
) | st.sampled_from(["", "1.50", "-0.0", "2026-02-28", "2026-02-30", "2026-02-28T10:00:00Z", "a@example.com", "a\tb"])


@given(rows=st.lists(st.dictionaries(st.sampled_from(["id", "v", "w"]), VALUES, min_size=1), min_size=1, max_size=4))
@example(rows=[{"v": 1.5}, {"v": 12345678901234567890123}])
@example(rows=[{"v": "9999-12-31T23:59:59-05:00"}])
@hypothesis_settings(deadline=None, max_examples=50)
def test_a_draft_of_any_json_takes_every_row_that_it_read(folder: Path, rows: list[dict[str, Any]]) -> None:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    try:
        assert judged(folder, content, "s.jsonl") == (len(rows), 0, len(rows), 0)
    except ContractError as error:
        assert "values of several types" in str(error)


def seen(folder: Path, content: bytes, name: str = "s.csv", **options: Any) -> Sample:
    (folder / name).write_bytes(content)
    given = {"delimiter": None, "encoding": None, "dialect": {}, "rows": None, "progress": lambda _: None} | options
    return read_sample([folder / name], **given).seen


def test_json_keeps_its_digits_and_a_key_named_twice_is_no_row(tmp_path: Path) -> None:
    found = seen(tmp_path, b'{"id": 1, "n": 0.1234567890123456789}\n{"id": 2, "n": 1, "n": 2}\n', "s.jsonl")
    assert (found.rows, found.left_out, found.fields["n"].type().physical) == (1, 1, "numeric")
    assert found.why_left_out == "line 2: names the key 'n' twice in one object: nothing says which value counts"
    assert seen(tmp_path, b'{"n": 0.1}\n{"n": 1.5e-120}\n', "s.jsonl").fields["n"].type().physical == "double precision"
    beyond = b'{"n": 0.1234567890123456789}\n{"n": 1.234567890123456789e-120}\n'
    assert seen(tmp_path, beyond, "s.jsonl").fields["n"].type().physical == "double precision"


@pytest.mark.parametrize(
    ("text", "is_moment"),
    [
        ("9999-12-31T23:59:59-05:00", False),
        ("9999-12-31T23:59:59+05:00", True),
        ("0001-01-01T00:00:00+05:00", False),
        ("2026-01-01 10:00", True),
        ("2026-01-01T10:00:00.1234560000Z", True),
        ("2026-01-01T10:00:00.1234567Z", False),
        ("2026-01-01T10:00:00Z\n", False),
        ("2026-02-29T10:00:00Z", False),
        ("2026-02-28", False),
    ],
)
def test_a_moment_is_what_landing_takes_for_one(tmp_path: Path, text: str, is_moment: bool) -> None:
    assert is_timestamp(text) is is_moment
    assert is_date(text) is (text == "2026-02-28")
    content = json.dumps({"id": "x", "at": text}).encode()
    assert judged(tmp_path, content, "s.jsonl") == (1, 0, 1, 0)


@pytest.mark.parametrize(
    ("content", "delimiter", "said"),
    [
        ('"Region, State, County";"Value"\na;1\n', ";", "likely: 100% of the first 2 records have 2 values"),
        ("a;b\n1,5;2,5\n3,5;4,5\n", ";", "certain"),
        ("a,b\n1;2,3;4\n5;6,7;8\n", ",", "certain"),
        ("a\tb\n1,5\t2\n", "\t", "likely"),
        ("a|b\n1|2\n", "|", "likely"),
        ("a,b;c\n1,2;3\n", ",", "a guess: with ';' as many records have one number of values"),
        ("a,b,c\n1,2\n3,4,5\n6,7,8\n", ",", "a guess: 75% of the first 4 records have 3 values"),
        ("a;b\n", ";", "likely: 100% of the first 1 records have 2 values"),
        ('n;"a\n;;;b";c\n1;2;3\n', ";", "100% of the first 2 records have 3"),
        ("a;b\r1;2\r3;4\r", ";", "100% of the first 3 records"),
    ],
)
def test_the_delimiter_is_the_one_that_cuts_the_records_evenly(content: str, delimiter: str, said: str) -> None:
    found = recognise(content, is_whole=True, said={})
    assert found.delimiter == delimiter
    assert said in found.notes[0]


def test_the_name_of_a_sample_tells_the_delimiter_unless_it_cuts_nothing() -> None:
    assert recognise("a,b\tc\n1,2\t3\n", is_whole=True, named="\t", said={}).delimiter == "\t"
    assert recognise("a,b\n1,2\n", is_whole=True, named="\t", said={}).delimiter == ","
    assert recognise("a,b\n1,2\n", is_whole=True, delimiter="\t", said={}).delimiter == "\t"
    assert recognise("a\n1\n", is_whole=True, named="\t", said={}).delimiter == "\t"


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"'])
def test_a_line_for_spreadsheet_programs_tells_the_delimiter(tmp_path: Path, line: str) -> None:
    assert list(seen(tmp_path, f"{line}\na,x;b\n1;2\n".encode()).fields) == ["a,x", "b"]
    assert seen(tmp_path, b"sep=arator;b\n1;2\n").rows == 1


@pytest.mark.parametrize(
    ("records", "places"),
    [
        ([["id", "name"], ["1", "ann"], ["2", "bob"]], []),
        ([["1", "ann"], ["2", "bob"]], [1]),
        ([["1", "2026-01-01"], ["2", "2026-01-02"]], [1, 2]),
        ([["ann", "x@example.com"], ["bob", "y@example.com"]], [2]),
        ([["M", "US"], ["F", "US"], ["M", "DE"]], [1, 2]),
        ([["name", "M", "kind"], ["x", "M", "y"]], []),
        ([["x", "amount"], ["x", "1.5"]], []),
        ([["country", "1990", "1991"], ["UK", "57", "58"]], []),
        ([["country", "2020"], ["UK", "57"]], []),
        ([["UK", "2020", "1.5"], ["UK", "2021", "2.5"]], [2, 3]),
        ([["", "0", "1", "2"], ["0", "7", "8", "9"]], []),
        ([["a", "b"], ["a", "b"], ["1", "2"]], []),
        ([["day", "1/22/20"], ["x", "5"]], []),
        ([["id"]], []),
    ],
)
def test_a_first_row_of_data_is_noticed(records: list[list[str]], places: list[int]) -> None:
    assert columns_like_data(records) == places


def test_a_first_row_of_data_is_said_and_no_value_of_it_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "CONTRACTS", tmp_path / "contracts")
    (tmp_path / "s.csv").write_text("ann,2026-01-01\nbob,2026-01-02\n")
    assert main(["contract", "new", "web.things", str(tmp_path / "s.csv")]) == 0
    said = "".join(capsys.readouterr())
    assert "header is false: the first record looks like data, its values 2 are like those below" in said
    assert "ann" not in said and "bob" not in said
    assert "Give the properties the names of their columns" in (tmp_path / "contracts/web/things.yaml").read_text()
    assert seen(tmp_path, b"1,1,x\n2,3,y\n").rows == 2


def test_contract_new_shows_rows_as_they_would_land_and_what_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "CONTRACTS", tmp_path / "contracts")
    rows = [f'{n},2026-01-01 10:00:0{n % 10},"Ann ""A"" Lee",see ann@example.com,"two\nlines",' for n in range(1, 40)]
    (tmp_path / "s.csv").write_text("id,at,customer_name,note,text,nothing\n" + "\n".join(rows) + "\n40,1\n")
    assert main(["contract", "new", "web.things", str(tmp_path / "s.csv")]) == 0
    lines = capsys.readouterr().err.splitlines()
    shown = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if line.split()[1:]}
    assert shown["id"].split() == ["1", "2", "3", "4", "5"]
    assert shown["at"].split()[:3] == ["2026-01-01", "10:00:01+00", "2026-01-01"]
    assert shown["customer_name"].split() == ["(personal)"] * 5
    assert shown["note"].startswith("(holds an e-mail address)")
    assert shown["text"].startswith(r"'two\nlines'")
    assert shown["nothing"].split() == ["(null)"] * 5
    assert "97.5 % of 40 rows are valid under the draft; rejected: csv 1" in lines
    assert not any("Ann" in line or "example.com" in line for line in lines)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,v\n1,a\n2,b\n", "all of 2 rows are valid under the draft"),
        ("v\na\na\n", "all of 2 rows are valid under the draft"),  # without a key too
        ('{"o": {"n": 1}}\n{"o": {"n": 1}}\n', "o_n     1      1\nall of 2 rows are valid"),
        ("id,v\n1,a\n2\n", "landing would hold such a file whole"),
        ("id,kontakt\n1,ann@example.com\n", "kontakt  (personal)"),
    ],
)
def test_what_landing_would_do_with_the_sample_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: str, said: str
) -> None:
    monkeypatch.setattr(settings, "CONTRACTS", tmp_path / "contracts")
    sample = tmp_path / ("s.jsonl" if content.startswith("{") else "s.csv")
    sample.write_text(content)
    assert main(["contract", "new", "web.things", str(sample)]) == 0
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{}\n{}\n", "holds rows without any value"),
        ('{"a":' * 600 + "1" + "}" * 600, "are nested too deeply for columns"),
    ],
)
def test_rows_that_show_no_columns_are_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "s.jsonl").write_text(content)
    with pytest.raises(ContractError, match=sentence):
        write_draft("web.things", tmp_path / "s.jsonl", folder=tmp_path / "contracts")


def test_a_part_of_a_sample_is_judged_where_a_part_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "CONTRACTS", tmp_path / "contracts")
    (tmp_path / "s.csv").write_text("id,v\n" + "".join(f"{n},x\n" for n in range(1000)))
    assert main(["contract", "new", "web.things", str(tmp_path / "s.csv"), "--rows", "150"]) == 0
    assert "all of 200 rows are valid under the draft" in capsys.readouterr().err


def test_a_sample_is_opened_and_read_once_and_no_further_than_asked(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    content = "id;v\n" + "".join(f"{n};x\n" for n in range(40_000))
    writer = threading.Thread(target=pipe.write_text, args=(content,))
    writer.start()
    told: list[str] = []
    assert "delimiter: ;" in draft("web", "things", pipe, progress=told.append).text
    writer.join()
    assert told[0] == "read 5,000 rows" and told[-1] == "read 40,000 rows"
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(content.encode())[:-20])
    assert draft("web", "things", tmp_path / "cut.csv.gz", rows=1000).text
    with pytest.raises(FileError, match="it was cut short"):
        draft("web", "things", tmp_path / "cut.csv.gz")


def test_rows_in_memory_are_bounded_by_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: list[int] = []
    monkeypatch.setattr(Sample, "add", lambda _, columns, rows: blocks.append(rows))
    seen(tmp_path, b"a,b\n" + (b"x" * 1_000_000 + b",y\n") * 20)
    assert blocks == [5, 5, 5, 5]


@pytest.mark.parametrize("name", ["s[1].csv", "s*.csv", "s?.csv", "s**2.csv", "[!a]*?.csv.gz", "s].CSV", "a b'c.csv"])
def test_the_path_of_a_draft_finds_the_very_sample(tmp_path: Path, name: str) -> None:
    content = b"id,v\n1,a\n"
    sample = tmp_path / "root/web" / name
    sample.parent.mkdir(parents=True)
    sample.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    contract = read_contract(write_draft("web.things", sample, folder=tmp_path / "contracts"))
    assert pending_files(contract, str(tmp_path / "root")) == [f"web/{name}"]


def keyed(folder: Path, content: str, name: str = "s.csv") -> tuple[str, ...]:
    return find_key(seen(folder, content.encode(), name)).names


@pytest.mark.parametrize(
    ("content", "name", "key"),
    [
        ('{"n": -1}\n{"n": -2}\n', "s.jsonl", ("n",)),
        ('{"n": 0}\n{"n": 2305843009213693951}\n', "s.jsonl", ("n",)),
        ('{"a": 1, "n": 1}\n{"a": -2, "n": -1}\n{"a": -1, "n": -1}\n{"a": 1, "n": -2}\n', "s.jsonl", ("a", "n")),
        ('{"n": 1.5}\n{"n": 1.25}\n{"n": 2}\n', "s.jsonl", ("n",)),
        ('{"n": 1}\n{"n": 1.0}\n', "s.jsonl", ()),
        ('{"n": 0.12345678901234567890}\n{"n": 0.12345678901234567891}\n', "s.jsonl", ("n",)),
        ('{"n": 0}\n{"n": -0.0}\n', "s.jsonl", ()),
        ("version,x\n1,a\n1.0,a\n", "s.csv", ("version",)),
        ("price,x\n1,a\n1.0,a\n", "s.csv", ()),
        ("price,x\n0.0,a\n-0.0,a\n", "s.csv", ()),
        ("p,x\n1,a\n1.0,a\nz,a\n", "s.csv", ("p",)),
        ("p,x\n2026-01-01 10:00:00,a\n2026-01-01T10:00:00,a\nz,a\n", "s.csv", ("p",)),
        ("p,x\n2026-01-01 10:00:00,a\n2026-01-01T10:00:00,a\n", "s.csv", ()),
        ("p,x\n9999-12-31T23:59:59-05:00,a\n9999-12-31T22:59:59-06:00,a\n", "s.csv", ("p",)),
        ("day,at\n2026-01-01,2026-01-01T10:00:00Z\n2026-01-01,2026-01-01T11:00:00Z\n", "s.csv", ("at",)),
    ],
)
def test_a_key_compares_values_as_their_column_does(
    tmp_path: Path, content: str, name: str, key: tuple[str, ...]
) -> None:
    assert keyed(tmp_path, content, name) == key


def test_values_that_are_equal_in_their_column_are_found_in_later_blocks() -> None:
    sample = Sample(is_csv=True)
    sample.add({"price": ["1", "2"], "id": ["a", "b"]}, 2)
    sample.add({"price": ["3.0", "4"], "id": ["c", "d"]}, 2)
    assert find_key(sample).names == ("id",)
    assert (sample.fields["price"].key_codes() or [])[2] == hash("3")
    sample.add({"price": ["1.0", "5"], "id": ["a", "e"]}, 2)
    assert find_key(sample).names == ()


def test_a_column_that_is_unique_is_found_behind_any_number_of_others(tmp_path: Path) -> None:
    names = [f"c{n}_id" for n in range(30)]
    lines = "".join(f"{'x,' * 30}{n}.5\n" for n in range(5))
    assert keyed(tmp_path, f"{','.join(names)},amount\n{lines}") == ("amount",)


def test_many_rows_are_compared_in_parts_and_as_exactly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("include.contracts.sample.AT_ONCE", 7)
    lines = [f"{n // 10},{n % 10}" for n in range(100)]
    assert keyed(tmp_path, "a,b\n" + "\n".join(lines)) == ("a", "b")
    assert keyed(tmp_path, "a,b\n" + "\n".join([*lines, lines[50]])) == ()
    assert keyed(tmp_path, "a,b\n" + "\n".join(f"{n},x" for n in range(100))) == ("a",)
    assert keyed(tmp_path, "a,b\n" + "\n".join(f"{n},x" for n in [*range(100), 3])) == ()


def test_rows_with_one_hash_are_not_taken_for_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.contracts.sample.AT_ONCE", 2)
    assert hash((-1, 5)) == hash((-2, 5))
    assert _is_unique([array("q", [-1, -2, 3]), array("q", [5, 5, 5])], 3)
    assert not _is_unique([array("q", [-1, -2, -1]), array("q", [5, 5, 5])], 3)


def test_any_columns_of_a_csv_are_read_where_none_are_named() -> None:
    lines = list(csv_records(io.BytesIO(b"x,y\n1,\n"), 100, Dialect(), None))
    assert [value for _, _, value, _ in lines] == [{"x": "1", "y": None}]


def test_a_wrong_encoding_and_a_preamble_are_named(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="is not UTF-8: give its --encoding"):
        seen(tmp_path, "id,größe\n1,2\n".encode("latin-1"))
    assert seen(tmp_path, "id,größe\n1,2\n".encode("utf-32")).rows == 1
    (tmp_path / "s.csv").write_text("Report\n\na,b\n1,2\n")
    assert "property: skipRows\n    value: 2" in draft("web", "things", tmp_path / "s.csv").text
