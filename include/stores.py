"""Object stores and SFTP servers, through the file systems that Airflow's providers and fsspec have.

A failure is never taken for an absent file, as fsspec's own `glob` and `isfile` do: each becomes a FileError with the
store's name, the reason and the next step, and without what the server or the library says, which may hold a secret.
FileNotFoundError says that a file is not there.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import time
from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from include.errors import FileError, UnavailableFileError, UnusableFileError

_SSH = ("sftp", "ssh")
_CLIENTS = {
    "s3": "apache-airflow-providers-amazon[s3fs]",
    **dict.fromkeys(_SSH, "apache-airflow-providers-sftp[sshfs]"),
    "gs": "apache-airflow-providers-google",
    "abfs": "apache-airflow-providers-microsoft-azure",
}
# In these an object is there whole or not at all. A file elsewhere may be one that somebody is writing.
_S3 = ("s3", "s3a", "s3n")
_WHOLE_OBJECTS = (*_S3, "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory")
_SSH_LIMITS = {"connect_timeout": 15, "login_timeout": 30, "keepalive_interval": 15}  # seconds
_FULL = (errno.ENOSPC, errno.EDQUOT)  # the disk of this machine
_MAGIC = re.compile(r"[*?[]")


class Store:
    """A root in a store. Raises UnusableFileError for one that can't be opened."""

    def __init__(self, url: str) -> None:
        self.scheme, _, rest = url.partition("://")
        user, at, place = rest.rpartition("@") if "@" in rest.partition("/")[0] else ("", "", rest)
        self.name = f"{self.scheme}://{user.partition(':')[0]}{at}{place}"
        if ":" in user:
            raise UnusableFileError(
                f"{self.name}: holds a password, which anybody would see: put it into an Airflow connection and name"
                f" that, {self.scheme}://connection@{place}"
            )
        if self.scheme in _SSH and not user:
            raise UnusableFileError(f"{self.name}: names no Airflow connection: write {self.scheme}://connection@/path")
        with self._told():
            self._files, self._base = self._opened(url, user)

    def _opened(self, url: str, connection: str) -> tuple[Any, str]:
        """Return the file system and the root's path in it."""
        import fsspec
        from airflow.sdk import Connection, ObjectStoragePath  # seconds to import, and only a remote root needs it
        from airflow.sdk.io.fs import get_fs, has_fs

        try:
            if self.scheme in _SSH:  # never by fsspec's own client, which trusts any server
                logging.getLogger("asyncssh").setLevel(logging.WARNING)  # it tells of each file
                files = get_fs(self.scheme, connection, _ssh_options(connection))
                return files, "/" + url.partition("://")[2].partition("/")[2].strip("/")
            if has_fs(self.scheme):
                if connection:
                    Connection.get(connection)  # for one that is not there, Amazon's provider would take no credentials
                path = ObjectStoragePath(url)
                return path.fs, str(path.path).rstrip("/")
            files, place = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError):
            client = _CLIENTS.get(self.scheme)
            raise UnusableFileError(
                f"{self.name}: can't be opened: check the root, or add"
                f" {f'{client} to requirements.txt' if client else 'the package that has such a file system'}"
            ) from None
        return files, str(place).rstrip("/")

    def glob(self, patterns: tuple[str, ...]) -> list[str]:
        """Return the paths below the root that match one of the shell patterns, sorted. Each folder is listed once."""
        listed: dict[str, list[tuple[str, str]]] = {}
        with self._told():
            self._files.invalidate_cache()
            self._list("", listed)
            return sorted({path for pattern in patterns for path in self._matches("", pattern.split("/"), listed)})

    def _matches(self, folder: str, parts: list[str], listed: dict[str, list[tuple[str, str]]]) -> Iterator[str]:
        name, rest = parts[0], parts[1:]
        if name == "**" and rest:  # any number of folders
            yield from self._matches(folder, rest, listed)
        elif rest and not _MAGIC.search(name):
            yield from self._matches(f"{folder}{name}/", rest, listed)
            return
        for entry, kind in self._list(folder, listed):
            if not fnmatchcase(entry, name):
                continue
            if kind == "link":  # to a file or a folder
                kind = self._files.info(self._place(folder + entry))["type"]
            if rest and kind == "directory":
                yield from self._matches(f"{folder}{entry}/", parts if name == "**" else rest, listed)
            elif not rest and kind == "file":
                yield folder + entry

    def _list(self, folder: str, listed: dict[str, list[tuple[str, str]]]) -> list[tuple[str, str]]:
        """Return names and types of what is in a folder; nothing where it is not there."""
        if folder not in listed:
            place = self._place(folder).rstrip("/")
            found = self._ls(place)
            if not (found or folder):
                self._check_root(place)
            paths = [(str(each["name"]).strip("/"), str(each["type"])) for each in found or ()]
            listed[folder] = [(path.rpartition("/")[2], kind) for path, kind in paths if path != place.strip("/")]
        return listed[folder]

    def _check_root(self, place: str) -> None:
        """Raise UnusableFileError for a root in which nothing is, where that is because it can't hold anything."""
        if self.scheme in _S3:
            with contextlib.suppress(PermissionError):  # of a user who may see this root alone
                if self._ls(place.partition("/")[0]) is None:
                    raise UnusableFileError(f"{self.name}: there is no such bucket: check the root")
            return
        with contextlib.suppress(FileNotFoundError):
            if self._files.info(place)["type"] == "file":
                raise UnusableFileError(f"{self.name}: is a file: name the folder that holds one for each source")

    def _ls(self, place: str) -> list[dict[str, Any]] | None:
        """Return what is in a folder; None where it is not there."""
        try:
            return list(self._files.ls(place, detail=True))
        except FileNotFoundError:
            return None

    def size(self, path: str) -> int:
        """Return a file's size in bytes. Raises FileNotFoundError."""
        with self._told():
            return int(self._files.info(self._place(path))["size"] or 0)

    def modified(self, path: str) -> float:
        """Return when a file was last written, in seconds since 1970. Raises FileNotFoundError."""
        with self._told():
            return float(self._files.modified(self._place(path)).timestamp())

    def exists(self, path: str) -> bool:
        """Return whether there is a file of this name."""
        try:
            with self._told():
                self._files.invalidate_cache()
                return bool(self._files.info(self._place(path))["type"] == "file")
        except FileNotFoundError:
            return False

    def fetch(self, path: str, copy: Path) -> None:
        """Copy a file to the local disk. Raises FileNotFoundError; UnavailableFileError where it changes meanwhile."""
        with self._told():
            before = self._state(path)
            self._files.get_file(self._place(path), str(copy))
            if self._state(path) != before or copy.stat().st_size != before[0]:
                raise UnavailableFileError("changed while it was read: it is taken up by the next run")

    def check_at_rest(self, path: str, quiet_seconds: float) -> None:
        """Raise UnavailableFileError for a file that somebody may still be writing."""
        if self.scheme in _WHOLE_OBJECTS:
            return
        with self._told():
            changed = self._state(path)[1]
        seconds = changed.timestamp() if isinstance(changed, datetime) else changed
        if isinstance(seconds, int | float) and abs(time.time() - seconds) < quiet_seconds:
            raise UnavailableFileError("is still being written: it is taken up by the next run")

    def write(self, path: str, content: Path) -> None:
        """Copy a local file into the store. A reader sees all of it or nothing."""
        place = self._place(path)
        folder, _, name = place.rpartition("/")
        with self._told():
            self._files.makedirs(folder, exist_ok=True)
            if self.scheme in _WHOLE_OBJECTS:
                self._files.put_file(str(content), place)
                return
            unfinished = f"{folder}/.{name}.{os.getpid()}.unfinished"
            try:
                self._files.put_file(str(content), unfinished)
                self._files.mv(unfinished, place)
            except BaseException:
                with contextlib.suppress(Exception):
                    self._files.rm_file(unfinished)
                raise

    def remove(self, path: str) -> None:
        """Delete a file. Raises FileNotFoundError where the store tells that it is gone already."""
        with self._told():
            self._files.rm_file(self._place(path))

    def _place(self, path: str) -> str:
        return f"{self._base}/{path}"

    def _state(self, path: str) -> tuple[int, Any]:
        """Return a file's size, and its time or its version, as far as the store has one."""
        self._files.invalidate_cache()
        info = self._files.info(self._place(path))
        return int(info["size"] or 0), next((info[k] for k in ("ETag", "mtime", "created", "etag") if k in info), None)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what a store's client raises into a FileError."""
        try:
            yield
        except (FileError, FileNotFoundError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _FULL:
                raise
            kind = type(error).__name__
            if self.scheme in _SSH and hasattr(self, "_files"):
                self._files.clear_instance_cache()  # the next try has a connection of its own
            reason = {
                "AirflowNotFoundException": "its Airflow connection is not defined: set AIRFLOW_CONN_<NAME>, or add it",
                "HostKeyNotVerifiable": "its host key is not known: add it to ~/.ssh/known_hosts, or as host_key to the"
                " extra of the connection",
                "NoCredentialsError": "no credentials are there: name an Airflow connection in the root",
            }.get(kind)
            if isinstance(error, PermissionError):
                reason = "refuses access: check user, password and key of the connection, and the rights of that user"
            if reason is not None:
                raise UnusableFileError(f"{self.name}: {reason}") from None
            raise UnavailableFileError(
                f"{self.name}: can't be used ({kind}): see whether its server is there and the connection is right,"
                " then run again"
            ) from None


def _ssh_options(connection: str) -> dict[str, Any]:
    """Return what a connection over SSH needs beyond user and password. sshfs would trust any server that answers."""
    from airflow.sdk import Connection

    extra = Connection.get(connection).extra_dejson
    if str(extra.get("no_host_key_check", "")).lower() == "true":
        return dict(_SSH_LIMITS)
    key = str(extra.get("host_key") or "")
    known = f"* {key if ' ' in key else f'ssh-rsa {key}'}\n".encode() if key else ()  # (): ~/.ssh/known_hosts
    return {**_SSH_LIMITS, "known_hosts": known}
