"""What the landing DAGs decide and show."""

from __future__ import annotations

import ast
import dataclasses
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import psycopg
import pytest
from airflow.timetables.trigger import CronTriggerTimetable

from include import landing, settings
from include.contracts.web import Token
from include.errors import FinalError, TransientError
from include.landing import FileResult, FilesFailedError, FilesHeldError, FileStatus, LandResult
from include.orchestration.landing import (
    FilesNotLandedError,
    check_all_landed,
    dag_page,
    find_batches,
    has_news,
    land_batch,
    landing_schedule,
)
from tests.landing.conftest import SHOP, THINGS, write_contract, write_pages
from tests.landing.web import Asked, Reply, serving

LOADED = FileResult("a", FileStatus.LANDED, 3, 2, 0, 1)
HELD = FileResult("b", FileStatus.HELD, 9, 0, 0, 9, "is held whole")
FAILED = FileResult("c", FileStatus.FAILED, note="can't be read")


def result(*files: FileResult) -> LandResult:
    return LandResult("toys.things", files)


def landed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *files: FileResult) -> LandResult:
    """What `land_batch` makes of a batch that landed like this."""

    def land(*_: object, **__: object) -> LandResult:
        landing.results.raise_for(result(*files))
        return result(*files)

    monkeypatch.setattr(landing, "land", land)
    monkeypatch.setattr(landing, "explain", lambda *_: "")  # it asks a database
    return land_batch(write_contract(tmp_path, THINGS), ["a", "b"], "postgresql://nowhere")


def test_rows_that_landed_count_although_other_files_did_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert landed(monkeypatch, tmp_path, LOADED) == result(LOADED)
    assert landed(monkeypatch, tmp_path, LOADED, HELD, FAILED) == result(LOADED, HELD, FAILED)


def test_batch_of_held_files_is_final_and_one_with_a_failed_file_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(FilesHeldError, match=r"toys\.things: b is held whole") as held:
        landed(monkeypatch, tmp_path, HELD)
    assert isinstance(held.value, FinalError)
    with pytest.raises(FilesFailedError, match=r"toys\.things: c can't be read") as failed:
        landed(monkeypatch, tmp_path, HELD, FAILED)
    assert isinstance(failed.value, TransientError)


def test_batch_without_new_rows_is_no_news_unless_an_earlier_try_may_have_loaded_some() -> None:
    nothing = result(FileResult("a", FileStatus.ALREADY_LANDED))
    assert has_news(result(LOADED), try_number=1)
    assert not has_news(nothing, try_number=1)
    assert has_news(nothing, try_number=2)


def test_files_that_were_not_landed_fail_the_run_with_their_sentences() -> None:
    check_all_landed([None, []])
    with pytest.raises(FilesNotLandedError, match=r"^one\ntwo\nthree$") as caught:
        check_all_landed([["one", "two"], None, ["three"]])
    assert isinstance(caught.value, FinalError)


def test_secret_of_a_fetch_is_the_password_of_airflows_connection(
    tmp_path: Path, source_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(b"id,label\n") if asked.headers.get("authorization") == "Bearer h@sh" else Reply(status=401)

    monkeypatch.setenv("AIRFLOW_CONN_SHOP", "http://me:h%40sh@shop.example")
    monkeypatch.setattr(landing, "pending_files", lambda _: [])
    monkeypatch.setattr(landing, "fetch", partial(landing.fetch, root=str(tmp_path)))
    contract = dataclasses.replace(SHOP["web.pages"], token=Token(connection="shop"))
    assert "with the password of the connection shop" in dag_page(contract)
    with serving(answer) as web:
        monkeypatch.setenv("PAGES_URL", web.url)
        find_batches(contract, source_uri)
    assert len(web.asked) == len(list(tmp_path.rglob("*.csv"))) == 1


def test_every_contract_can_be_described_in_its_dag() -> None:
    text = dag_page(SHOP["shop.orders"])
    assert "| total_cost | numeric | yes |" in text
    assert "lines_add_up" in text
    assert "PAGES_URL" in dag_page(SHOP["web.pages"])
    assert SHOP["shop.people"].pipeline == "land_shop_people"


def test_landing_runs_by_its_schedule_in_utc_and_at_once_only_where_that_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert landing_schedule(None) is None, "when somebody starts it"
    for at_once in (False, True):
        monkeypatch.setattr(settings, "RUN_AT_FIRST_START", at_once)
        found = landing_schedule("5 4 * * *")
        assert (
            found
            and found.serialize()
            == CronTriggerTimetable("5 4 * * *", timezone="UTC", run_immediately=at_once).serialize()
        )


def test_files_of_a_url_are_fetched_before_those_that_wait_are_listed(tmp_path: Path, source_uri: str) -> None:
    write_pages(tmp_path / "pages.csv", rows=3)
    code = (
        "import sys; from pathlib import Path; from include.contracts import read_contract;"
        "from include.orchestration.landing import find_batches;"
        "print(find_batches(read_contract(Path(sys.argv[1])), sys.argv[2]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(SHOP["web.pages"].file), source_uri],
        cwd=settings.PROJECT,
        env={**os.environ, "LANDING_ROOT": str(tmp_path / "in"), "PAGES_URL": (tmp_path / "pages.csv").as_uri()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (batch,) = ast.literal_eval(done.stdout.splitlines()[-1])
    assert [Path(file).name for file in batch] == [Path(SHOP["web.pages"].path or "").name]
    with psycopg.connect(source_uri) as connection:
        assert connection.execute("select to_regclass('web.pages') is not null").fetchone() == (True,)


def test_table_is_there_before_the_first_file_lands(source_uri: str) -> None:
    """So that the warehouse can move it, and models can read it."""
    contract = SHOP["shop.people"]
    assert find_batches(contract, source_uri) == []
    with psycopg.connect(source_uri) as connection:
        assert connection.execute("select count(*) from shop.people").fetchone() == (0,)


def test_page_of_a_dag_says_what_is_personal_and_when_a_file_is_held() -> None:
    text = dag_page(SHOP["shop.people"])
    personal = [column for column in SHOP["shop.people"].columns if column.personal]
    assert personal and text.count("Personal (") == len(personal)
    for column in personal:
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {column.name} |")]
        assert f"Personal ({column.personal})." in line
