"""A contract drafted from a sample takes every row of it."""

from __future__ import annotations

import csv
import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from include import settings
from include.cli import main
from include.contracts import ContractError, read_contract
from include.contracts.check import check_file
from include.contracts.draft import write_draft
from include.contracts.names import MAX_NAME_BYTES
from include.contracts.sample import Sample
from include.contracts.sample_key import find_key
from tests.landing.conftest import Place


def test_a_drafted_contract_takes_every_row_of_its_sample(tmp_path: Path, source_uri: str) -> None:
    rows = [
        {
            "order-no": f"A{n}",
            "placed": f"2026-01-0{n % 9 + 1}T10:00:00",
            "who": {"mail": f"a{n}@example.com", "age": n if n % 2 else None},
            "lines": [{"sku": n, "price": "1.50"}],
            "total": "1.50",
            "weight": n / 4,
            "gift": n % 2 == 0,
        }
        for n in range(1, 30)
    ]
    sample = tmp_path / "sample.json"
    sample.write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = write_draft("web.orders", sample, folder=tmp_path / "contracts", schedule="0 2 * * *")
    assert check_file(file) == []
    contract = read_contract(file)
    assert contract.key == ("order_no",)
    assert {c.name: c.type for c in contract.columns} == {
        "order_no": "text",
        "placed": "timestamptz",
        "who_mail": "text",
        "who_age": "bigint",
        "lines": "jsonb",
        "total": "numeric",
        "weight": "double precision",
        "gift": "boolean",
    }
    assert [(c.name, c.personal) for c in contract.columns if c.personal] == [("who_mail", "email")]
    place = Place(contract, tmp_path, source_uri)
    place.put("web/sample.json", sample.read_bytes())
    result = place.land()
    assert (result.rows_loaded, result.rows_rejected) == (29, 0)
    with pytest.raises(ContractError, match="is there already"):
        write_draft("web.orders", sample, folder=tmp_path / "contracts")


def test_a_contract_is_drafted_from_a_csv_with_its_own_delimiter(tmp_path: Path, source_uri: str) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_text('id;day;amount;note\n1;2026-01-01;1.5;"a;b"\n2;2026-01-02;2;\n')
    contract = read_contract(write_draft("web.days", sample, folder=tmp_path / "contracts"))
    assert [(c.name, c.type, c.required) for c in contract.columns] == [
        ("id", "bigint", True),
        ("day", "date", True),
        ("amount", "numeric", True),
        ("note", "text", False),
    ]
    place = Place(contract, tmp_path, source_uri)
    place.put("web/sample.csv", sample.read_bytes())
    assert place.land().rows_loaded == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "holds no row to draft a contract from"),
        ("no rows\n", "holds no row to draft a contract from"),
        ('{"a": 1}\n{"a": "x"}\n', r"a: holds values of several types \(int, str\)"),
        (None, "can't be read .No such file or directory.: name a file of the dataset"),
    ],
)
def test_no_contract_is_drafted_from_a_sample_that_shows_too_little(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    sample = tmp_path / "sample.json"
    if content is not None:
        sample.write_text(content)
    with pytest.raises(ContractError, match=f"sample.json: {reason}"):
        write_draft("web.orders", sample, folder=tmp_path / "contracts")
    assert not (tmp_path / "contracts").exists()


def drafted(tmp_path: Path, content: str | bytes, name: str = "sample.csv", **options: Any) -> tuple[Any, str]:
    """Return the drafted document, and what was said of it."""
    sample = tmp_path / name
    sample.write_bytes(content.encode() if isinstance(content, str) else content)
    said: list[str] = []
    file = write_draft("web.orders", sample, folder=tmp_path / "contracts", report=said.append, **options)
    return yaml.safe_load(file.read_text()), "\n".join(said)


def properties(document: Any) -> dict[str, Any]:
    return {each["name"]: each for each in document["schema"][0]["properties"]}


def types(document: Any) -> dict[str, str]:
    return {name: each["physicalType"] for name, each in properties(document).items()}


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        (["01234", "90210"], "text"),
        (["007.1", "250.0"], "text"),
        (["00", "1"], "text"),
        (["-0", "1"], "text"),
        (["+1", "2"], "text"),
        (["1e5", "2"], "text"),
        ([".5", "1.5"], "text"),
        (["1,5", "2,5"], "text"),
        (["0", "-12"], "bigint"),
        (["9223372036854775807", "-9223372036854775808"], "bigint"),
        (["9223372036854775808", "1"], "numeric"),
        (["1" * 38], "numeric"),
        (["1" * 39], "text"),
        (["0.50", "12"], "numeric"),
        (["2026-02-28", "2024-02-29"], "date"),
        (["2021-02-30"], "text"),
        (["0000-00-00"], "text"),
        (["2018-01-01 00:00:00", "2018-01-01T00:00:00.123456Z", "2018-01-01 00:00+02:00"], "timestamptz"),
        (["2018-01-01 00:00:00 UTC"], "timestamptz"),
        (["2018-01-01 00:00:00.1234567"], "text"),
        (["2018-01-01 24:00:00"], "text"),
        (["2018-01-01 00:00:00+17:00"], "text"),
        (["true", "false"], "boolean"),
        (["True"], "text"),
        (["", ""], "text"),
    ],
)
def test_a_type_is_drafted_only_where_it_keeps_the_text(
    tmp_path: Path, values: list[str], type_: str, source_uri: str
) -> None:
    lines = "".join(f'{number},"{value}"\n' for number, value in enumerate(values))
    document, _ = drafted(tmp_path, f"id,v\n{lines}")
    assert types(document)["v"] == type_
    place = Place(read_contract(tmp_path / "contracts/web/orders.yaml"), tmp_path, source_uri)
    place.put("web/sample.csv", f"id,v\n{lines}".encode())
    assert place.land().rows_rejected == 0
    if type_ in ("text", "bigint", "numeric", "date"):
        assert [v or "" for (v,) in place.query("select v::text from web.orders order by id")] == values


def test_a_number_that_is_a_name_stays_text(tmp_path: Path) -> None:
    document, _ = drafted(tmp_path, "id,version,price,icd_code\n1,1.1,1.1,250.10\n2,1.10,1.10,250.1\n")
    assert types(document) == {"id": "bigint", "version": "text", "price": "numeric", "icd_code": "text"}


@pytest.mark.parametrize("number", ["18446744073709551615", "-80241446968629135069", "1e300"])
def test_large_numbers_of_json_are_numeric(tmp_path: Path, number: str) -> None:
    document, _ = drafted(tmp_path, f'{{"id": 1, "n": {number}}}\n', "s.json")
    assert types(document)["n"] == "numeric"


def test_a_type_that_changes_at_the_end_of_a_long_sample_is_seen_and_a_part_is_said_to_be_one(tmp_path: Path) -> None:
    text = "id,v\n" + "".join(f"{n},{n}\n" for n in range(11_999)) + "11999,x\n12000,\n"
    document, said = drafted(tmp_path, text)
    assert "read 12,001 rows, the whole sample" in said
    assert types(document)["v"] == "text" and "required" not in properties(document)["v"]
    assert properties(document)["id"]["required"] is True
    (tmp_path / "contracts/web/orders.yaml").unlink()
    document, said = drafted(tmp_path, text, rows=11_000)
    assert "read 11,000 rows, the first of the sample, so nothing is said to be required" in said
    assert types(document)["v"] == "bigint"
    assert not any("required" in each for each in properties(document).values())
    (tmp_path / "contracts/web/orders.yaml").unlink()
    _, said = drafted(tmp_path, text, rows=12_001)
    assert "read 12,001 rows, the whole sample" in said


HEADERS = [
    ["", "name"],
    ["a", "b", ""],
    ["ID", "id", "Id"],
    ["user_id", "user.id"],
    ["Amount ($)", "Amount (%)"],
    ["код", "название", "цена"],
    ["价格", "名称", "ชื่อ", "ราคา"],
    ["é" * 60, "é" * 60 + "x", "x" * 63, "x" * 64],
    ["_file", "_line", "_loaded_at", "_xid", "file_column"],
    ["xmin", "CTID", "tableoid", "xmax", "cmin", "cmax"],
    ["!", "?", "column", " ", "column_4"],
]


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header[0][:20] or "empty")
def test_a_draft_of_any_names_lands_and_keeps_them_apart(tmp_path: Path, header: list[str], source_uri: str) -> None:
    sample = tmp_path / "names.csv"
    with sample.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([header, [str(number) for number in range(len(header))]])
    file = write_draft("web.orders", sample, folder=tmp_path / "contracts")
    assert check_file(file) == []
    contract = read_contract(file)
    names = [column.name for column in contract.columns]
    assert len(set(names)) == len(header)
    assert all(0 < len(name.encode()) <= MAX_NAME_BYTES and name.strip("_") for name in names)
    place = Place(contract, tmp_path, source_uri)
    place.put("web/names.csv", sample.read_bytes())
    assert place.land().rows_loaded == 1
    quoted = ", ".join(f'"{name}"' for name in names)
    assert place.query(f"select {quoted} from web.orders") == [tuple(range(len(header)))]


def test_names_are_readable_in_any_script(tmp_path: Path) -> None:
    document, _ = drafted(tmp_path, "Prénom,ЦЕНА (год),ชื่อ,order-no,Straße\n1,2,3,4,5\n")
    named = {name: each.get("physicalName", name) for name, each in properties(document).items()}
    assert list(named.values()) == ["prenom", "цена_год", "ชื่อ", "order_no", "strasse"]


@pytest.mark.parametrize(
    ("content", "key", "said"),
    [
        ("country,year,v\nUS,2019,1\nUS,2020,1\nUK,2019,1\n", ["country", "year"], "country has 2 values in 3 rows"),
        ("a,day,order_id\nx,2026-01-01,1\ny,2026-01-02,2\n", ["order_id"], "the key is order_id: every row"),
        ("kind,at\nx,2026-01-01T00:00:00\nx,2026-01-01T01:00:00\n", ["at"], "may be chance"),
        ("kind,amount\nx,1.5\nx,2.5\n", ["amount"], "may be chance"),
        ("x,amount\nx,1.5\nx,1.50\n", [], "no key"),
        ("x,at\nx,2026-01-01T10:00:00Z\nx,2026-01-01 12:00:00+02:00\n", [], "no key"),
        ("country,year\nUS,2019\nUS,2019\nUK,2020\nUS,2021\n", [], "year has 3 values in 4 rows; country has 2 values"),
        ("id,v\n1,a\n,b\n", ["v"], "the key is v"),
        ("a,b,c,d,e\n" + "".join(f"{','.join(f'{n:05b}')}\n" for n in range(32)), [], "nor 4 of them together"),
    ],
)
def test_the_shortest_key_that_is_unique_is_offered_with_figures(
    tmp_path: Path, content: str, key: list[str], said: str
) -> None:
    document, notes = drafted(tmp_path, content)
    keyed = [each for each in properties(document).values() if each.get("primaryKey")]
    assert [each["name"] for each in sorted(keyed, key=lambda each: each["primaryKeyPosition"])] == key
    assert said in notes
    assert ("withoutKey: replaceFile" in notes) == (not key)
    (problem,) = check_file(tmp_path / "contracts/web/orders.yaml") or [None]
    assert (problem is None) == bool(key)
    todo = document["schema"][0]["description"]
    assert ("Give the properties that tell its rows apart a primaryKey" in todo) == (not key)


def test_a_draft_without_a_key_lands_nothing_and_check_is_red(tmp_path: Path) -> None:
    drafted(tmp_path, '{"a": 1}\n{"a": 1}\n', "s.jsonl")
    (problem,) = check_file(tmp_path / "contracts/web/orders.yaml")
    assert "no property has primaryKey" in problem


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ([0, 3, 6, 9, 0], "every row of the first 9 rows, the only ones that were compared, has another"),
        (
            [0, 3, 3],
            "are unique in the sample (id has 6 values in 9 rows)",
        ),
    ],
)
def test_a_key_is_never_called_unique_beyond_the_rows_that_were_compared(
    monkeypatch: pytest.MonkeyPatch, blocks: list[int], said: str
) -> None:
    monkeypatch.setattr("include.contracts.sample._MAX_CODES", 7)
    sample = Sample(is_csv=True)
    for first in blocks:
        sample.add({"id": [str(first), str(first + 1), str(first + 2)], "x": ["1", "1", "1"]}, 3)
    assert said in find_key(sample).notes[0]


def test_a_duplicate_far_away_is_found(tmp_path: Path) -> None:
    numbers = random.Random(0).sample(range(10**6), 40_000)
    lines = "".join(f"{n},x\n" for n in [*numbers, numbers[0]])
    document, said = drafted(tmp_path, f"id,v\n{lines}")
    assert "id has 40,000 values in 40,001 rows" in said
    assert not any(each.get("primaryKey") for each in properties(document).values())


@pytest.mark.parametrize(
    ("name", "delimiter", "path"),
    [("s.tsv", "\t", "web/s.tsv"), ("s.CSV.gz", ",", "web/s.CSV"), ("s[1].dat", ",", "web/s[1].dat")],
)
def test_the_path_follows_the_sample(tmp_path: Path, name: str, delimiter: str, path: str) -> None:
    content = f"id{delimiter}name\n1{delimiter}a\n".encode()
    document, _ = drafted(tmp_path, gzip.compress(content) if name.endswith(".gz") else content, name)
    server = document["servers"][0]
    assert (server["path"], server["format"], server["delimiter"]) == (path, "csv", delimiter)
    assert list(properties(document)) == ["id", "name"]


def test_a_json_sample_keeps_its_name(tmp_path: Path) -> None:
    document, said = drafted(tmp_path, '{"id": 1}\nnonsense\n{"id": 2}\n', "test.jsonl")
    assert (document["servers"][0]["path"], document["servers"][0]["format"]) == ("web/test.jsonl", "json")
    assert "left out 1 lines or records" in said
    (tmp_path / "contracts/web/orders.yaml").unlink()
    document, said = drafted(tmp_path, '{"id": 1}\n{"id": 2}\n', "test.jsonl", rows=1)
    assert "read 1 rows, the first of the sample" in said
    assert "required" not in properties(document)["id"]


def test_delimiter_of_a_header_is_counted_outside_its_quotes(tmp_path: Path) -> None:
    document, _ = drafted(tmp_path, '"Region, State, County";"Value"\na;1\n')
    assert document["servers"][0]["delimiter"] == ";"


def test_delimiter_may_be_written_as_an_escape_and_others_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document, _ = drafted(tmp_path, "id\tv\n1\ta\n", delimiter="\\t")
    assert document["servers"][0]["delimiter"] == "\t"
    sample = tmp_path / "sample.csv"
    for wrong, why in (('"', "stands in the delimiter"), ("\n", "give one character or more")):
        assert main(["contract", "new", "web.other", str(sample), "--delimiter", wrong]) == 1
        assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("id,naïve\n".encode("latin-1") + b"1,2\n", "is not UTF-8"),
        (b"id\n\xff\n", "is not UTF-8: give its --encoding, such as Windows-1252"),
        (b"v,v\n1,2\n", "its header names the column 'v' twice"),
    ],
)
def test_sample_that_is_no_csv_is_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(ContractError, match=sentence):
        drafted(tmp_path, content)
    assert not (tmp_path / "contracts").exists()


@pytest.mark.parametrize(("encoding", "given"), [("UTF-16", None), ("Windows-1252", "Windows-1252")])
def test_the_encoding_of_a_sample_stands_in_its_contract(
    tmp_path: Path, source_uri: str, encoding: str, given: str | None
) -> None:
    content = "id;prix €\n1;é\n".encode(encoding)
    document, _ = drafted(tmp_path, content, encoding=given)
    assert document["servers"][0]["encoding"] == encoding
    assert list(properties(document)) == ["id", "prix €"]
    place = Place(read_contract(tmp_path / "contracts/web/orders.yaml"), tmp_path, source_uri)
    place.put("web/sample.csv", content)
    assert place.land().rows_loaded == 1
    with pytest.raises(ContractError, match="encoding: 'klingon' is none that Python knows"):
        (tmp_path / "contracts/web/orders.yaml").unlink()
        drafted(tmp_path, content, encoding="klingon")


def test_keys_within_a_value_stay_as_they_are(tmp_path: Path) -> None:
    row = b'{"id": 1, "l": [{"ignoreFields": 1, "xmin": 2, "o": {"A b": 1}}]}'
    document, _ = drafted(tmp_path, row, "s.json")
    items = properties(document)["l"]["items"]["properties"]
    assert [each["name"] for each in items] == ["ignoreFields", "xmin", "o"]
    assert not any("physicalName" in each for each in [*items, *items[2]["properties"]])


def test_options_of_the_command_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "CONTRACTS", tmp_path / "contracts")
    sample = tmp_path / "sample.csv"
    sample.write_bytes("id;prix €\n1;2\n2;é\n3;4\n".encode("Windows-1252"))
    options = ["--schedule", "5 4 * * *", "--encoding", "Windows-1252", "--delimiter", ";", "--rows", "1"]
    assert main(["contract", "new", "web.prices", str(sample), *options]) == 0
    out, err = capsys.readouterr()
    file = tmp_path / "contracts" / "web" / "prices.yaml"
    document = yaml.safe_load(file.read_text())
    assert (document["servers"][0]["encoding"], document["servers"][0]["delimiter"]) == ("Windows-1252", ";")
    assert document["slaProperties"][0]["schedule"] == "5 4 * * *"
    assert properties(document)["prix €"]["logicalType"] == "integer", "the second row was not read"
    assert out.startswith(f"{file}: read it, replace each TODO") and "warehouse contract check" in out and err
    for rows in ("0", "-1", "many"):
        with pytest.raises(SystemExit):
            main(["contract", "new", "web.others", str(sample), f"--rows={rows}"])
        assert f"{rows!r} is no number from 1 up" in capsys.readouterr().err
