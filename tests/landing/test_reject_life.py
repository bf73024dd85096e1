"""From the rejection of a row to its end: mended as it was written and loaded, dismissed, or superseded."""

from __future__ import annotations

import getpass
import io
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from include import settings
from include.cli import make_parser
from include.contracts import Contract
from include.errors import WarehouseError
from include.landing import explain, mend, release, replay
from include.orchestration.rejects import replay_datasets
from tests.landing.conftest import THINGS, Place, write_contract
from tests.landing.test_deliveries import OLD_TABLES

Run = Callable[..., int]
CSV = b"id,secret,label\n1,,a\none,x@example.com,b\n3,,c,d\n"
PATH = "toys/one/things.csv"


@pytest.fixture
def run(source_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on the contracts of the test."""
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", source_uri)
    monkeypatch.setattr(settings, "CONTRACTS", tmp_path / "contracts")
    parser = make_parser()

    def call(*words: str) -> int:
        args = parser.parse_args(words)
        return int(args.handler(args))

    return call


def test_a_csv_row_is_shown_and_mended_as_it_is_written(
    csv_things: Place, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    csv_things.put("one", CSV)
    csv_things.land()
    assert run("rejects", "show", "toys", "--path", PATH) == 0
    assert capsys.readouterr().out.splitlines()[1::2] == ["    one,x@example.com,b", "    3,,c,d"]
    mended = ("rejects", "mend", "toys.things", "--path", PATH)
    with pytest.raises(WarehouseError, match=r"line 3: the row would be rejected again: id: 'two' is not an integer$"):
        run(*mended, "--line", "3", "--row", "two,x@example.com,b")
    with pytest.raises(WarehouseError, match="secret: is not an e-mail address") as caught:
        run(*mended, "--line", "3", "--row", "2,somebody,b")
    assert "somebody" not in str(caught.value)
    for row, why in (("2,,b,c", "4 values where the contract has 3"), ("2,,b\n3,,c", "is 2 records: give one")):
        with pytest.raises(WarehouseError, match=why):
            run(*mended, "--line", "4", "--row", row)
    with pytest.raises(WarehouseError, match="line 2: no row was rejected there: `warehouse rejects show"):
        run(*mended, "--line", "2", "--row", "1,,a")
    assert run(*mended, "--line", "3", "--row", '2,x@example.com,"b, ""c"""') == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("3,,c\n"))
    assert run(*mended, "--line", "4") == 0
    assert csv_things.rows() == [(1, "a")]
    capsys.readouterr()
    assert run("rejects", "replay", "toys", "--line", "4") == 0
    assert run("rejects", "replay", "toys", "--code", "type") == 0
    said = capsys.readouterr().out
    assert "1 are loaded now" in said and "the next run of the warehouse sees them" in said
    assert csv_things.query("select id, label, secret, _line from toys.things order by 1") == [
        (1, "a", None, 2),
        (2, 'b, "c"', "x@example.com", 3),
        (3, "c", None, 4),
    ]


@pytest.mark.parametrize(
    ("old", "new", "row"),
    [
        ('delimiter: ","', 'delimiter: ";"', "1;m;"),
        ('delimiter: ","', 'delimiter: ",", encoding: windows-1252', "1,m,"),
    ],
)
def test_a_row_of_another_dialect_is_mended_in_it(things: Place, old: str, new: str, row: str) -> None:
    things.contract = write_contract(things.folder, THINGS.replace(old, new), "csv")
    mark = row[1]
    header, bad = (mark.join(values) + "\n" for values in (("id", "label", "secret"), ("x", "é", "")))
    things.put("one", (header + bad + f"7{mark}{mark}\n").encode("cp1252" if "1252" in new else "utf-8"))
    things.land()
    mend(things.contract, row, source_uri=things.uri, path=PATH, line=2)
    assert replay(things.contract, source_uri=things.uri).loaded == 1
    assert things.rows() == [(1, "m"), (7, None)]


def test_a_row_that_was_cut_short_is_mended_by_the_header_of_its_file_alone(things: Place) -> None:
    rows = "customProperties: [{property: skipRows, value: 1}, {property: skipFooterRows, value: 1}]"
    text = THINGS.replace('delimiter: ","', f'delimiter: ",", {rows}')
    things.contract = write_contract(things.folder, text, "csv")
    things.put("one", b"Toys\nlabel,id,secret\na,1,\nb,2\nTotal,2,\n")
    things.land()
    mend(things.contract, "b,2,", source_uri=things.uri, path=PATH, line=4)
    assert replay(things.contract, source_uri=things.uri).loaded == 1
    assert things.rows() == [(1, "a"), (2, "b")]


def test_a_csv_line_in_the_table_of_rejects_is_read_as_one(csv_things: Place) -> None:
    csv_things.put("one", CSV)
    csv_things.land()
    csv_things.query("""update landing.rejects set "row" = '2,,b' where line = 3 returning 1""")
    csv_things.query("""update landing.rejects set "row" = '{"id": "3", "label": "c"}' where line = 4 returning 1""")
    assert replay(csv_things.contract, source_uri=csv_things.uri).loaded == 2
    assert csv_things.rows() == [(1, "a"), (2, "b"), (3, "c")]


def test_only_the_rejects_that_were_chosen_are_replayed(things: Place) -> None:
    bad = [{"id": "x"}, {"id": "x"}, {"id": 1, "colour": "red"}]
    things.put("one", [{"id": 1}, {"id": 2}, {"id": 3}, *bad])
    things.put("two", [{"id": 1}, {"id": "x"}])
    things.land()
    things.query("""update landing.rejects set "row" = '{"id": 1' || line || '}' returning 1""")
    left = []
    for choice in ({"code": "type", "line": 4}, {"code": "type"}, {}):
        assert replay(things.contract, source_uri=things.uri, path="toys/one/things.json", **choice).loaded == 1
        left.append(things.query("select line from landing.rejects order by line"))
    assert left == [[(2,), (5,), (6,)], [(2,), (6,)], [(2,)]]  # line 2 is of the other file


def test_dismissed_rows_are_kept_with_who_when_and_why(
    things: Place, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    things.put("one", [{"id": 1}, {"id": "x"}, {"id": 2, "colour": "red"}, {"id": 3, "colour": "red"}])
    things.land()
    with pytest.raises(WarehouseError, match="give a reason"):
        run("rejects", "dismiss", "toys", "--reason", " ")
    assert run("rejects", "dismiss", "toys.things", "--code", "unknown_key", "--line", "3", "--reason", "no toy") == 0
    assert "toys.things: 1 rejected rows are dismissed" in capsys.readouterr().out
    assert run("rejects", "dismiss", "toys.things", "--line", "3", "--reason", "once more") == 0
    assert "toys.things: 0 rejected rows are dismissed" in capsys.readouterr().out  # the first reason stays
    closed = things.query("select line, closed_by, closed_why, closed_at is not null from landing.rejects"
                          " where closed_as = 'dismissed'")  # fmt: skip
    assert closed == [(3, getpass.getuser(), "no toy", True)]
    assert run("rejects", "list") == 0
    assert "dismissed" not in capsys.readouterr().out
    run("rejects", "list", "--all")
    assert "dismissed" in capsys.readouterr().out
    run("rejects", "show", "--all", "--line", "3")
    assert f"dismissed by {getpass.getuser()} at 20" in capsys.readouterr().out
    things.query("""update landing.rejects set "row" = '{"id": 3}' returning 1""")
    assert replay(things.contract, source_uri=things.uri).loaded == 1  # of the two that are open, one is a duplicate
    assert things.query("select line from landing.rejects") == [(3,)]
    with pytest.raises(WarehouseError, match="line 3: is dismissed: send the row in a new file instead"):
        mend(things.contract, '{"id": 3}', source_uri=things.uri, path="toys/one/things.json", line=3)


def test_rejects_of_a_file_that_a_newer_version_replaced_are_superseded(things: Place) -> None:
    state = "select path, line, coalesce(closed_as, 'open') from landing.rejects order by 1, rejected_at, 2"
    one, two = "toys/one/things.json", "toys/two/things.json"
    things.put("one", [{"id": 1}, {"id": "x"}, {"id": 2}])
    things.put("two", [{"id": 1}, {"id": "x"}, {"id": 3}])
    things.land()
    things.put("one", [{"id": 1}, {"id": 2}, {"id": "y"}])
    things.land()
    assert things.query(state) == [(one, 2, "superseded"), (one, 3, "open"), (two, 2, "open")]
    things.query("""update landing.rejects set "row" = '{"id": 9}' where path = 'toys/one/things.json' returning 1""")
    assert replay(things.contract, source_uri=things.uri).loaded == 1
    assert things.query("select _file, _line from toys.things where id = 9") == [(one, 3)]
    things.put("two", [{"id": "z"}])  # held: nothing of it is loaded, but it is what the sender says now
    things.land_anyway()
    assert things.query(state) == [(one, 2, "superseded"), (two, 2, "superseded"), (two, 1, "open")]


def test_a_replayed_row_is_as_new_as_its_file(things: Place) -> None:
    things.put("o_1", [{"id": 1, "label": "a"}, {"id": "x"}, {"id": 2}])
    things.land()
    things.put("o_2", [{"id": 1, "label": "b"}, {"id": 2, "label": "b"}])
    things.land()
    mended = '{"id": 2, "label": "m"}'
    mend(things.contract, mended, source_uri=things.uri, path="toys/o_1/things.json", line=2)
    assert replay(things.contract, source_uri=things.uri).loaded == 1
    assert things.query("select id, label from toys.things_current order by 1") == [(1, "b"), (2, "b")]
    assert [label for id_, label in things.rows() if id_ == 2] == ["m", None, "b"]


def test_a_held_file_that_is_judged_again_keeps_what_was_done_to_its_rows(things: Place) -> None:
    things.put("one", [{"id": 1}, *({"id": f"x{n}"} for n in range(5))])
    things.land_anyway()
    path = "toys/one/things.json"
    mend(things.contract, '{"id": 7}', source_uri=things.uri, path=path, line=3)
    things.query("update landing.rejects set closed_as = 'dismissed' where line = 4 returning 1")
    things.land_anyway()  # as the schedule does
    assert things.query("select line, closed_as from landing.rejects where closed_as > ''") == [(4, "dismissed")]
    release(things.contract, source_uri=things.uri, root=str(things.root), archive=str(things.archive))
    assert replay(things.contract, source_uri=things.uri).loaded == 1
    assert things.rows() == [(1, None), (7, None)]
    assert things.query("select count(*), count(closed_as) from landing.rejects") == [(4, 1)]


def test_rejects_of_an_older_version_are_listed_before_anything_has_landed_since(
    things: Place, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    things.put("one", [{"id": 1}, {"id": "x"}])
    things.land()
    keep = "create table kept_files as table landing.files; create table kept_rejects as table landing.rejects;"
    with psycopg.connect(things.uri) as connection:
        connection.execute(keep + OLD_TABLES)
    for verb in ("list", "show"):
        assert run("rejects", verb, "toys") == 0
        assert "type" in capsys.readouterr().out
    mend(things.contract, '{"id": 2}', source_uri=things.uri, path="toys/one/things.json", line=2)
    assert replay(things.contract, source_uri=things.uri).loaded == 1


def test_the_log_of_a_batch_says_what_was_rejected_why_and_how_to_see_it(things: Place) -> None:
    things.put("good", [{"id": 8}])
    things.put("o'ne", [{"id": 1}, {"id": 2, "secret": "somebody"}, {"id": "x"}, {"id": "y"}, {"id": 3}, {"id": 4}])
    things.put("bad", [{"id": "z"}])
    text = explain(things.land_anyway(), things.uri)
    assert "somebody" not in text and "toys/good" not in text
    lines = [line.split() for line in text.splitlines()]
    assert ["toys/bad/things.json", "held", "1", "0", "0", "1"] in lines
    assert ["toys/o'ne/things.json", "landed", "6", "3", "0", "3"] in lines
    assert "toys/o'ne/things.json  type    id         2           3  id: 'x' is not an integer" in text
    assert "secret: is not an e-mail address" in text
    shown = """`warehouse rejects show toys.things '--path=toys/o'"'"'ne/things.json' --code=type` shows the rows"""
    assert text.splitlines()[-1] == shown
    things.put("good", [{"id": 9}])
    assert explain(things.land_anyway(), things.uri).count("\n") > 0
    (things.root / "toys/bad/things.json").unlink()
    things.put("good", [{"id": 10}])
    assert explain(things.land(), things.uri).startswith("toys.things: 1 files, 1 rows: 1 loaded")


def test_replay_in_airflow_says_of_which_tables_rows_were_loaded(
    things: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    things.put("one", [{"id": 1}, {"id": "x"}])
    things.land()

    def replayed(contracts: list[Contract]) -> list[tuple[str, int]]:
        found = replay_datasets(contracts, things.uri, path=None, code="type")
        return [(contract.name, result.loaded) for contract, result in found]

    assert replayed([things.contract]) == []
    mend(things.contract, '{"id": 2}', source_uri=things.uri, path="toys/one/things.json", line=2)
    assert replayed([things.contract]) == [("toys.things", 1)]
    assert "1 are loaded now" in capsys.readouterr().out


def test_a_row_of_a_csv_without_a_valid_one_is_mended_as_it_is_written(csv_things: Place) -> None:
    csv_things.put("one", b"label,id\na,x\n")
    csv_things.land_anyway()
    assert mend(csv_things.contract, "b,1", source_uri=csv_things.uri, path=PATH, line=2)  # its file is held
    left = replay(csv_things.contract, source_uri=csv_things.uri)
    assert (left.loaded, left.held) == (0, 1)
    assert str(left).endswith("the rows of 1 held files are left alone: --release lands them")
    release(csv_things.contract, source_uri=csv_things.uri, root=str(csv_things.root), archive=str(csv_things.archive))
    again = replay(csv_things.contract, source_uri=csv_things.uri)
    assert (again.loaded, again.held) == (1, 0)
    assert csv_things.rows() == [(1, "b")]
