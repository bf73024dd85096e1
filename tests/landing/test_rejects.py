"""A rejected row can be looked at and comes in once the contract or the row was mended, with its file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from include import settings
from include.cli import make_parser
from include.contracts.dbt_sources import write
from include.landing import release, replay
from include.landing.commands import archive_of
from include.storage import FileError
from tests.landing.conftest import CONTRACTS, THINGS, Place, write_contract


def files(place: Place) -> list[tuple[object, ...]]:
    return place.query("select status, rows_read, rows_loaded, rows_duplicate, rows_rejected from landing.files")


def test_rows_are_loaded_after_the_contract_was_mended(things: Place) -> None:
    things.put("one", [{"id": 1}, {"id": 2, "colour": "red"}, {"id": 3, "colour": "blue"}, {"id": "x"}])
    things.land()
    assert replay(things.contract, source_uri=things.uri).loaded == 0
    things.contract = write_contract(
        things.folder,
        THINGS + "          - {name: colour, logicalType: string, physicalType: text, description: Colour.}\n",
    )
    result = replay(things.contract, source_uri=things.uri)
    assert (result.loaded, result.duplicate, result.rejected) == (2, 0, 1)
    assert things.query("select id, colour, _line from toys.things order by id") == [
        (1, None, 1),
        (2, "red", 2),
        (3, "blue", 3),
    ]
    assert files(things) == [("landed", 4, 3, 0, 1)]
    assert things.query("select line, code from landing.rejects") == [(4, "type")]


def test_a_row_is_loaded_after_it_was_mended_and_counts_as_duplicate_where_it_is_one(things: Place) -> None:
    things.put("one", [{"id": 1}, {"id": "2"}, {"id": "3"}])
    things.land()
    things.query("""update landing.rejects set "row" = '{"id": 2}' where line = 2 returning 1""")
    things.query("""update landing.rejects set "row" = '{"id": 1}' where line = 3 returning 1""")
    result = replay(things.contract, source_uri=things.uri, code="type")
    assert (result.loaded, result.duplicate, result.rejected) == (1, 1, 0)
    assert files(things) == [("landed", 3, 2, 1, 0)]


def test_a_csv_row_is_mended_as_an_object(csv_things: Place) -> None:
    csv_things.put("one", b"id,label,secret\none,a,\n2,b,\n")
    csv_things.land()
    csv_things.query("""update landing.rejects set "row" = replace("row", 'one', '1') returning 1""")
    assert replay(csv_things.contract, source_uri=csv_things.uri).loaded == 1
    assert csv_things.rows() == [(1, "a"), (2, "b")]


def test_a_held_file_is_released_with_its_mended_rows(things: Place) -> None:
    things.put("one", [{"id": 1}, *({"id": f"x{n}"} for n in range(5))])
    things.land_anyway()
    things.query("""update landing.rejects set "row" = '{"id": 7}' where line = 3 returning 1""")
    assert replay(things.contract, source_uri=things.uri).loaded == 0
    released = release(things.contract, source_uri=things.uri, root=str(things.root), archive=str(things.archive))
    assert released == ["toys/one/things.json"]
    assert replay(things.contract, source_uri=things.uri).loaded == 1
    assert things.rows() == [(1, None), (7, None)]
    assert files(things) == [("landed", 6, 2, 0, 4)]
    assert (things.archive / "toys/one/things.json").is_file()


@pytest.fixture
def run(source_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", source_uri)
    monkeypatch.setattr(settings, "CONTRACTS", CONTRACTS)
    monkeypatch.setattr(settings, "DBT_PROJECT", tmp_path / "dbt")
    parser = make_parser()

    def call(*words: str) -> int:
        args = parser.parse_args(words)
        return int(args.handler(args))

    return call


def test_the_commands_from_dry_run_to_replay(tmp_path: Path, run, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path / "in"
    file = root / "shop/date=2026-01-01/hour=00/wares.json"
    file.parent.mkdir(parents=True)
    ware = {"sku": 1, "name": "ball", "price": "1.50", "category": "toys", "popularity": 0.5}
    wares = [ware, ware | {"sku": 2, "price": "0.00"}, ware | {"sku": 3, "popularity": 0.0}, ware | {"name": None}]
    file.write_text("".join(json.dumps(row) + "\n" for row in wares))
    assert run("land", "shop.wares", "--root", str(root), "--dry-run") == 0
    assert "range: price: is not above 0" in capsys.readouterr().out
    assert run("land", "shop.wares", "--root", str(root)) == 0
    assert "1 loaded" in capsys.readouterr().out
    assert run("rejects", "list", "shop") == 0
    listed = capsys.readouterr().out
    assert "shop.wares" in listed and "popularity" in listed
    assert run("rejects", "show", "--code", "required") == 0
    assert '"name": null' in capsys.readouterr().out
    assert run("rejects", "replay", "shop.wares") == 0
    assert "of the rejected rows 0 are loaded now, 0 are duplicates, 3 stay rejected" in capsys.readouterr().out
    write(project=settings.DBT_PROJECT)
    assert run("contract", "check", "--no-database") == 0


def test_land_says_when_there_is_nothing_to_land_or_no_such_root(
    tmp_path: Path,
    run,  # type: ignore[no-untyped-def]
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("land", "log", "--root", str(tmp_path / "in")) == 0
    said = f"no files of log.events below {tmp_path / 'in'}: nothing is called log/event_log.csv, plain or packed\n"
    assert capsys.readouterr().out == said
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="is a file: name the landing root"):
        run("land", "log", "--root", str(tmp_path / "file"))
    with pytest.raises(FileError, match=r"nosuch://bucket: can't be opened: check the root"):
        run("land", "log", "--root", "nosuch://bucket")


def test_the_archive_of_another_root_stands_beside_it() -> None:
    assert archive_of("s3://bucket/in/", None) == "s3://bucket/in_archive"
    assert archive_of("s3://bucket/in/", "there") == "there"
    assert archive_of(settings.LANDING_ROOT, None) == settings.ARCHIVE_ROOT


def test_land_ends_with_an_error_that_names_the_file(tmp_path: Path, run, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "in/log/event_log.csv"
    file.parent.mkdir(parents=True)
    file.write_text("not;the;header\n1;2;3\n")
    assert run("land", "log", "--root", str(tmp_path / "in")) == 1
    assert "log.events: log/event_log.csv has a header that lacks event_id" in capsys.readouterr().err
