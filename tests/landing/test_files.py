"""Files of folders and object stores are landed alike; batches are in order and of sensible size."""

from __future__ import annotations

import dataclasses
import gzip
import json
import uuid
from pathlib import Path

import fsspec
import pytest

from include.landing import batch_name, batches, land, pending_files
from include.storage import Root
from tests.landing.conftest import SHOP, Place

GOOD = b'{"id": 1, "label": "a"}\n{"id": 2}\n{"id": "x"}\n'


@pytest.fixture
def bucket() -> str:
    """The URL of a store in memory, which fsspec has and a local file system is not."""
    return f"memory://{uuid.uuid4().hex}"


def put(url: str, content: bytes) -> None:
    with fsspec.open(url, "wb") as out:
        out.write(content)


def test_files_of_an_object_store_are_landed_and_archived(things: Place, bucket: str) -> None:
    root, archive = f"{bucket}/in", f"{bucket}/archive"
    put(f"{root}/toys/one/things.json", GOOD)
    put(f"{root}/toys/two/things.json.gz", gzip.compress(b'{"id": 3}\n'))
    put(f"{root}/toys/two/other.json", b"not of this dataset")
    paths = pending_files(things.contract, root)
    assert paths == ["toys/one/things.json", "toys/two/things.json.gz"]
    assert batches(paths, root) == [paths]
    result = land(things.contract, paths, source_uri=things.uri, root=root, archive=archive)
    assert (result.rows_loaded, result.rows_rejected) == (3, 1)
    assert pending_files(things.contract, root) == []
    assert pending_files(things.contract, archive) == paths
    put(f"{root}/toys/three/things.json", GOOD)
    again = land(things.contract, ["toys/three/things.json"], source_uri=things.uri, root=root, archive=archive)
    assert (again.rows_loaded, again.rows_duplicate) == (0, 2)  # the bytes of `one`, but `two` came in between
    put(f"{root}/toys/one/things.json", GOOD + b'{"id": 4}\n')
    land(things.contract, ["toys/one/things.json"], source_uri=things.uri, root=root, archive=archive)
    assert len(Root(archive).glob("toys/one/*")) == 2


def test_a_folder_may_be_archived_to_an_object_store(things: Place, bucket: str) -> None:
    things.put("one", GOOD)
    paths = pending_files(things.contract, str(things.root))
    land(things.contract, paths, source_uri=things.uri, root=str(things.root), archive=bucket)
    assert pending_files(things.contract, bucket) == ["toys/one/things.json"]
    assert not list(things.root.rglob("*.json"))


def test_a_file_url_is_the_folder_itself(things: Place) -> None:
    things.put("one", GOOD)
    root = things.root.as_uri()
    paths = pending_files(things.contract, root)
    land(things.contract, paths, source_uri=things.uri, root=root, archive=things.archive.as_uri())
    assert (things.archive / "toys/one/things.json").is_file()


def test_pending_files_are_those_of_the_contract_in_order(tmp_path: Path) -> None:
    names = [
        "shop/date=2026-01-02/hour=03/people.json.gz",
        "shop/date=2026-01-01/hour=23/people.json",
        "shop/date=2026-01-01/hour=23/people.json.gz",
        "shop/date=2026-01-01/hour=22/.people.json.unfinished",
        "shop/date=2026-01-01/hour=22/people.json.tmp",
        "shop/date=2026-01-01/hour=22/orders.json",
        "shop/people.json",
    ]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / "shop/date=2026-01-03/hour=00/people.json").mkdir(parents=True)
    assert pending_files(SHOP["shop.people"], str(tmp_path)) == sorted(names[:3])
    assert pending_files(SHOP["app.account"], str(tmp_path)) == []
    assert pending_files(SHOP["shop.people"], str(tmp_path / "nothing")) == []


def test_what_systems_and_editors_leave_beside_files_is_not_taken(tmp_path: Path) -> None:
    contract = dataclasses.replace(SHOP["shop.people"], path="shop/*/*")
    left = [".hidden.json", "._mac.json", ".#emacs.json", "~$lock.json", "people.json~", "#people.json#"]
    left += ["people.json.part", "people.json.crdownload", ".people.json.swp", "people.json.tmp"]
    real = ["shop/a/people#1.json", "shop/a/people.json", "shop/~b/people.json.gz"]
    for name in [*real, "shop/.snapshot/people.json", *(f"shop/a/{name}" for name in left)]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    assert pending_files(contract, str(tmp_path)) == real
    asked = dataclasses.replace(contract, path="shop/a/.hidden.json")
    assert pending_files(asked, str(tmp_path)) == ["shop/a/.hidden.json"]


def test_a_bracket_in_the_path_of_a_contract_stands_for_itself(tmp_path: Path, bucket: str) -> None:
    contract = dataclasses.replace(SHOP["shop.people"], path="t/br[1]*.csv")
    for name in ("br[1].csv", "br[1]b.csv.gz", "br1.csv"):
        (tmp_path / "t").mkdir(exist_ok=True)
        (tmp_path / "t" / name).write_text("")
        put(f"{bucket}/t/{name}", b"")
    for root in (str(tmp_path), bucket):
        assert pending_files(contract, root) == ["t/br[1].csv", "t/br[1]b.csv.gz"]


def test_batches_keep_the_order_and_hold_a_sensible_amount(tmp_path: Path) -> None:
    sizes = [10, 10, 10, 500, 10, 10]
    for number, size in enumerate(sizes):
        (tmp_path / str(number)).write_bytes(b"x" * size)
    files = [str(number) for number in range(len(sizes))]
    made = batches(files, str(tmp_path), max_files=2, max_bytes=100)
    assert made == [["0", "1"], ["2"], ["3"], ["4", "5"]]
    assert batches([], str(tmp_path)) == []


def test_a_result_can_travel_as_json(things: Place) -> None:
    things.put("one", GOOD)
    told = json.loads(json.dumps(things.land().to_json()))
    assert (told["dataset"], told["rows_loaded"], told["rejected_by_code"]) == ("toys.things", 2, {"type": 1})


def test_a_batch_is_called_after_its_files() -> None:
    files = [f"shop/date=2026-01-01/hour={hour:02}/people.json" for hour in range(3)]
    assert batch_name(files) == "3 files, date=2026-01-01/hour=00 to date=2026-01-01/hour=02"
    assert batch_name(files[:1]) == files[0]
