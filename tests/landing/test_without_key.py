"""A dataset without a key: every row counts, and a file that comes again replaces its rows or adds to them."""

from __future__ import annotations

import gzip
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from jinja2 import Environment

from include.contracts.dbt_sources import write
from include.landing import ensure_table, load, replay
from include.settings import DBT_PROJECT
from include.transform.scaffold import write_models
from tests.landing.conftest import THINGS, Place, write_contract

KEY = "primaryKey: true, primaryKeyPosition: 1,\n             "


def without_key(place: Place, what: str) -> Place:
    text = THINGS.replace(KEY, "").replace("maxBadRows, value: 3", f"withoutKey, value: {what}")
    place.contract = write_contract(place.folder, text)
    return place


def rows(*labels: str) -> list[dict[str, object]]:
    return [{"id": 1, "label": label} for label in labels]


def current(place: Place) -> str:
    return "".join(label for (label,) in place.query("select label from toys.things_current order by 1"))


@pytest.mark.parametrize("what", ["append", "replaceFile"])
def test_every_row_counts_and_a_file_that_comes_again_does_as_the_contract_says(things: Place, what: str) -> None:
    without_key(things, what)
    things.put("one", rows("a", "a", "b"))
    things.put("two", rows("a", "a", "b"))  # the same bytes are other rows
    assert things.land().rows_loaded == 6
    assert current(things) == "aaaabb"
    things.put("one", rows("a", "a", "b"))  # the same file again
    things.put("three", rows("c"))
    assert things.land().rows_loaded == 1
    things.put("one", rows("d"))
    things.land()
    assert current(things) == {"append": "aaaabbcd", "replaceFile": "aabcd"}[what]
    things.put("one", rows("a", "a", "b"))  # back to what it was
    assert things.land().rows_loaded == 3
    assert current(things) == {"append": "aaaaaabbbcd", "replaceFile": "aaaabbc"}[what]
    file = things.put("one", b'{"id": "x"}\n')  # which is held, and replaces nothing
    assert [each.status for each in things.land_anyway().files] == ["held"]
    assert current(things) == {"append": "aaaaaabbbcd", "replaceFile": "aaaabbc"}[what]
    file.write_bytes(b"")
    things.land()
    assert current(things) == {"append": "aaaaaabbbcd", "replaceFile": "aabc"}[what]


def test_a_late_file_without_a_key_is_a_file(things: Place) -> None:
    without_key(things, "append")
    for name in ("o_3", "o_2", "o_10"):
        things.put(name, rows("a"))
        assert things.land().rows_loaded == 1
    assert current(things) == "aaa"


def test_two_runs_at_once_load_each_row_once(things: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_GROUP_FILES", 2)
    without_key(things, "append")
    ensure_table(things.contract, things.uri)
    for number in range(6):
        things.put(str(number), rows("a", "a"))
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: things.land(), range(2)))
    assert sum(result.rows_loaded for result in results) == 12
    assert things.query("select _file, count(*) from toys.things group by 1 order by 1") == [
        (f"toys/{number}/things.json", 2) for number in range(6)
    ]


def test_rows_of_a_large_file_are_merged_in_chunks_and_counted(things: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_GROUP_BYTES", 100)
    without_key(things, "replaceFile")
    things.put("one", rows(*"ab" * 300))
    assert things.land().rows_loaded == 600
    assert Counter(current(things)) == {"a": 300, "b": 300}


@pytest.mark.parametrize("what", ["append", "replaceFile"])
def test_a_replayed_row_belongs_to_its_file(things: Place, what: str) -> None:
    without_key(things, what)
    bad = b'{"id": "x"}\n'
    good = b'{"id": 1, "label": "a"}\n'
    things.put("one", good + good + bad)
    things.land()
    things.query("""update landing.rejects set "row" = '{"id": 1, "label": "m"}' returning 1""")
    assert replay(things.contract, source_uri=things.uri).loaded == 1
    assert current(things) == "aam"
    things.put("two", good + bad)
    things.put("two", good + good + bad)
    things.land()
    things.put("two", good)
    things.land()
    state = things.query("select coalesce(closed_as, 'open') from landing.rejects")
    assert state == {"append": [("open",)], "replaceFile": [("superseded",)]}[what]


def test_a_table_follows_a_contract_that_loses_its_key_or_gets_one(things: Place) -> None:
    with_key = things.contract
    things.put("one", rows("a"))
    things.land()
    seen = []
    for what in ("append", "replaceFile"):
        without_key(things, what)
        things.put("one", rows(*what))
        things.land()
        seen.append(current(things))
        assert things.query("select from pg_indexes where schemaname = 'toys'") == []
    assert seen == ["aadenpp", "Faceeeillpr"]
    things.contract = with_key
    things.put("two", rows("z"))
    things.land()
    assert current(things) == "z"
    assert len(things.query("select from pg_indexes where schemaname = 'toys'")) == 1


@pytest.mark.parametrize(("what", "expected"), [("append", "aabcd"), ("replaceFile", "bcd")])
def test_from_files_to_the_rows_of_the_drafted_staging_model(things: Place, what: str, expected: str) -> None:
    without_key(things, what)
    folder, project = things.folder / "contracts", things.folder / "dbt"
    write(folder, project)
    sql_file, yml_file = write_models("toys.things", folder=folder, project=project)
    text = sql_file.read_text()
    assert "newest_version" not in text and ("newest_file_version" in text) == (what == "replaceFile")
    for tested in ("unique", "not_null"):
        assert tested not in yml_file.read_text()
    things.put("one", rows("a", "a"))
    things.put("toys/two/things.json.gz", gzip.compress(b'{"id": 1, "label": "b"}\n'))
    things.land()
    things.put("one", rows("c", "d"))
    things.land()
    macro = (DBT_PROJECT / "macros/newest_file_version.sql").read_text()
    sql = Environment().from_string(macro + text).render(source=lambda *_: "toys.things")
    assert "".join(sorted(label for _, label, *_ in things.query(sql))) == expected


def test_the_page_of_its_dag_says_that_it_has_no_key(things: Place) -> None:
    from include.orchestration.landing import dag_page

    assert "no key" not in dag_page(things.contract)
    assert "no key: every row counts" in dag_page(without_key(things, "append").contract)
