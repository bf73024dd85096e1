"""Roots of files, which are folders or object stores: files found, fetched, written whole, moved and hashed.

A root is a folder or any URL that Airflow's ObjectStoragePath takes (s3://connection@bucket/landing, file:///data,
sftp://connection@/landing); a scheme that only fsspec knows works too. Remote files are copied to the local disk before
they are read.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# Whoever uses a root has its errors from here too.
from include.errors import FileError as FileError
from include.errors import UnavailableFileError as UnavailableFileError
from include.errors import UnusableFileError as UnusableFileError
from include.stores import Store

# Where the system can't tell whether somebody writes to a file, it must not have changed for so long.
QUIET_SECONDS = 10.0


@dataclass(frozen=True)
class Root:
    """A landing or archive root: a local folder or an object store's URL."""

    url: str

    @property
    def local(self) -> Path | None:
        """The folder, where the root is one on this machine."""
        scheme, separator, rest = self.url.partition("://")
        if not separator:
            return Path(self.url)
        return Path("/" + rest.lstrip("/")) if scheme in ("file", "local") else None

    @cached_property
    def _store(self) -> Store:
        return Store(self.url)

    def glob(self, *patterns: str) -> list[str]:
        """Return the paths below the root that match one of the patterns, in byte order."""
        if self.local is None:
            return self._store.glob(patterns)
        found = {path for pattern in patterns for path in self.local.glob(pattern) if path.is_file()}
        return sorted(path.relative_to(self.local).as_posix() for path in found)

    def size(self, path: str) -> int:
        """Return a file's size in bytes; 0 for a file that is gone."""
        try:
            return (self.local / path).stat().st_size if self.local is not None else self._store.size(path)
        except FileNotFoundError:
            return 0

    def modified(self, path: str) -> float:
        """Return when a file was last written, in seconds since 1970; 0 for a file that is gone."""
        try:
            return (self.local / path).stat().st_mtime if self.local is not None else self._store.modified(path)
        except FileNotFoundError:
            return 0.0

    def exists(self, path: str) -> bool:
        return (self.local / path).is_file() if self.local is not None else self._store.exists(path)

    @contextlib.contextmanager
    def fetched(self, path: str) -> Iterator[Path]:
        """Give the file's path on the local disk: its own, or that of a copy. Raises FileNotFoundError."""
        if self.local is not None:
            yield self.local / path
            return
        with tempfile.TemporaryDirectory(prefix="landing-") as folder:
            copy = Path(folder) / Path(path).name
            self._store.fetch(path, copy)
            yield copy

    def check_at_rest(self, path: str) -> None:
        """Raise UnavailableFileError for a file that somebody is still writing, see `check_at_rest` of this module."""
        if self.local is not None:
            check_at_rest(self.local / path)
        else:
            self._store.check_at_rest(path, QUIET_SECONDS)

    def write(self, path: str, content: Path) -> None:
        """Copy a local file to a path below the root. A reader sees all of it or nothing."""
        if self.local is None:
            self._store.write(path, content)
            return
        target = self.local / path
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}.unfinished")
        try:
            shutil.copyfile(content, unfinished)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)

    def remove(self, path: str) -> None:
        """Delete a file; one that is gone already is no error."""
        with contextlib.suppress(FileNotFoundError):
            if self.local is not None:
                (self.local / path).unlink()
            else:
                self._store.remove(path)


def move_to_archive(root: Root, target: Root, path: str, file: Path, sha256: str) -> str:
    """Move a file to the archive and return its path there: the same, or one with the start of its hash in the name.

    `file` is the file on the local disk. A move that was cut short is completed by calling this again. Nothing in the
    archive is ever overwritten. Raises UnusableFileError where both names are taken by other bytes.
    """
    stem, dot, suffix = path.rpartition("/")[2].partition(".")
    other = path.rpartition("/")[0] + f"/{stem}.{sha256[:12]}{dot}{suffix}"
    for name in (path, other.lstrip("/")):
        if target.exists(name):
            with target.fetched(name) as archived:
                if hash_of(archived) != sha256:
                    continue
        else:
            _move(root, target, path, name, file)
        root.remove(path)
        return name
    raise UnusableFileError("the archive holds other bytes under both of its names: look at the archive root")


def _move(root: Root, target: Root, path: str, name: str, file: Path) -> None:
    if root.local is not None and target.local is not None and not (root.local / path).is_symlink():
        destination = target.local / name
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(root.local / path, destination)  # noqa: PTH104
        except OSError as error:
            if error.errno != errno.EXDEV:  # the archive is on another disk: copy
                raise
        else:
            return
    target.write(name, file)


def hash_of(file: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_at_rest(file: Path) -> None:
    """Raise UnavailableFileError for a file that somebody is still writing.

    Linux knows: it grants nobody a read lease on a file that is open for writing (fcntl(2), F_SETLEASE). Where there
    are no leases (another system, a network disk, another owner's file), the file must be QUIET_SECONDS old.
    """
    with file.open("rb") as stream:
        try:
            fcntl.fcntl(stream, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(stream, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except (OSError, AttributeError) as error:
            is_open = isinstance(error, OSError) and error.errno == errno.EAGAIN
            age = abs(time.time() - file.stat().st_mtime)
            if is_open or age < QUIET_SECONDS:
                raise UnavailableFileError("is still being written: it is taken up by the next run") from None
