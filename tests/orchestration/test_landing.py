"""What the landing DAGs decide and show."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import pytest

from include import landing
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
)
from tests.landing.conftest import SHOP, THINGS, write_contract
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
