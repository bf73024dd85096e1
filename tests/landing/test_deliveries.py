"""What is a delivery, and which of several holds the newest state: in whatever order, and however often, files come."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter, deque
from typing import Any

import psycopg
import pytest

from include.landing import land, load
from include.landing.order import in_order
from include.landing.rows import RowSchema
from include.landing.zips import Files
from include.postgres import session
from include.storage import Root
from tests.landing.conftest import Place

# Runs one after the other, each with the files that it finds and what they say of keys; then what is newest.
Run = dict[str, dict[int, str]]
CASES: dict[str, tuple[list[Run], dict[int, str]]] = {
    "a state goes back under a newer name": (
        [{"r_1": {1: "open"}}, {"r_2": {1: "closed"}}, {"r_3": {1: "open"}}],
        {1: "open"},
    ),
    "a state goes back within one run": (
        [{"r_1": {1: "open"}, "r_2": {1: "closed"}, "r_3": {1: "open"}, "r_4": {2: "new"}}],
        {1: "open", 2: "new"},
    ),
    "a state goes back under one name": (
        [{"o": {1: "open"}}, {"o": {1: "closed"}}, {"o": {1: "open"}}],
        {1: "open"},
    ),
    "a state goes back under a name that can't be compared": (
        [{"zeta": {1: "open"}}, {"beta": {1: "closed"}}, {"alpha": {1: "open"}}],
        {1: "open"},
    ),
    "a late file changes what a newer one has merely repeated": (
        [{"o_1": {1: "open"}}, {"o_3": {1: "open"}}, {"o_2": {1: "closed"}}, {"o_4": {1: "open"}}],
        {1: "open"},
    ),
    "a late file is late by value": ([{"o_10": {1: "closed"}}, {"o_9": {1: "open"}}], {1: "closed"}),
    "numbers count by value": ([{"o_9": {1: "open"}, "o_10": {1: "closed"}}], {1: "closed"}),
    "names that say nothing about time count from their arrival": (
        [{"zeta": {1: "open"}}, {"alpha": {1: "closed"}}],
        {1: "closed"},
    ),
    "a late file is an old version": ([{"o_3": {1: "closed"}}, {"o_2": {1: "open"}}], {1: "closed"}),
    "a late file counts where no later one has the key": (
        [{"o_1": {1: "a", 2: "x"}}, {"o_3": {1: "c"}}, {"o_2": {1: "b", 2: "y", 3: "z"}}],
        {1: "c", 2: "y", 3: "z"},
    ),
    "late files have an order too": (
        [{"o_9": {9: "i"}}, {"o_1": {1: "a"}}, {"o_3": {1: "c"}}, {"o_2": {1: "b"}}],
        {1: "c", 9: "i"},
    ),
    "late files of one run have an order too": (
        [{"o_20": {9: "i"}}, {f"o_{n}": {1: str(n)} for n in (8, 9, 10, 11)}, {"o_7": {1: "7"}}],
        {1: "11", 9: "i"},
    ),
    "a late file has the bytes of an older one": (
        [{"o_1": {1: "open"}}, {"o_4": {1: "gone"}}, {"o_2": {1: "closed"}}, {"o_3": {1: "open"}}],
        {1: "gone"},
    ),
    "a file of the same bytes as the newest stands for its time": (
        [{"o_1": {1: "open"}}, {"o_3": {1: "open"}}, {"o_3": {1: "open"}, "o_4": {2: "x"}}],
        {1: "open", 2: "x"},
    ),
    "a corrected file overrides itself and none that came later": (
        [{"o_1": {1: "a", 2: "a"}}, {"o_2": {1: "b"}}, {"o_1": {1: "c", 2: "c"}}],
        {1: "b", 2: "c"},
    ),
    "a corrected file of several that landed at once": (
        [
            {"o_1": {1: "a", 2: "a"}, "o_2": {1: "b", 3: "b"}, "o_3": {4: "x"}},
            {"o_1": {1: "c", 2: "c"}},
            {"o_1": {1: "d", 2: "d"}},
            {"o_2": {1: "e", 2: "e"}},
        ],
        {1: "e", 2: "e", 3: "b", 4: "x"},
    ),
    "a corrected file of several that landed at once, and then one that is late": (
        [
            {"o_1": {1: "a", 2: "a"}, "o_3": {3: "b"}, "o_5": {1: "z"}},
            {"o_3": {2: "c", 3: "c"}},
            {"o_2": {1: "d", 2: "d"}},
        ],
        {1: "z", 2: "c", 3: "c"},
    ),
}


def newest(place: Place) -> dict[int, str]:
    return dict(place.query("select id, label from toys.things_current"))


def put(place: Place, run: Run) -> None:
    for name, rows in run.items():
        place.put(name, [{"id": key, "label": label} for key, label in rows.items()])


@pytest.mark.parametrize("case", CASES)
def test_the_newest_is_what_the_latest_delivery_says(things: Place, case: str) -> None:
    runs, expected = CASES[case]
    for run in runs:
        put(things, run)
        things.land()
    assert newest(things) == expected
    for run in runs[-1:]:  # the same files again, as after a kill before the archive
        put(things, run)
        assert {file.status for file in things.land().files} == {"already_landed"}
    assert newest(things) == expected


def test_a_late_file_reads_as_if_it_had_come_in_time(things: Place) -> None:
    for name, label in (("o_1", "a"), ("o_4", "d"), ("o_3", "c"), ("o_2", "b")):
        put(things, {name: {1: label}})
        things.land()
    assert [label for _, label in things.rows()] == ["a", "b", "c", "d"]
    assert things.query("select bool_and(loaded_at >= ordered_at), count(*) from landing.files") == [(True, 4)]


def test_a_delivery_that_changed_nothing_has_its_place(things: Place) -> None:
    for name, label in (("o_1", "a"), ("o_3", "a"), ("o_2", "b")):
        put(things, {name: {1: label}})
        things.land()
    assert things.query("select ordered_at < loaded_at, rows_read from landing.files order by delivery") == [
        (False, 1),
        (False, 0),
        (True, 1),
    ]


def test_names_that_can_not_be_compared_are_known_one_by_one(things: Place) -> None:
    run: Run = {"alpha": {1: "old"}, "zeta": {1: "new"}}
    put(things, run)
    things.land()
    put(things, {"alpha": run["alpha"]})  # as after a kill before it was archived
    assert [file.status for file in things.land().files] == ["already_landed"]
    assert newest(things) == {1: "new"}


def test_the_bytes_of_a_file_that_is_held_are_held_again(things: Place) -> None:
    things.contract = dataclasses.replace(things.contract, max_bad_rows=0)
    for name in ("o_1", "o_2"):
        things.put(name, [{"id": "x"}])
    assert [file.status for file in things.land_anyway().files] == ["held", "held"]
    assert (things.root / "toys/o_2/things.json").is_file()


def test_a_late_file_larger_than_memory_is_late_too(things: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_GROUP_BYTES", 100)
    rows = dict.fromkeys(range(200), "old")
    put(things, {"o_1": {1: "first"}, "o_3": {1: "new", 2: "new"}})
    things.land()
    put(things, {"o_2": rows})
    assert things.land().rows_loaded == 200
    assert newest(things) == rows | {1: "new", 2: "new"}


@pytest.mark.parametrize(
    ("order", "expected"), [("modified", "third"), (r"toys/[a-z]+(\d+)/", "second"), ("name", "first")]
)
def test_the_contract_says_what_orders_deliveries(things: Place, order: str, expected: str) -> None:
    things.contract = dataclasses.replace(things.contract, delivery_order=order)
    for name, label, time in (("z2", "first", 10), ("b10", "second", 20), ("a9", "third", 30)):
        put(things, {name: {1: label}})
        os.utime(things.root / f"toys/{name}/things.json", (time, time))
    things.land()
    assert newest(things) == {1: expected}


def test_a_run_that_was_overtaken_lands_no_old_state(things: Place) -> None:
    """A run has read a file; before it loads, two others land the file and a newer version of it."""
    put(things, {"o": {1: "old"}})
    things.land()
    put(things, {"o": {1: "older"}})
    schema, root = RowSchema(things.contract), Root(str(things.root))
    paths = ["toys/o/things.json"]
    with session(things.uri, "source_db") as connection, Files(things.contract, root) as files:
        load.create_stage(connection, things.contract)
        group = load._prepare(connection, schema, in_order(things.contract, paths, root), files)
        for label in ("older", "new"):
            put(things, {"o": {1: label}})
            things.land()
        results = load._finish(connection, schema, group, root, Root(str(things.archive)), Counter())
    assert [result.status for result in results] == ["taken"]
    assert newest(things) == {1: "new"}


def test_a_batch_that_was_landed_and_not_archived_is_known_file_by_file(things: Place) -> None:
    runs: Run = {f"o_{n}": {1: "ab"[n % 2], 2: "x"} for n in range(8, 13)}
    put(things, runs)
    assert things.land().rows_loaded == 6
    before = things.rows(), things.query("select count(*) from landing.files")
    put(things, runs)
    assert {file.status for file in things.land().files} == {"already_landed"}
    assert (things.rows(), things.query("select count(*) from landing.files")) == before


OLD_TABLES = """
    drop table landing.files, landing.rejects;
    create table landing.files (
        dataset text not null, path text not null, sha256 text not null,
        status text not null check (status in ('landed', 'held', 'failed')), rows_read bigint not null default 0,
        rows_loaded bigint not null default 0, rows_duplicate bigint not null default 0,
        rows_rejected bigint not null default 0, loaded_at timestamptz not null default now(), error text,
        primary key (dataset, sha256), check (rows_read = rows_loaded + rows_duplicate + rows_rejected));
    create table landing.rejects (
        dataset text not null, path text not null, sha256 text not null, line bigint not null, code text not null,
        field text not null default '', reason text not null default '', "row" text not null,
        rejected_at timestamptz not null default now(), primary key (dataset, sha256, line));
    insert into landing.files (dataset, path, sha256, status, rows_read, rows_loaded, rows_rejected, loaded_at)
        select dataset, path, sha256, status, rows_read, rows_loaded, rows_rejected, loaded_at from kept_files
        order by path desc;
    insert into landing.rejects (dataset, path, sha256, line, code, reason, "row")
        select dataset, path, sha256, line, code, reason, "row" from kept_rejects;
"""


def test_what_an_older_version_remembered_is_known(things: Place) -> None:
    things.put("o_1", [{"id": 1, "label": "open"}, {"id": "x"}])
    things.land()
    put(things, {"o_2": {1: "closed"}})
    things.land()
    keep = "create table kept_files as table landing.files; create table kept_rejects as table landing.rejects;"
    with psycopg.connect(things.uri) as connection:
        connection.execute(keep + OLD_TABLES)
    put(things, {"o_2": {1: "closed"}})
    assert [file.status for file in things.land().files] == ["already_landed"]
    assert things.query("select path, delivery from landing.files order by 2") == [
        ("toys/o_1/things.json", 1),
        ("toys/o_2/things.json", 2),
    ]
    assert things.query("select f.path from landing.rejects join landing.files f using (delivery)") == [
        ("toys/o_1/things.json",)
    ]
    things.put("o_3", [{"id": 1, "label": "open"}, {"id": "x"}])  # the bytes of the first, again
    things.put("o_0", [{"id": 1, "label": "late"}])
    assert things.land().rows_loaded == 2
    assert newest(things) == {1: "open"}
    assert things.query("select count(*) from landing.rejects") == [(2,)]


def test_files_of_a_batch_are_loaded_together_where_bytes_and_order_agree(things: Place) -> None:
    put(things, {f"o_{n:02}": {n: "x"} for n in range(8, 13)})
    things.land()
    assert things.query("select count(distinct _loaded_at) from toys.things") == [(1,)]


def test_two_runs_at_once_land_each_delivery_once(things: Place) -> None:
    from concurrent.futures import ThreadPoolExecutor

    put(things, {f"o_{n}": {1: "ab"[n % 2]} for n in range(8, 14)})
    paths = [f"toys/o_{n}/things.json" for n in range(8, 14)]
    places: dict[str, Any] = {"source_uri": things.uri, "root": str(things.root), "archive": str(things.archive)}
    with ThreadPoolExecutor(2) as pool:
        deque(pool.map(lambda _: land(things.contract, paths, **places), range(2)))
    assert [label for _, label in things.rows()] == ["a", "b", "a", "b", "a", "b"]
