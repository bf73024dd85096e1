"""Roots that are folders or object stores behave alike; a file is whole or absent; nothing archived is overwritten."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
import uuid
from pathlib import Path

import fsspec
import pytest

from include.storage import (
    QUIET_SECONDS,
    Root,
    UnavailableFileError,
    UnusableFileError,
    check_at_rest,
    hash_of,
    move_to_archive,
)


@pytest.fixture
def bucket() -> str:
    """The URL of a store in memory, which fsspec has and a local file system is not."""
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture(params=["folder", "file URL", "object store"])
def root(request: pytest.FixtureRequest, tmp_path: Path, bucket: str) -> Root:
    urls = {"folder": str(tmp_path / "root"), "file URL": (tmp_path / "root").as_uri(), "object store": bucket}
    return Root(urls[request.param])


def content(tmp_path: Path, text: str) -> Path:
    file = tmp_path / f"content-{uuid.uuid4().hex}"
    file.write_text(text)
    return file


def read(root: Root, path: str) -> str:
    with root.fetched(path) as file:
        return file.read_text()


def test_files_are_written_found_read_and_removed(root: Root, tmp_path: Path) -> None:
    for name in ("toys/b.json", "toys/a.json", "toys/deep/c.json", "other/d.json"):
        root.write(name, content(tmp_path, name))
    assert root.glob("toys/*.json") == ["toys/a.json", "toys/b.json"]
    assert read(root, "toys/a.json") == "toys/a.json"
    assert root.size("toys/a.json") == len("toys/a.json")
    assert root.exists("toys/a.json") and not root.exists("toys/none.json") and not root.exists("toys")
    root.write("toys/a.json", content(tmp_path, "new"))
    assert read(root, "toys/a.json") == "new"
    root.remove("toys/a.json")
    root.remove("toys/a.json")  # gone already
    assert root.glob("toys/*.json") == ["toys/b.json"] and root.size("toys/a.json") == 0
    with pytest.raises(FileNotFoundError), root.fetched("toys/a.json") as file:
        file.read_text()


def test_write_that_fails_leaves_the_old_file_and_no_leftover(tmp_path: Path) -> None:
    root = Root(str(tmp_path / "root"))
    root.write("toys/a.json", content(tmp_path, "old"))
    with pytest.raises(FileNotFoundError):
        root.write("toys/a.json", tmp_path / "nothing")
    assert [path.name for path in (tmp_path / "root/toys").iterdir()] == ["a.json"]
    assert read(root, "toys/a.json") == "old"


def archive_it(root: Root, archive: Root, path: str) -> str:
    with root.fetched(path) as file:
        return move_to_archive(root, archive, path, file, hash_of(file))


def test_file_moves_to_the_archive_and_the_same_bytes_take_no_second_name(root: Root, tmp_path: Path) -> None:
    archive = Root(root.url + "_archive")
    for _ in range(2):  # a move that was cut short after the copy is completed by the next one
        root.write("toys/a.json", content(tmp_path, "one"))
        assert archive_it(root, archive, "toys/a.json") == "toys/a.json"
        assert not root.exists("toys/a.json")
    assert archive.glob("toys/*") == ["toys/a.json"]


def test_other_bytes_of_the_same_name_are_kept_beside_the_first(root: Root, tmp_path: Path) -> None:
    archive = Root(root.url + "_archive")
    root.write("toys/a.json.gz", content(tmp_path, "one"))
    archive_it(root, archive, "toys/a.json.gz")
    root.write("toys/a.json.gz", content(tmp_path, "two"))
    name = archive_it(root, archive, "toys/a.json.gz")
    assert name.startswith("toys/a.") and name.endswith(".json.gz") and name != "toys/a.json.gz"
    assert (read(archive, "toys/a.json.gz"), read(archive, name)) == ("one", "two")
    archive.write(name, content(tmp_path, "forged"))
    root.write("toys/a.json.gz", content(tmp_path, "two"))
    with pytest.raises(UnusableFileError, match="the archive holds other bytes under both of its names"):
        archive_it(root, archive, "toys/a.json.gz")
    assert read(root, "toys/a.json.gz") == "two"


def test_root_that_cannot_be_opened_is_named_with_the_next_step() -> None:
    with pytest.raises(UnusableFileError, match=r"nosuch://bucket: can't be opened: check the root"):
        Root("nosuch://bucket").glob("*")


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("s3://bucket/landing", "apache-airflow-providers-amazon[s3fs]"),
        ("sftp://box@/landing", "apache-airflow-providers-sftp[sshfs]"),
    ],
)
def test_root_whose_client_is_not_installed_names_the_package(
    monkeypatch: pytest.MonkeyPatch, url: str, package: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BOX", "sftp://me@127.0.0.1")
    monkeypatch.setattr("airflow.sdk.io.fs._register_filesystems", dict)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UnusableFileError, match=re.escape(f"{url}: can't be opened: check the root, or add {package}")):
        Root(url).glob("*")


def test_failure_of_a_store_is_no_absent_file(root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsspec's own glob and isfile take one for the other."""
    if root.local is not None:
        return

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("hush")

    root.write("toys/a.json", content(tmp_path, "one"))
    for name in ("ls", "info", "get_file", "put_file", "rm_file"):
        monkeypatch.setattr(fsspec.filesystem("memory"), name, fail)
    uses = [lambda: root.glob("*"), lambda: root.exists("toys/a.json"), lambda: root.size("toys/a.json")]
    uses += [lambda: root.remove("toys/a.json"), lambda: read(root, "toys/a.json"), lambda: root.write("b", tmp_path)]
    for use in uses:
        with pytest.raises(UnavailableFileError, match=r"^memory://.*: can't be used \(RuntimeError\)") as caught:
            use()
        assert "hush" not in str(caught.value)


def test_url_names_the_airflow_connection_that_opens_the_store(monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", "generic://")
    connections = []

    def get_fs(connection: str | None, options: object) -> fsspec.AbstractFileSystem:
        connections.append(connection)
        return fsspec.filesystem("memory")

    monkeypatch.setattr("airflow.sdk.io.fs._register_filesystems", lambda: {"memory": get_fs})  # as providers do
    with fsspec.open(f"{bucket}/in/a/x.json", "wb") as out:
        out.write(b"{}")
    assert Root(bucket.replace("://", "://vault@") + "/in").glob("a/*") == ["a/x.json"]
    assert connections == ["vault"]


def test_file_that_is_being_written_is_not_at_rest(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    old = time.time() - QUIET_SECONDS - 1
    with file.open("w") as writer:
        writer.write("half")
        writer.flush()
        os.utime(file, (old, old))  # a writer that pauses
        with pytest.raises(UnavailableFileError, match="is still being written"):
            check_at_rest(file)
    check_at_rest(file)


def test_file_of_which_the_system_does_not_say_who_writes_it_must_be_quiet() -> None:
    descriptors = os.openpty()  # Linux grants no lease on a terminal, as on a network disk
    try:
        file = Path(os.ttyname(descriptors[1]))
        os.utime(file)
        with pytest.raises(UnavailableFileError, match="is still being written"):
            check_at_rest(file)
        old = time.time() - QUIET_SECONDS - 1
        os.utime(file, (old, old))
        check_at_rest(file)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def test_file_is_archived_on_another_disk(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        root, archive = Root(str(tmp_path / "root")), Root(folder)
        root.write("toys/a.json", content(tmp_path, "rows"))
        file = tmp_path / "root" / "toys" / "a.json"
        assert move_to_archive(root, archive, "toys/a.json", file, hash_of(file)) == "toys/a.json"
        assert read(archive, "toys/a.json") == "rows" and not file.exists()
