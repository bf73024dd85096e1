"""Roots on servers of SFTP and S3: files are taken whole or not at all, and no failure looks like an empty folder."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from pathlib import Path

import asyncssh
import pytest

from include.contracts import Contract
from include.landing import LandingError, land, pending_files
from include.storage import FileError, Root, UnavailableFileError, UnusableFileError, hash_of, move_to_archive
from tests.landing.conftest import THINGS, Place, write_contract
from tests.remote.conftest import SECRET, Elsewhere, SftpServer, aws_connection

pytestmark = pytest.mark.remote

OTHER_KEY = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()[1]
NAMES = ["a [1]", "b %20 c", "Größe 100 %", "d'e\"f", "файл", "#1?x=y&z", "g+h"]


def rows(*numbers: int) -> bytes:
    return b"".join(b'{"id": %d, "label": "x"}\n' % number for number in numbers)


def contract(folder: Path) -> Contract:
    return write_contract(folder, THINGS)


def test_files_are_found_landed_once_and_archived_whatever_they_are_called(
    tmp_path: Path, source_uri: str, elsewhere: Elsewhere
) -> None:
    for number, name in enumerate(NAMES):
        elsewhere.put(f"toys/{name}/things.json", rows(number))
    elsewhere.put("toys/.hidden/things.json", rows(99))
    elsewhere.put("toys/other/things.csv", rows(99))
    things, archive = contract(tmp_path), elsewhere.url + "-archive"
    place = Place(things, tmp_path, source_uri)
    found = pending_files(things, elsewhere.url)
    assert found == sorted(f"toys/{name}/things.json" for name in NAMES)
    result = land(things, found, source_uri=source_uri, root=elsewhere.url, archive=archive)
    assert (result.rows_loaded, result.errors) == (len(NAMES), ())
    assert [id_ for id_, _ in place.rows()] == list(range(len(NAMES)))
    assert pending_files(things, elsewhere.url) == []
    assert pending_files(things, archive) == found
    elsewhere.put(found[0], rows(0))  # sent again
    again = land(things, found[:1], source_uri=source_uri, root=elsewhere.url, archive=archive)
    assert again.rows_loaded == 0 and pending_files(things, elsewhere.url) == []


def test_a_move_that_was_cut_short_is_completed_and_nothing_archived_is_overwritten(
    tmp_path: Path, elsewhere: Elsewhere
) -> None:
    root, archive = Root(elsewhere.url), Root(elsewhere.url + "-archive")
    file = tmp_path / "file"
    file.write_bytes(rows(1))
    archive.write("toys/a.json", file)  # killed behind this, before the file is removed
    elsewhere.put("toys/a.json", rows(1))
    assert move_to_archive(root, archive, "toys/a.json", file, hash_of(file)) == "toys/a.json"
    assert root.glob("toys/*") == [] and archive.glob("toys/*") == ["toys/a.json"]
    elsewhere.put("toys/a.json", rows(2))
    with root.fetched("toys/a.json") as other:
        name = move_to_archive(root, archive, "toys/a.json", other, hash_of(other))
    assert name != "toys/a.json" and archive.glob("toys/*") == sorted(["toys/a.json", name])
    with archive.fetched("toys/a.json") as first, archive.fetched(name) as second:
        assert (first.read_bytes(), second.read_bytes()) == (rows(1), rows(2))


def test_two_thousand_files_are_listed_in_seconds(elsewhere: Elsewhere) -> None:
    for number in range(2000):
        elsewhere.put(f"toys/{number:04}.json", b"")
    began = time.monotonic()
    found = Root(elsewhere.url).glob("toys/*.json", "toys/*.json.gz")
    assert found == [f"toys/{number:04}.json" for number in range(2000)]
    assert time.monotonic() - began < 10


def test_a_file_that_appears_or_goes_is_seen_at_once(elsewhere: Elsewhere) -> None:
    root = Root(elsewhere.url)
    assert root.glob("toys/*") == [] and not root.exists("toys/a.json")
    elsewhere.put("toys/a.json", rows(1))
    assert root.glob("toys/*", "none/*") == ["toys/a.json"] and root.exists("toys/a.json")
    assert root.glob("toys/*") == ["toys/a.json"]
    elsewhere.put("toys/z.json", rows(2))
    assert root.glob("toys/*") == ["toys/a.json", "toys/z.json"]
    assert not root.exists("toys") and root.size("toys/a.json") == len(rows(1)) and root.size("toys/b.json") == 0
    root.remove("toys/a.json")
    root.remove("toys/a.json")
    with pytest.raises(FileNotFoundError), root.fetched("toys/a.json"):
        pass


def test_a_file_that_changes_while_it_is_read_is_left_to_the_next_run(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere.put("toys/a.json", b"x" * 1000)
    root = Root(elsewhere.url)
    get_file = root._store._files.get_file

    def get_and_change(*args: object) -> None:
        get_file(*args)
        elsewhere.put("toys/a.json", b"y" * 1000, age=30.0)

    monkeypatch.setattr(root._store._files, "get_file", get_and_change)
    with pytest.raises(UnavailableFileError, match="changed while it was read"), root.fetched("toys/a.json"):
        pass


def test_a_file_that_somebody_writes_waits(tmp_path: Path, source_uri: str, elsewhere: Elsewhere) -> None:
    elsewhere.put("toys/new/things.json", rows(1), age=1.0)
    root = Root(elsewhere.url)
    if elsewhere.sftp is None:  # an object is there whole or not at all
        root.check_at_rest("toys/new/things.json")
        return
    place = Place(contract(tmp_path), tmp_path, source_uri)
    with pytest.raises(LandingError) as caught:
        land(place.contract, ["toys/new/things.json"], source_uri=source_uri, root=elsewhere.url, archive=elsewhere.url)
    assert "is still being written" in str(caught.value) and place.rows() == []


def test_a_reader_never_sees_half_of_a_file(
    elsewhere: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if elsewhere.sftp is not None:
        monkeypatch.setattr(elsewhere.sftp, "slow", 0.1)
    root, file = Root(elsewhere.url), tmp_path / "large"
    file.write_bytes(b"x" * 3_000_000)
    seen: set[int] = set()
    writer = threading.Thread(target=lambda: [Root(elsewhere.url).write("toys/a.json", file) for _ in range(5)])
    writer.start()
    while writer.is_alive():
        seen.add(root.size("toys/a.json") if root.exists("toys/a.json") else -1)
    writer.join()
    assert seen <= {-1, 3_000_000} and root.glob("toys/*", "toys/.*") == ["toys/a.json"]


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"password": "wrong-hush"}, UnusableFileError, "refuses access: check user, password and key"),
        ({"extra": {"host_key": f"ssh-ed25519 {OTHER_KEY}"}}, UnusableFileError, "its host key is not known"),
        ({"extra": {"host_key": OTHER_KEY}}, UnusableFileError, "its host key is not known"),
        ({"extra": {}}, UnusableFileError, "its host key is not known: add it to ~/.ssh/known_hosts"),
        ({"port": 9}, UnavailableFileError, r"can't be used \(ConnectionRefusedError\)"),
        ({"host": "nowhere.invalid"}, UnavailableFileError, r"can't be used \(gaierror\)"),
    ],
)
def test_sftp_server_that_lets_nobody_in_is_no_empty_folder(
    tmp_path: Path,
    sftp: SftpServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    change: dict[str, object],
    error: type[FileError],
    sentence: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_BOX", sftp.connection(**change))
    for use in (lambda root: root.glob("*"), lambda root: root.exists("a"), lambda root: root.size("a")):
        with pytest.raises(error, match=rf"^sftp://box@/landing: {sentence}") as caught:
            use(Root("sftp://box@/landing"))
        assert "hush" not in str(caught.value)
    assert "hush" not in caplog.text


def test_host_key_is_taken_from_the_users_file_and_may_be_left_unchecked(
    tmp_path: Path, sftp: SftpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_BOX", sftp.connection(extra={"no_host_key_check": True}))
    assert Root("sftp://box@/landing").glob("none/*") == []
    monkeypatch.setenv("AIRFLOW_CONN_BOX", sftp.connection(extra={}))
    (tmp_path / ".ssh").mkdir()
    known = tmp_path / ".ssh" / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sftp.port} {sftp.key.export_public_key().decode()}")
    assert Root("sftp://box@/landing").glob("none/*") == []


def test_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, sftp: SftpServer) -> None:
    monkeypatch.setattr("include.stores._SSH_LIMITS", {"connect_timeout": 0.5, "login_timeout": 0.5})
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("AIRFLOW_CONN_BOX", sftp.connection(port=deaf.getsockname()[1]))
        with pytest.raises(UnavailableFileError, match="can't be used"):
            Root("sftp://box@/landing").glob("*")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("s3://store@no-such-bucket/landing", "there is no such bucket: check the root"),
        ("s3://nobody@bucket/landing", "its Airflow connection is not defined"),
        ("sftp://nobody@/landing", "its Airflow connection is not defined"),
        ("sftp://127.0.0.1/landing", "names no Airflow connection: write sftp://connection@/path"),
        ("sftp://me:hush@127.0.0.1/landing", "holds a password, which anybody would see"),
    ],
)
def test_root_that_cannot_be_is_no_empty_folder(
    s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, url: str, sentence: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_STORE", aws_connection(s3_endpoint))
    with pytest.raises(UnusableFileError, match=sentence) as caught:
        Root(url).glob("*")
    assert "hush" not in str(caught.value)


def test_store_that_is_away_or_refuses_is_no_empty_folder(
    elsewhere: Elsewhere, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if elsewhere.sftp is not None:
        folder = elsewhere.sftp.folder / elsewhere.url.rpartition("/")[2]
        folder.write_text("is a file")
        with pytest.raises(UnusableFileError, match=r"sftp://box@/.*: is a file: name the folder"):
            Root(elsewhere.url).glob("*")
        return
    extra = {
        "endpoint_url": "http://127.0.0.1:9",
        "region_name": "us-east-1",
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }
    away = json.dumps({"conn_type": "aws", "login": "me-me-me", "password": SECRET, "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", away)
    for use in (lambda root: root.glob("*"), lambda root: root.exists("a"), lambda root: root.size("a")):
        with pytest.raises(UnavailableFileError, match=r"^s3://away@bucket/landing: can't be used") as caught:
            use(Root("s3://away@bucket/landing"))
        assert SECRET not in str(caught.value) and "127.0.0.1" not in str(caught.value)
