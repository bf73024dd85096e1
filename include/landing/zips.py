"""Zips of many files: each file in one is a file of its own, called `sales.zip!january.csv` wherever files are named.

Such a file is known by the hash of its own bytes, and landed, held or refused like any other. The zip moves to the
archive when everything in it has landed; until then it stays where it is, and each run lands what is left of it.

In a contract's path, what follows `.zip!` says which files of a zip are meant, where they are not all.
"""

from __future__ import annotations

import contextlib
import fnmatch
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from include.contracts import Contract
from include.landing.results import FileResult, FileStatus
from include.readers.packing import SUFFIXES, copy_limited, too_large
from include.storage import FileError, Root, UnusableFileError, hash_of, move_to_archive

_INSIDE = re.compile(r"(?<=\.zip)!", re.IGNORECASE)
_DOCUMENTS = ("[Content_Types].xml", "mimetype")  # what a zip holds that is a workbook or the like
_BLAME = "is a damaged zip, or was cut short: send it again"


def zip_of(path: str) -> str:
    """Return the path of the zip that a file is in; that of the file itself where it is in none."""
    return _INSIDE.split(path, maxsplit=1)[0]


@dataclass
class _Zip:
    """A zip that is open for reading, and which of its files are asked for."""

    file: Path
    sha256: str
    content: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]  # by their paths below the root
    others: dict[str, zipfile.ZipInfo]  # of the dataset, and not asked for


class Files:
    """The files below a root that are to be read, those in zips among them. Zips are open while the block lasts."""

    def __init__(self, contract: Contract, root: Root) -> None:
        self.root = root
        self._contract = contract
        self._wanted = next(iter(_INSIDE.split(contract.path or "", maxsplit=1)[1:]), "*")
        self._zips: dict[str, _Zip] = {}
        self.hashes: dict[str, str] = {}  # of the zips
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> Files:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def expand(self, paths: Iterable[str]) -> tuple[list[str], dict[str, Exception]]:
        """Return the paths, with those of a zip's files in its place, and why zips can't be used.

        A path may also name one file in a zip.
        """
        asked: dict[str, list[str]] = {}  # of each zip the files that are; none where all are
        for path in paths:
            asked.setdefault(zip_of(path), []).extend([path] if path != zip_of(path) else [])
        found: list[str] = []
        failed: dict[str, Exception] = {}
        for path, members in asked.items():
            if not path.lower().endswith(".zip"):
                found.append(path)
                continue
            try:
                found += self._open(path, members)
            except (FileError, OSError, UnicodeError) as error:
                failed[path] = error
        return found, failed

    def _open(self, path: str, asked: list[str]) -> list[str]:
        path.encode()
        file = self._opened.enter_context(self.root.fetched(path))
        self.root.check_at_rest(path)
        sha256 = self.hashes[path] = hash_of(file)
        try:
            content = self._opened.enter_context(zipfile.ZipFile(file))
        except (zipfile.BadZipFile, NotImplementedError, UnicodeError, ValueError):
            with file.open("rb") as begin:
                is_zip = begin.read(2) == b"PK"
            raise UnusableFileError(_BLAME if is_zip else "is named .zip and holds no zip: send it again") from None
        every = self._members(path, content)
        members = {name: info for name, info in every.items() if not asked or name in asked}
        if not members:
            raise UnusableFileError(f"holds no file called {self._wanted}: send it again, or mend the contract's path")
        others = {name: info for name, info in every.items() if name not in members}
        self._zips[path] = _Zip(file, sha256, content, members, others)
        return sorted(members)

    def _members(self, path: str, content: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
        """Return the files of the dataset in a zip. Raises UnusableFileError for one that can't be unpacked safely."""
        infos = [info for info in content.infolist() if not info.is_dir() and not _is_junk(info.filename)]
        if any(info.filename in _DOCUMENTS for info in infos):
            raise UnusableFileError("is a workbook or another document, no zip of files: name it for what it is")
        infos = [info for info in infos if fnmatch.fnmatchcase(info.filename.rpartition("/")[2], self._wanted)]
        if any(info.flag_bits & 1 for info in infos):
            raise UnusableFileError("is encrypted: send it without a password")
        if sum(info.file_size for info in infos) > self._contract.max_bytes:
            raise too_large(self._contract.max_bytes)
        names = {f"{path}!{_printable(info.filename)}": info for info in infos}
        if len(names) < len(infos):
            raise UnusableFileError("names a file twice: nothing says which one counts")
        return names

    def size(self, path: str) -> int:
        """Return a file's size in bytes, unpacked where it is in a zip."""
        inside = self._zips.get(zip_of(path))
        return self.root.size(path) if inside is None else inside.members[path].file_size

    @contextlib.contextmanager
    def fetched(self, path: str) -> Iterator[Path]:
        """Give the file's path on the local disk, when nobody writes to it any more. See `Root.fetched`."""
        inside = self._zips.get(zip_of(path))
        if inside is None:
            with self.root.fetched(path) as file:
                self.root.check_at_rest(path)
                yield file
            return
        with tempfile.TemporaryDirectory(prefix="landing-") as folder:
            yield self._unpack(inside, inside.members[path], Path(folder))

    def _unpack(self, inside: _Zip, info: zipfile.ZipInfo, folder: Path) -> Path:
        """Write a file of a zip to a folder, under a name of ours: its own may lead anywhere."""
        suffix = PurePosixPath(info.filename).suffix
        target = folder / ("member" + (suffix if suffix in SUFFIXES else ""))
        try:
            with inside.content.open(info) as stream, target.open("wb") as out:
                copy_limited(stream, out, self._contract.max_bytes)
        except NotImplementedError:
            raise UnusableFileError("is packed in a way that can't be unpacked here: pack it as plain zip") from None
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError):
            raise UnusableFileError("is damaged in its zip: send the zip again") from None
        return target

    def archive(self, results: list[FileResult], archive: Root) -> list[FileResult]:
        """Move the zips to the archive of which every file is in the table; return what went wrong with others.

        `results` says what became of the files.
        """
        done = {r.path for r in results if r.status in (FileStatus.LANDED, FileStatus.ALREADY_LANDED)}
        failed = []
        for path, each in self._zips.items():
            if each.others or not done.issuperset(each.members):
                continue
            try:
                if hash_of(each.file) == each.sha256:  # else it is another one by now, which the next run lands
                    move_to_archive(self.root, archive, path, each.file, each.sha256)
            except FileNotFoundError:  # another run has moved it
                continue
            except (FileError, OSError) as error:
                reason = str(error) if isinstance(error, FileError) else error.strerror or type(error).__name__
                note = f"is landed but not archived: {reason}; mend that, then run again"
                failed.append(FileResult(path, FileStatus.FAILED, note=note))
        return failed


def _is_junk(name: str) -> bool:
    """Return whether a system has put a file into a zip, and no person: hidden ones, and what macOS keeps beside."""
    parts = name.replace("\\", "/").split("/")
    return "__MACOSX" in parts or parts[-1].startswith(".") or parts[-1] in ("Thumbs.db", "desktop.ini")


def _printable(name: str) -> str:
    """Return a file's name in a zip as it can be shown and stored, which it keeps as a rule."""
    return name.encode("utf-8", "backslashreplace").decode().replace("\0", "")
