"""Each file in a zip is landed once, as a file of its own; the zip is archived when all of them have landed."""

from __future__ import annotations

import dataclasses
import io
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

from include.contracts import Contract
from include.landing import judge, land, load, pending_files, release
from include.landing.results import FileStatus, LandResult
from include.landing.urls import fetch
from include.landing.zips import Files, zip_of
from include.storage import Root
from tests.landing.conftest import THINGS, Place, write_contract

GOOD, ALSO_GOOD, BAD = b'{"id": 1, "label": "a"}\n', b'{"id": 2}\n{"id": 3}\n', b'{"id": "x"}\n'


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as content:
        for name, text in members.items():
            content.writestr(name, text)
    return made.getvalue()


def zip_contract(folder: Path, path: str = "toys/*.zip", format_: str = "json") -> Contract:
    return dataclasses.replace(write_contract(folder, THINGS, format_), path=path)


@pytest.fixture
def place(things: Place) -> Place:
    return dataclasses.replace(things, contract=dataclasses.replace(things.contract, path="toys/*.zip"))


def told(result: LandResult) -> dict[str, str]:
    return {file.path.removeprefix("toys/"): file.status.value for file in result.files}


def test_a_zip_is_archived_when_everything_in_it_has_landed(place: Place) -> None:
    members = {
        "b.json": GOOD,
        "../../a.json": ALSO_GOOD,
        "bad.json": BAD,
        "same.json": GOOD,
        "__MACOSX/._b.json": b"junk",
        ".hidden": b"junk",
        "folder/": b"",
    }
    archive = place.put("toys/day.zip", zipped(members))
    wanted = {
        "day.zip!../../a.json": "landed",
        "day.zip!b.json": "landed",
        "day.zip!bad.json": "held",
        "day.zip!same.json": "already_landed",
    }
    assert told(place.land_anyway()) == wanted
    assert archive.exists()
    assert place.query("select id, _file, _line from toys.things order by id") == [
        (1, "toys/day.zip!b.json", 1),
        (2, "toys/day.zip!../../a.json", 1),
        (3, "toys/day.zip!../../a.json", 2),
    ]
    assert sorted(path.name for path in place.folder.rglob("*.json")) == []  # nothing is unpacked beside the zip
    assert told(place.land_anyway()) == wanted | {
        "day.zip!../../a.json": "already_landed",
        "day.zip!b.json": "already_landed",
    }
    assert place.query("select count(*) from toys.things") == [(3,)]
    archive.write_bytes(zipped(members | {"bad.json": b'{"id": 4}\n'}))
    assert told(place.land())["day.zip!bad.json"] == "landed"
    assert not archive.exists()
    assert (place.archive / "toys/day.zip").exists()
    assert place.query("select count(*) from toys.things") == [(4,)]


def test_a_run_that_was_killed_between_two_files_of_a_zip_is_completed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = place.put("toys/day.zip", zipped({"a.json": GOOD, "b.json": ALSO_GOOD, "c.json": b'{"id": 4}\n'}))
    finish, calls = load._finish, []

    def finish_two(*args: Any) -> Any:
        calls.append(args)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return finish(*args)

    monkeypatch.setattr(load, "_GROUP_FILES", 1)
    monkeypatch.setattr(load, "_finish", finish_two)
    with pytest.raises(KeyboardInterrupt):
        place.land()
    assert archive.exists()
    assert place.query("select id from toys.things order by id") == [(1,), (2,), (3,)]
    monkeypatch.setattr(load, "_finish", finish)
    statuses = {"day.zip!a.json": "already_landed", "day.zip!b.json": "already_landed", "day.zip!c.json": "landed"}
    assert told(place.land()) == statuses
    assert place.query("select id from toys.things order by id") == [(1,), (2,), (3,), (4,)]
    assert [path.name for path in place.archive.rglob("*.zip")] == ["day.zip"]
    assert not archive.exists()


def test_a_held_file_of_a_zip_is_released_alone(place: Place) -> None:
    rows = b'{"id": 5}\n' + 9 * BAD
    archive = place.put("toys/day.zip", zipped({"a.json": GOOD, "b.json": rows, "c.json": 9 * BAD}))
    assert told(place.land_anyway()) == {"day.zip!a.json": "landed", "day.zip!b.json": "held", "day.zip!c.json": "held"}
    where: dict[str, Any] = {"source_uri": place.uri, "root": str(place.root), "archive": str(place.archive)}
    assert release(place.contract, **where, path="toys/day.zip!b.json") == ["toys/day.zip!b.json"]
    assert place.query("select id from toys.things order by id") == [(1,), (5,)]
    assert archive.exists()
    assert release(place.contract, **where) == ["toys/day.zip!c.json"]
    assert told(place.land()) == dict.fromkeys(("day.zip!a.json", "day.zip!b.json", "day.zip!c.json"), "already_landed")
    assert not archive.exists()


def test_a_zip_is_fetched_from_a_url_and_landed(place: Place) -> None:
    source = place.folder / "there.zip"
    source.write_bytes(zipped({"a.json": GOOD, "readme.txt": b"not a row"}))
    contract = dataclasses.replace(place.contract, path="toys/*.zip!*.json", url_setting="TOYS_URL")
    found = fetch(contract, source_uri=place.uri, root=str(place.root), url=source.as_uri())
    assert found.path.endswith("Z.zip")
    paths = pending_files(contract, str(place.root))
    assert paths == [found.path]
    result = land(contract, paths, source_uri=place.uri, root=str(place.root), archive=str(place.archive))
    assert [(file.path, file.rows_loaded) for file in result.files] == [(f"{found.path}!a.json", 1)]
    assert (place.archive / found.path).exists()


def patched(content: bytes, field: int, value: bytes) -> bytes:
    """Return a zip with a field of its only member changed, in the local header and in the central directory."""
    central = content.index(b"PK\x01\x02")
    made = bytearray(content)
    made[field - 2 : field - 2 + len(value)] = value
    made[central + field : central + field + len(value)] = value
    return bytes(made)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of zipfile, about the name that stands twice
    _TWICE = io.BytesIO()
    with zipfile.ZipFile(_TWICE, "w") as _content:
        _content.writestr("a.json", GOOD)
        _content.writestr("a.json", ALSO_GOOD)

ONE = zipped({"a.json": GOOD * 1000})
UNUSABLE = {
    "text": (b'{"id": 1}\n', "is named .zip and holds no zip: send it again"),
    "nothing": (b"", "is named .zip and holds no zip: send it again"),
    "cut": (ONE[:-30], "is a damaged zip, or was cut short: send it again"),
    "encrypted": (patched(ONE, 8, b"\x01\x00"), "is encrypted: send it without a password"),
    "bomb": (zipped({"a.json": b" " * 3_000_000}), "holds more than 2000000 bytes unpacked: raise maxBytes"),
    "workbook": (zipped({"[Content_Types].xml": b"<x/>"}), "is a workbook or another document"),
    "empty": (zipped({".DS_Store": b"x"}), "holds no file called *: send it again, or mend the contract's path"),
    "twice": (_TWICE.getvalue(), "names a file twice: nothing says which one counts"),
}
UNUSABLE_MEMBERS = {
    "zip": (zipped({"a.json": zipped({"b.json": GOOD})}), "is a zip, neither JSON nor CSV"),
    "packed twice": (zipped({"a.json.gz": b'{"id": 1}\n'}), "is named .gz and holds no gzip"),
    "lying about its size": (patched(ONE, 24, struct.pack("<I", 24)), "is damaged in its zip: send the zip again"),
    "garbled": (ONE[:50] + b"\xff" * 10 + ONE[60:], "is damaged in its zip: send the zip again"),
    "method": (patched(ONE, 10, b"\x63\x00"), "is packed in a way that can't be unpacked here"),
}


@pytest.mark.parametrize("kind", [*UNUSABLE, *UNUSABLE_MEMBERS])
def test_a_zip_that_can_not_be_used_is_a_sentence_and_stops_nobody(tmp_path: Path, kind: str) -> None:
    contract = dataclasses.replace(zip_contract(tmp_path), max_bytes=2_000_000)
    (tmp_path / "toys").mkdir()
    content, said = (UNUSABLE | UNUSABLE_MEMBERS)[kind]
    (tmp_path / "toys/bad.zip").write_bytes(content)
    (tmp_path / "toys/good.ZIP").write_bytes(zipped({"a.json": GOOD}))
    result = judge(contract, ["toys/bad.zip", "toys/good.ZIP"], root=str(tmp_path))
    bad, good = sorted(result.files, key=lambda file: file.path)
    assert (good.path, good.status, good.rows_loaded) == ("toys/good.ZIP!a.json", FileStatus.LANDED, 1)
    assert bad.status is FileStatus.FAILED
    assert bad.note.startswith(said)
    assert zip_of(bad.path) == "toys/bad.zip"
    assert (bad.path == "toys/bad.zip") == (kind in UNUSABLE)


def test_a_file_in_a_zip_may_be_packed_itself(tmp_path: Path) -> None:
    import gzip

    contract = zip_contract(tmp_path)
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys/a.zip").write_bytes(zipped({"a.json.gz": gzip.compress(GOOD), "b": ALSO_GOOD}, zipfile.ZIP_LZMA))
    result = judge(contract, ["toys/a.zip"], root=str(tmp_path))
    assert [(file.path, file.rows_loaded) for file in result.files] == [
        ("toys/a.zip!a.json.gz", 1),
        ("toys/a.zip!b", 2),
    ]


def test_the_path_says_which_files_of_a_zip_are_meant(tmp_path: Path) -> None:
    contract = zip_contract(tmp_path, "toys/*.zip!data_*.json")
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys/a.zip").write_bytes(zipped({"x/data_1.json": GOOD, "readme.json": BAD, "data.json": BAD}))
    assert pending_files(contract, str(tmp_path)) == ["toys/a.zip"]
    result = judge(contract, ["toys/a.zip"], root=str(tmp_path))
    assert [file.path for file in result.files] == ["toys/a.zip!x/data_1.json"]


def test_a_zip_that_was_replaced_meanwhile_stays_for_the_next_run(tmp_path: Path) -> None:
    contract = zip_contract(tmp_path)
    root = tmp_path / "in"
    (root / "toys").mkdir(parents=True)
    (root / "toys/a.zip").write_bytes(zipped({"a.json": GOOD}))
    with Files(contract, Root(str(root))) as files:
        found, failed = files.expand(["toys/a.zip"])
        assert (found, failed) == (["toys/a.zip!a.json"], {})
        done = [load.FileResult(found[0], FileStatus.LANDED)]
        (root / "toys/a.zip").write_bytes(zipped({"a.json": ALSO_GOOD}))
        assert files.archive(done, Root(str(tmp_path / "archive"))) == []
    assert (root / "toys/a.zip").exists()


def test_packed_files_are_pending_and_left_overs_are_not(tmp_path: Path) -> None:
    contract = zip_contract(tmp_path, "toys/*.json")
    names = ["a.json", "b.json.bz2", "c.json.xz", "d.json.zst", "e.json.zip", "f.json.gz"]
    for name in [*names, "g.json.rar", "h.json~.zip", "i.json.part", ".j.json.xz"]:
        (tmp_path / "toys").mkdir(exist_ok=True)
        (tmp_path / "toys" / name).write_bytes(b"")
    assert pending_files(contract, str(tmp_path)) == [f"toys/{name}" for name in names]
    everything = dataclasses.replace(contract, path="toys/*")
    assert pending_files(everything, str(tmp_path)) == [f"toys/{name}" for name in [*names, "g.json.rar"]]
