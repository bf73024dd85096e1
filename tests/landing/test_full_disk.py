"""A disk that is full costs no row: what fits goes on, the error says what to do, and the next run completes.

The disks are small ones in memory, which only root may mount; elsewhere those tests are skipped, and a limit on the
size of a process's files stands in for a full disk below a download.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from include.errors import TransientError
from include.landing import LandingError, fetch, pending_files
from include.stack.local.postgres import PostgresServer, free_port
from include.storage import FileError
from tests.landing.conftest import SHOP, THINGS, Place, write_contract, write_pages

PAGES = SHOP["web.pages"]


class Disk:
    """A file system in memory of so many MB, which may grow."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        folder.mkdir()
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "landing-test", folder],
                              capture_output=True, text=True, check=False)  # fmt: skip
        if made.returncode:
            pytest.skip(f"a small disk can't be mounted here: {made.stderr.strip()}")

    def grow(self, megabytes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={megabytes}m", self.folder], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", self.folder], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk", 32)
    yield made
    made.unmount()


def rows(first: int, number: int) -> bytes:
    return b"".join(b'{"id": %d, "label": "%s"}\n' % (n, b"x" * 900) for n in range(first, first + number))


def put_files(place: Place) -> None:
    """Put a file that is too large for the disk between two that are not; it has bad rows, too."""
    place.put("a", rows(0, 10))
    place.put("b", rows(100, 100_000) + b'{"id": "x"}\n' * 3)
    place.put("c", rows(200_000, 3000))


def check_all_landed(place: Place) -> None:
    place.land()
    assert place.query("select count(*), count(distinct id) from toys.things") == [(103_010, 103_010)]
    assert place.query("select sum(rows_loaded), sum(rows_rejected) from landing.files") == [(103_010, 3)]
    assert pending_files(place.contract, str(place.root)) == []


def test_a_database_whose_disk_is_full_takes_what_fits_and_the_rest_when_there_is_room(
    things: Place, disk: Disk, source_server: PostgresServer
) -> None:
    os.chown(disk.folder, source_server.data.stat().st_uid, -1)
    with psycopg.connect(source_server.uri(), autocommit=True) as connection:
        connection.execute(sql.SQL("create tablespace small location {}").format(sql.Literal(str(disk.folder))))
        connection.execute("create database small tablespace small")
    place = Place(things.contract, things.folder, source_server.uri("small"))
    try:
        put_files(place)
        with pytest.raises(LandingError) as caught:
            place.land()
        assert str(caught.value) == (
            "toys.things: toys/b/things.json is not loaded: the database's disk is full; make room, then run again"
        )
        assert place.query("select count(*), min(id), max(id) from toys.things") == [(3010, 0, 202_999)]
        disk.grow(400)
        check_all_landed(place)
    finally:
        with psycopg.connect(source_server.uri(), autocommit=True) as connection:
            connection.execute("drop database small with (force)")
            connection.execute("drop tablespace small")


def test_a_server_whose_whole_disk_is_full_loses_no_row(tmp_path: Path, disk: Disk) -> None:
    disk.grow(120)
    options = {"min_wal_size": "32MB", "max_wal_size": "32MB", "shared_buffers": "8MB"}
    server = PostgresServer(disk.folder / "server", free_port(), options=options)
    server.start()
    try:
        place = Place(write_contract(tmp_path, THINGS), tmp_path, server.uri())
        put_files(place)
        with pytest.raises((LandingError, TransientError)):  # a server without room for its log goes down
            place.land()
        disk.grow(900)
        wait_until_it_answers(server)
        check_all_landed(place)
    finally:
        server.destroy()


def wait_until_it_answers(server: PostgresServer) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if not server.is_running():
            server.start()
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(server.uri()):
            return
        time.sleep(0.2)
    raise AssertionError("the server does not come back")


def test_a_download_that_does_not_fit_on_the_disk_is_told_and_fetched_when_there_is_room(
    tmp_path: Path, source_uri: str, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = disk.folder / "in"
    source = tmp_path / "pages.csv"
    write_pages(source)
    with source.open("ab") as out:
        out.write(b"x\n" * (20 << 20))
    message = r"web.pages: file:.*pages.csv can't be written to .* \(No space left on device\)"
    for temporary in (tmp_path, disk.folder):  # the copy fits and the landing root is full; not even the copy fits
        monkeypatch.setattr("tempfile.tempdir", str(temporary))
        with pytest.raises(FileError, match=message):
            fetch(PAGES, source_uri=source_uri, root=str(root), url=source.as_uri())
        assert pending_files(PAGES, str(root)) == []
        assert not [path for path in disk.folder.rglob("*") if path.is_file()]
    disk.grow(400)
    assert fetch(PAGES, source_uri=source_uri, root=str(root), url=source.as_uri()).status == "fetched"
    assert len(pending_files(PAGES, str(root))) == 1


FETCH = """
import sys
from pathlib import Path
from include.contracts import read_contracts
from include.landing import fetch
from include.storage import FileError
contract = next(c for c in read_contracts(Path("tests/landing/contracts")) if c.name == "web.pages")
try:
    print(fetch(contract, source_uri=sys.argv[1], root=sys.argv[2], url=sys.argv[3]).status)
except FileError as error:
    print(error)
"""


def test_a_download_that_may_not_grow_is_told_and_leaves_nothing(tmp_path: Path, source_uri: str) -> None:
    source, root = tmp_path / "pages.csv", tmp_path / "in"
    source.write_bytes(b"x" * (3 << 20))

    def run(limit: int) -> str:
        return subprocess.run(
            [sys.executable, "-c", FETCH, source_uri, str(root), source.as_uri()], capture_output=True, text=True,
            check=True, cwd=Path(__file__).parents[2],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        ).stdout.strip()  # fmt: skip

    told = run(1 << 20)
    assert "pages.csv can't be written to " in told
    assert told.endswith("(File too large): mend that, then run again")
    assert pending_files(PAGES, str(root)) == []
    assert run(16 << 20) == "fetched"
    assert len(pending_files(PAGES, str(root))) == 1


def test_an_archive_whose_disk_is_full_is_told_and_repaired(things: Place, disk: Disk) -> None:
    things.archive.symlink_to(disk.folder)
    things.put("a", rows(0, 50_000))
    things.put("b", rows(100_000, 10))
    with pytest.raises(LandingError, match=r"a/things.json is landed but not archived: .*No space left on device"):
        things.land()
    assert [path.name for path in disk.folder.rglob("*") if path.is_file()] == ["things.json"]
    disk.grow(400)
    assert [file.status for file in things.land().files] == ["already_landed"]
    assert things.query("select count(*) from toys.things") == [(50_010,)]
    assert len(list(things.archive.rglob("things.json"))) == 2
