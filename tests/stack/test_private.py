"""A private file is its owner's alone from its first byte on, and there whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.stack.private import write_private


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    previous = os.umask(0)
    yield
    os.umask(previous)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_file_is_its_owners_alone_whatever_lay_there(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "keys" / "key"
    write_private(path, "first")
    assert (path.read_text(), mode(path)) == ("first", 0o600)
    path.chmod(0o644)
    path.with_name("key.unfinished").touch(mode=0o666)  # as a start leaves it that was killed
    write_private(path, "second")
    assert (path.read_text(), mode(path)) == ("second", 0o600)
    assert [each.name for each in path.parent.iterdir()] == ["key"]


def test_nobody_ever_sees_a_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "key", []
    write = Path.write_text

    def fail_half_way(self: Path, text: str, **how: str) -> int:
        write(self, text[: len(text) // 2], **how)
        seen.append((self.name, mode(self)))
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "write_text", fail_half_way)
    with pytest.raises(OSError, match="the disk is full"):
        write_private(path, "secret")
    assert not path.exists() and seen == [("key.unfinished", 0o600)]
