"""A draft recognises how its sample is written, says how sure it is, and leaves as text what has two readings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from include.cli import main
from include.contracts.draft import draft, write_draft
from include.contracts.model import ContractError
from include.contracts.notation import Notation
from include.contracts.read import read_contract
from include.contracts.recognise import Recognised, recognise
from include.contracts.recognise_values import Written, recognise_values
from include.landing import judge
from tests.landing.conftest import write_contract
from tests.landing.test_dialect_files import CORPUS, landed


def told(head: str, **said: Any) -> Recognised:
    return recognise(head, is_whole=True, said=said)


@pytest.mark.parametrize(
    ("head", "delimiter", "options", "names"),
    [
        ("a;b\n1;x,y\n2;z\n", ";", {}, ["a", "b"]),
        ("a||b||c\n1||x|y||z\n2||x||y\n", "||", {}, ["a", "b", "c"]),
        ("id\ttitle\n1\t\"Weird\" Al\n2\t\"Foo\n3\tx\n4\ty\n", "\t", {"quoteChar": "none"}, ["id", "title"]),
        ("id,t\n1,'a,b'\n2,'c'\n", ",", {"quoteChar": "'"}, ["id", "t"]),
        ('id,t\n1,"a\\"b"\n2,"c\\\\"\n3,\\N\n', ",", {"escapeChar": "\\", "missingValues": ["", "\\N"]}, ["id", "t"]),
        ('id, t\n1, "a, b"\n2, c\n', ",", {"skipInitialSpace": True}, ["id", "t"]),
        ('id\tt\n1\t"a, ""b"", c"\n2\tc\n', "\t", {}, ["id", "t"]),
        ("# by hand, or so, it seems\nid,t\n1,a\n# x\n2,b\n", ",", {"commentChar": "#"}, ["id", "t"]),
        ("Report\nof 2026\n\nid;t\n1;a\n2;b\n3;c\n4;d\n", ";", {"skipRows": 3}, ["id", "t"]),
        ("sep=;\nReport\nid;t\n1;a\n2;b\n3;c\n4;d\n5;e\n", ";", {"skipRows": 2}, ["id", "t"]),
        ("Report;;\n;;\nid;t;u\n1;a;b\n2;c;d\n", ";", {"skipRows": 2}, ["id", "t", "u"]),
        ("Report\nof 2026;;\nid;t;u\n" + "1;a;b\n" * 12, ";", {"skipRows": 2}, ["id", "t", "u"]),
        ("id;;\n1;2;3\n4;5;6\n", ";", {}, ["id", "column_2", "column_3"]),
        ("id;t;u\na;;\nb;c;d\n", ";", {}, ["id", "t", "u"]),
        (";t\n1;a\n2;b\n", ";", {}, ["column_1", "t"]),
        ("name;\na;b\nc;d\n", ";", {}, ["name", "column_2"]),
        ("name;;;;\na;b;;;\nc;d;e;f;g\n", ";", {}, ["name", "column_2", "column_3", "column_4", "column_5"]),
        ("sep=|\nid|t;u;v\n1|a;b;c\n", "|", {}, ["id", "t;u;v"]),
        ("Berlin,2020-01-31\nParis,2020-02-01\nRome,2020-03-01\n", ",", {"header": False}, ["column_1", "column_2"]),
        ("1,\\N\n2,\\N\n3,x\n", ",", {"missingValues": ["", "\\N"], "header": False}, ["column_1", "column_2"]),
        ("land,2019,2020\nDE,1,2\nFR,3,4\n", ",", {}, ["land", "2019", "2020"]),
        ("id,t\r1,a\r2,b\r", ",", {}, ["id", "t"]),
    ],
)  # fmt: skip
def test_the_dialect_of_a_file_is_recognised(
    head: str, delimiter: str, options: dict[str, Any], names: list[str]
) -> None:
    found = told(head)
    assert (found.delimiter, found.options, found.names) == (delimiter, options, names)
    for name in options:
        assert any(name in note for note in found.notes)


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        ("a;b\n1;2\n3;4\n", "the delimiter is ';', which is certain: 100% of the first 3 records have 2 values"),
        ("a;b\n1;2\n", "the delimiter is ';', which is likely"),
        ("a;b,c\n1;2,3\n4;5,6\n", "the delimiter is ',', which is a guess: with ';' as many records"),
        ("a;b\n1;2\n3\n", "the delimiter is ';', which is a guess: 67% of the first 3 records"),
        ("a\n1\n2\n", "the delimiter is ',', which is a guess: no delimiter stands in the first records"),
        ("sep=;\na;b\n", "the delimiter is ';': the first line, sep=;, says so"),
        ("a;b\nx;y\nz;w\n", "nothing says whether it is data: see --dialect header=false"),
    ],
)
def test_how_sure_it_is_is_said(head: str, sentence: str) -> None:
    assert sentence in "\n".join(told(head).notes)


def written(values: list[str | None]) -> Written:
    return recognise_values("v", values, Notation(("",)))


@pytest.mark.parametrize(
    ("values", "kind", "options", "read"),
    [
        (["1.234,50", "2"], "number", {"decimalChar": ",", "groupChar": "."}, "1234.50"),
        (["1,234.50", "2"], "number", {"groupChar": ","}, "1234.50"),
        (["1,234,567", "1"], "number", {"groupChar": ","}, "1234567"),
        (["1'234.50"], "number", {"groupChar": "'"}, "1234.50"),
        (["1 234,50"], "number", {"decimalChar": ",", "groupChar": " "}, "1234.50"),
        (["1,5", "1,234"], "number", {"decimalChar": ","}, "1.5"),
        (["1,234", "2,500"], "text", {}, "1,234"),
        (["1.5", "N/A", None], "plain", {"missingValues": ["", "N/A"]}, "1.5"),
        (["Namibia", "NA"], "text", {}, "Namibia"),
        (["ja", "nein"], "boolean", {"trueValues": ["ja"], "falseValues": ["nein"]}, "true"),
        (["Y", "Y"], "text", {}, "Y"),
        (["31.01.2020"], "date", {"format": "dd.MM.yyyy"}, "2020-01-31"),
        (["1.2.2020", "31.12.2020"], "date", {"format": "d.M.yyyy"}, "2020-02-01"),
        (["01/31/2020", "02/01/2020"], "date", {"format": "MM/dd/yyyy"}, "2020-01-31"),
        (["01/02/2020", "02/01/2020"], "text", {}, "01/02/2020"),
        (["31/01/20"], "text", {}, "31/01/20"),
        (["2020年1月31日"], "date", {"format": "yyyy年M月d日"}, "2020-01-31"),
        (["1/31/2020 1:05 PM"], "timestamp", {"format": "M/d/yyyy h:mm a"}, "2020-01-31T13:05:00"),
        (["2018-01-01 00:00:00 UTC"], "timestamp", {"format": "yyyy-MM-dd HH:mm:ss 'UTC'"}, "2018-01-01T00:00:00"),
    ],
)  # fmt: skip
def test_how_values_are_written_is_recognised_where_only_one_reading_fits(
    values: list[str | None], kind: str, options: dict[str, Any], read: str
) -> None:
    found = written(values)
    assert (found.kind, {**found.options, **found.type_options}) == (kind, options)
    assert found.value(values[0]) == read
    assert found.value("something else") == "something else"
    assert [found.value(null) for null in options.get("missingValues", [])] == [None] * len(
        options.get("missingValues", [])
    )
    assert bool(found.notes) is (bool(options) or values[0] in ("1,234", "01/02/2020"))


@pytest.mark.parametrize("name", ["german", "french, with the blanks of its spreadsheets", "swiss", "imdb", "japanese"])
def test_a_drafted_contract_lands_its_sample_with_the_right_values(tmp_path: Path, name: str) -> None:
    content, encoding, _, _, expected = CORPUS[name]
    sample = tmp_path / "sample.csv"
    sample.write_bytes(content.encode(encoding))
    text = draft("web", "orders", sample, encoding={"utf-8-sig": "UTF-8"}.get(encoding, encoding)).text
    document = yaml.safe_load(text)
    properties = document["schema"][0]["properties"]
    properties[0] |= {"primaryKey": True, "primaryKeyPosition": 1, "required": True}
    found = landed(write_contract(tmp_path, yaml.safe_dump(document), "csv"), sample.read_bytes(), tmp_path)
    assert found.rejects == []
    in_utc = [[value.replace("+01:00", "") for value in row] for row in expected]  # the zone is a person's to say
    assert [[value.replace("+00", "") for value in row] for row in found.rows] == in_utc


def test_what_a_person_says_is_not_guessed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.settings.CONTRACTS", tmp_path)
    sample = tmp_path / "sample.txt"
    sample.write_text("x;1.234;N\ny;2.500;J\n")
    options = ["header=false", "groupChar=.", "decimalChar=,", "trueValues=[J]", "falseValues=['N']"]
    arguments = [part for option in options for part in ("--dialect", option)]
    assert main(["contract", "new", "web.orders", str(sample), "--delimiter", ";", *arguments]) == 0
    server = yaml.safe_load((tmp_path / "web/orders.yaml").read_text())["servers"][0]
    assert {each["property"]: each["value"] for each in server["customProperties"]} == {
        "header": False,
        "groupChar": ".",
        "decimalChar": ",",
        "trueValues": ["J"],
        "falseValues": ["N"],
    }
    properties = yaml.safe_load((tmp_path / "web/orders.yaml").read_text())["schema"][0]["properties"]
    assert [each["physicalType"] for each in properties] == ["text", "bigint", "boolean"]
    assert "as you said" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["contract", "new", "web.more", str(sample), "--dialect", "quote=x"])
    assert "'quote=x' is no option of a dialect: give NAME=VALUE of quoteChar" in capsys.readouterr().err


def test_what_the_first_values_tell_is_left_where_later_ones_differ(tmp_path: Path) -> None:
    sample = tmp_path / "sample.csv"
    rows = "".join(f"{number};{number},5;31.01.2020;ja;-\n{number};1,5;01.02.2020;nein;7\n" for number in range(400))
    sample.write_text(f"id;a;day;flag;n\n{rows}x;1.5;2020-01-31;maybe;x\n")
    document = yaml.safe_load(draft("web", "orders", sample).text)
    for each in document["schema"][0]["properties"]:
        assert each["physicalType"] == "text"
        assert not each.keys() & {"customProperties", "logicalTypeOptions"}


@pytest.mark.parametrize(
    ("head", "is_refused"),
    [
        ("0001  anna    12\n0002  bert    13\n", True),
        ("id   name  n\n1    a     2\n\n22   bcd   3\n", True),
        ("hello world\nhelp! would\n", False),
        ("Total  a b\nx y z\n", False),
        ("0001  anna,12\n0002  bert,13\n", False),
    ],
)
def test_a_file_of_fixed_width_is_refused_by_name(head: str, is_refused: bool) -> None:
    if is_refused:
        with pytest.raises(ContractError, match="columns of a fixed width"):
            told(head)
        assert recognise(head, is_whole=True, delimiter=",", said={}).names
    else:
        assert told(head).names


def test_integers_with_points_between_thousands_are_drafted_and_land(tmp_path: Path) -> None:
    sample = tmp_path / "in/web/s.csv"
    sample.parent.mkdir(parents=True)
    sample.write_text("id;n\n1;200.000.000\n2;1.234.567\n")
    contract = read_contract(write_draft("web.things", sample, folder=tmp_path / "contracts"))
    assert [column.type for column in contract.columns] == ["bigint", "bigint"]
    assert judge(contract, ["web/s.csv"], root=str(tmp_path / "in")).rows_loaded == 2


def test_options_that_contradict_each_other_are_one_sentence() -> None:
    with pytest.raises(ContractError, match="quoteChar: ';' stands in the delimiter"):
        told("a;b\n", quoteChar=";")


def test_a_number_with_a_point_stays_text_beside_a_decimal_comma(tmp_path: Path) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_text("id;a;b;c\n1;1,5;1.234;1.5\n2;2,5;2.500;12\n")
    said: list[str] = []
    document = yaml.safe_load(draft("web", "orders", sample, report=said.append).text)
    types = {each["name"]: each["physicalType"] for each in document["schema"][0]["properties"]}
    assert types == {"id": "bigint", "a": "numeric", "b": "text", "c": "numeric"}
    assert "b: 1.234 may have thousands or decimals, and stays text: say groupChar" in said
