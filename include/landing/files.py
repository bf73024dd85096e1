"""Files below a landing root: found, read line by line without ever holding one whole, and moved to the archive.

A root is a folder or any URL that Airflow's ObjectStoragePath takes (s3://connection@bucket/landing, file:///data); a
scheme that only fsspec knows works too. Remote files are copied to the local disk before they are read.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import gzip
import hashlib
import io
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from include import settings
from include.errors import FinalError, TransientError, WarehouseError
from include.landing.contracts import Contract

QUIET_SECONDS = 10.0  # where the system can't tell who writes a file, it must have been left alone for so long
_CHUNK = 1 << 18
_KEPT_BYTES = 1 << 16  # of a line that is too long, for the reject
_RECORD_LINES = 100  # a quoted CSV value may go over so many lines


class Stream(Protocol):
    """What reading lines needs of an open file."""

    def read(self, size: int, /) -> bytes: ...

    def readline(self, size: int = -1, /) -> bytes: ...


class FileError(WarehouseError):
    """A file can't be read or moved; the message gives the reason and the next step, and shows no value of a row."""


class UnusableFileError(FileError, FinalError):
    """A file is not what it should be: somebody has to send it again, or to change the contract or a setting."""


class UnavailableFileError(FileError, TransientError):
    """A file can't be had now: it is being written, or the server that gives it is away."""


# A row's line number, its text as it stood in the file, its parsed value, what kept it from parsing (code, reason).
Line = tuple[int, bytes, Any, tuple[str, str] | None]


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
    def _remote(self) -> tuple[Any, str]:
        """The fsspec filesystem and the root's path in it."""
        import fsspec
        from airflow.sdk import ObjectStoragePath  # seconds to import, and only a remote root needs it
        from airflow.sdk.io.fs import has_fs

        try:
            if has_fs(self.url.partition("://")[0]):
                path = ObjectStoragePath(self.url)
                return path.fs, str(path.path).rstrip("/")
            filesystem, path = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise UnusableFileError(
                f"{self.url}: can't be opened ({error}): check the root, or add the package"
            ) from None
        return filesystem, str(path).rstrip("/")

    def glob(self, pattern: str) -> list[str]:
        """Return the paths below the root that match, in byte order."""
        if self.local is not None:
            return sorted(p.relative_to(self.local).as_posix() for p in self.local.glob(pattern) if p.is_file())
        filesystem, base = self._remote
        return sorted(str(found).removeprefix(base).lstrip("/") for found in filesystem.glob(f"{base}/{pattern}"))

    def size(self, path: str) -> int:
        """Return a file's size in bytes; 0 for a file that is gone."""
        try:
            if self.local is not None:
                return (self.local / path).stat().st_size
            filesystem, base = self._remote
            return int(filesystem.size(f"{base}/{path}") or 0)
        except FileNotFoundError:
            return 0

    def exists(self, path: str) -> bool:
        if self.local is not None:
            return (self.local / path).is_file()
        filesystem, base = self._remote
        return bool(filesystem.isfile(f"{base}/{path}"))

    @contextlib.contextmanager
    def fetched(self, path: str) -> Iterator[Path]:
        """Give the file as one on the local disk. Raises FileNotFoundError."""
        if self.local is not None:
            yield self.local / path
            return
        filesystem, base = self._remote
        with tempfile.TemporaryDirectory(prefix="landing-") as folder:
            copy = Path(folder) / Path(path).name
            with filesystem.open(f"{base}/{path}", "rb") as stored, copy.open("wb") as target:
                shutil.copyfileobj(stored, target, 1 << 20)
            yield copy

    def write(self, path: str, content: Path) -> None:
        """Put a local file below the root; a reader sees all of it or nothing."""
        if self.local is not None:
            target = self.local / path
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished = target.with_name(f".{target.name}.{os.getpid()}.unfinished")
            try:
                shutil.copyfile(content, unfinished)
                unfinished.replace(target)
            finally:
                unfinished.unlink(missing_ok=True)
            return
        filesystem, base = self._remote
        filesystem.makedirs(f"{base}/{path}".rpartition("/")[0], exist_ok=True)
        filesystem.put_file(str(content), f"{base}/{path}")

    def remove(self, path: str) -> None:
        """Delete a file; one that is gone already is no error."""
        with contextlib.suppress(FileNotFoundError):
            if self.local is not None:
                (self.local / path).unlink()
            else:
                filesystem, base = self._remote
                filesystem.rm_file(f"{base}/{path}")


def pending_files(contract: Contract, root: str = settings.LANDING_ROOT) -> list[str]:
    """Return the files of a dataset that lie below the landing root, by path; a landed file lies in the archive."""
    if contract.path is None:
        return []
    place = Root(root)
    return sorted([*place.glob(contract.path), *place.glob(contract.path + ".gz")])


def batches(
    files: list[str], root: str = settings.LANDING_ROOT, *, max_files: int = 200, max_bytes: int = 256 * 1024 * 1024
) -> list[list[str]]:
    """Split files, in order, into runs of at most so many files and about so many bytes; a larger file is alone."""
    place = Root(root)
    made: list[list[str]] = []
    size = 0
    for file in files:
        bytes_ = place.size(file)
        if not made or len(made[-1]) >= max_files or size + bytes_ > max_bytes:
            made.append([])
            size = 0
        made[-1].append(file)
        size += bytes_
    return made


def batch_name(files: list[str]) -> str:
    """Return what to call a batch in a list of tasks: its first and last file, and how many there are."""
    if len(files) == 1:
        return files[0]
    first, last = (Path(file).parent.as_posix().partition("/")[2] or Path(file).name for file in (files[0], files[-1]))
    return f"{len(files)} files, {first} to {last}"[:200]


def move_to_archive(root: Root, target: Root, path: str, file: Path, sha256: str) -> str:
    """Move a landed file to the archive and return its path there: the same, or one with a part of its hash.

    A move that was cut short is completed by calling it again. Nothing in the archive is ever overwritten.
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
    """Raise FileError for a file that somebody is writing.

    Linux tells: it gives nobody a read lease on a file that is open for writing (fcntl(2), F_SETLEASE). Where it can't
    be asked (another system, a network disk, another owner's file), the file must have been quiet for a while.
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


class _Hashed(io.RawIOBase):
    """A stream that knows the hash of what went through it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._stream.readinto(buffer)  # type: ignore[attr-defined]
        self.digest.update(memoryview(buffer)[:count])
        return int(count)


@contextlib.contextmanager
def opened(file: Path, sha256: str) -> Iterator[Stream]:
    """Open a plain or gzipped file for reading from its first row; a byte order mark is skipped.

    Raises FileError where the file is not whole gzip, or has changed since it was hashed.
    """
    with file.open("rb", buffering=0) as raw:
        hashed = _Hashed(raw)
        buffered = io.BufferedReader(hashed, _CHUNK)
        is_gzip = buffered.peek(2)[:2] == b"\x1f\x8b"
        if file.suffix == ".gz" and not is_gzip:
            raise UnusableFileError("is named .gz and holds no gzip: send it again")
        content: Any = io.BufferedReader(gzip.GzipFile(fileobj=buffered), _CHUNK) if is_gzip else buffered
        try:
            if content.peek(3)[:3] == b"\xef\xbb\xbf":
                content.read(3)
            yield content
            while content.read(_CHUNK):
                pass
        except EOFError:
            raise UnusableFileError("ends within its gzip stream: it was cut short, send it again") from None
        except (gzip.BadGzipFile, zlib.error):
            raise UnusableFileError("holds damaged gzip: send it again") from None
        while buffered.read(_CHUNK):
            pass
        if hashed.digest.hexdigest() != sha256:
            raise UnavailableFileError("changed while it was read: it is taken up by the next run")


def json_lines(stream: Stream, max_bytes: int, loads: Callable[[bytes], Any]) -> Iterator[Line]:
    """Give every line that is not blank: parsed, or with the problem `json`, `encoding` or `too_long`."""
    for number, raw in enumerate(_physical_lines(stream, max_bytes), 1):
        if len(raw) > max_bytes:
            yield (number, raw[:_KEPT_BYTES], None, ("too_long", f"the line is longer than {max_bytes} bytes"))
            continue
        try:
            value = loads(raw)
        except ValueError:
            if raw.strip():
                cut = "" if raw.endswith(b"\n") else "; the file ends in it"
                yield (number, raw, None, _problem(raw, "json", f"the line is not JSON{cut}"))
            continue
        yield (number, raw, value, None)


def _problem(raw: bytes, code: str, reason: str) -> tuple[str, str]:
    """Return why bytes could not be parsed: what they are not, or that they are no text at all."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return "encoding", f"byte {error.start + 1} of the line is not UTF-8"
    return code, reason


def csv_records(stream: Stream, max_bytes: int, delimiter: str, columns: dict[str, bool]) -> Iterator[Line]:
    """Give every record after the header as {column: text}; an empty value is None.

    `columns` says which columns are known and whether each is required. A record may go over several lines inside
    quotes; a stray quote costs the one line that it stands in. Raises FileError for a header that does not fit.
    """
    lines = _Lines(_physical_lines(stream, max_bytes))
    header = _header(lines, delimiter, columns)
    for number, raw in lines:
        if len(raw) > max_bytes:
            yield (number, raw[:_KEPT_BYTES], None, ("too_long", f"the line is longer than {max_bytes} bytes"))
            continue
        if not raw.strip():
            continue
        record, fields = raw, _fields(raw, delimiter)
        if fields is None and raw.count(b'"') % 2:
            taken = []
            for following in lines:
                taken.append(following)
                record += following[1]
                if following[1].count(b'"') % 2 or len(taken) == _RECORD_LINES or len(record) > max_bytes:
                    break
            fields = _fields(record, delimiter) if len(record) <= max_bytes else None
            if fields is None or len(fields) != len(header):
                lines.back(taken)
                record, fields = raw, None
        if fields is None:
            yield (number, record, None, _problem(record, "csv", "the quotes of the line do not match"))
        elif len(fields) != len(header):
            reason = f"{len(fields)} values where the header has {len(header)}"
            yield (number, record, None, ("csv", reason))
        else:
            yield (number, record, dict(zip(header, (f or None for f in fields), strict=True)), None)


class _Lines:
    """Numbered lines, of which some may be put back."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = enumerate(lines, 1)
        self._waiting: list[tuple[int, bytes]] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> tuple[int, bytes]:
        return self._waiting.pop(0) if self._waiting else next(self._lines)

    def back(self, lines: list[tuple[int, bytes]]) -> None:
        self._waiting[:0] = lines


def _header(lines: _Lines, delimiter: str, columns: dict[str, bool]) -> list[str]:
    first = next((raw for _, raw in lines if raw.strip()), None)
    if first is None:
        return []
    header = _fields(first, delimiter)
    if header is None:
        raise UnusableFileError(f"has a first line that is no header of names separated by {delimiter!r}")
    missing = [name for name, required in columns.items() if required and name not in header]
    unknown = [name for name in header if name not in columns]
    if missing or unknown or len(set(header)) != len(header):
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"has {len(unknown)} that the contract does not know"] if unknown else []
        parts += [] if missing or unknown else ["names a column twice"]
        raise UnusableFileError(f"has a header that {' and '.join(parts)}: mend the file or the contract")
    return header


def _fields(record: bytes, delimiter: str) -> list[str] | None:
    try:
        parsed = list(csv.reader([record.decode().rstrip("\r\n")], delimiter=delimiter, strict=True))
    except (csv.Error, UnicodeDecodeError):
        return None
    return parsed[0] if len(parsed) == 1 else None


def _physical_lines(stream: Stream, max_bytes: int) -> Iterator[bytes]:
    """Give the lines of a stream with their ends; of a line that is too long its beginning, longer than max_bytes."""
    rest, is_cut = b"", False
    while block := stream.read(_CHUNK):
        if is_cut:  # the rest of a line that was too long is left out
            _, end, block = block.partition(b"\n")
            is_cut = not end
        *lines, rest = (rest + block).split(b"\n")
        yield from [line + b"\n" for line in lines]
        if len(rest) > max_bytes:
            yield rest
            rest, is_cut = b"", True
    if rest:
        yield rest


csv.field_size_limit(1 << 30)  # the contract's own limit is lower
