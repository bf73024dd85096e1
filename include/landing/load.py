"""Files into their table: judged row by row, loaded whole, counted, moved to the archive.

A file is known by the SHA-256 of its bytes. Its rows, its rejects and its line in landing.files commit together, under
a lock of the dataset (small files share a transaction). The move to the archive follows; the next run completes one
that was cut short. So a run may be killed at any moment and repeated, and two may run at once.

A row equal to the newest version of its key is a duplicate: it is counted and not loaded. Any other valid row of a key
that is in the table already is a new version.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from include import settings
from include.contracts import Contract
from include.landing import ledger
from include.landing.files import batches
from include.landing.judge import (
    RejectedRows,
    Write,
    failure_note,
    held_note,
    must_be_held,
    not_landed,
    read_rows,
)
from include.landing.merge import Merger, create_stage
from include.landing.results import FileResult, FileStatus, LandResult, raise_for
from include.landing.rows import RowSchema
from include.landing.tables import create_tables, lock, name_of
from include.postgres import Connection, session
from include.storage import FileError, Root, UnavailableFileError, hash_of, move_to_archive

_GROUP_FILES, _GROUP_BYTES = 100, 4 << 20  # small files that share a transaction; a larger one has its own


def land(
    contract: Contract,
    paths: list[str],
    *,
    source_uri: str,
    root: str = settings.LANDING_ROOT,
    archive: str = settings.ARCHIVE_ROOT,
) -> LandResult:
    """Land files (paths below the root, see `pending_files`) into the contract's table and move them to the archive.

    A file that can't be landed stays where it is and does not stop the others; at the end a LandingError names each
    with its reason and the next step: FilesHeldError where all of them are held, else FilesFailedError. Raises
    ConnectionFailedError when the database goes away. Safe to repeat.
    """
    began = time.monotonic()
    schema = RowSchema(contract)
    codes: Counter[str] = Counter()
    results: list[FileResult] = []
    # While one group is loaded, in a thread and over a connection of its own, the next one is judged.
    with (
        session(source_uri, "source_db") as connection,
        session(source_uri, "source_db") as lookup,
        ThreadPoolExecutor(1) as worker,
    ):
        create_tables(connection, [contract])
        create_stage(connection, contract)
        waiting = deque(batches(sorted(paths), root, max_files=_GROUP_FILES, max_bytes=_GROUP_BYTES))
        loading: Future[list[FileResult]] | None = None
        while waiting or loading:
            group = _prepare(lookup, schema, waiting.popleft(), Root(root)) if waiting else None
            if loading:
                results += loading.result()
            loading = (
                worker.submit(_finish, connection, schema, group, Root(root), Root(archive), codes) if group else None
            )
            waiting.extend([path] for path in (group.same_bytes if group else ()))
    result = LandResult(contract.name, tuple(results), dict(codes), time.monotonic() - began)
    raise_for(result)
    return result


@dataclass
class _IncomingFile:
    """A file on its way into the table."""

    path: str
    file: Path
    sha256: str
    rejects: RejectedRows
    valid: int = 0
    is_held: bool = False
    lines: list[str] | None = None  # its valid rows for COPY, where the file was small enough to be read beforehand

    @property
    def read(self) -> int:
        return self.valid + self.rejects.count


class _MustBeHeldError(Exception):
    """A file that was read while it was loaded has more rejected rows than its contract allows."""


class _TooLargeError(Exception):
    """A file's rows are more than fit into memory at once."""


@dataclass
class _Group:
    """A few small files, or one large one: what is to be loaded in one transaction, and which need not be."""

    files: list[_IncomingFile]
    done: dict[str, FileResult]  # by path, those of which it is clear already that they are not loaded
    same_bytes: list[str]  # as another file of the group: their turn comes when that one is in the table
    opened: contextlib.ExitStack  # copies and rejects of the files, closed by `_finish`


def _prepare(lookup: Connection, schema: RowSchema, paths: list[str], root: Root) -> _Group:
    """Hash the files of a group and judge the small ones. The caller owns the group, which `_finish` closes."""
    with contextlib.ExitStack() as stack:
        found: dict[str, _IncomingFile] = {}
        done: dict[str, FileResult] = {}
        same_bytes: list[str] = []
        for path in paths:
            try:
                path.encode()
                file = stack.enter_context(root.fetched(path))
                root.check_at_rest(path)
                sha256 = hash_of(file)
                if sha256 in found:
                    same_bytes.append(path)
                else:
                    found[sha256] = _IncomingFile(
                        path, file, sha256, stack.enter_context(RejectedRows(schema.contract))
                    )
            except (FileError, OSError, UnicodeError) as error:
                done[path] = not_landed(path, error)
        landed = ledger.already_landed(lookup, schema.contract.name, list(found))
        for incoming in found.values():
            if incoming.sha256 in landed:
                done[incoming.path] = _already_landed(incoming.path, landed[incoming.sha256])
            elif len(found) > 1 or incoming.file.stat().st_size <= _GROUP_BYTES:
                failure = _judge_small(lookup, schema, incoming)
                if failure:
                    done[incoming.path] = failure
        return _Group(list(found.values()), done, same_bytes, stack.pop_all())


def _finish(
    connection: Connection, schema: RowSchema, group: _Group, root: Root, archive: Root, codes: Counter[str]
) -> list[FileResult]:
    """Load what is new of a group, move what is in the table to the archive, and say what became of each file."""
    with group.opened:
        done = group.done | _load_group(connection, schema, [f for f in group.files if f.path not in group.done])
        for file in group.files:
            if done[file.path].status in (FileStatus.LANDED, FileStatus.HELD):
                codes.update(file.rejects.codes)
            if done[file.path].status in (FileStatus.LANDED, FileStatus.ALREADY_LANDED):
                done[file.path] = _archived(done[file.path], file, root, archive)
        return list(done.values())


def _judge_small(lookup: Connection, schema: RowSchema, file: _IncomingFile) -> FileResult | None:
    """Read a small file into memory, so that an unreadable one never spoils the others' transaction.

    Returns its failure, None where it can be loaded.
    """
    lines: list[str] = []
    try:
        file.valid = read_rows(schema, file.path, file.file, file.sha256, _limited(lines), file.rejects)
        file.lines = lines
        file.is_held = must_be_held(schema.contract, file.valid, file.rejects)
    except _TooLargeError:  # small only while it is gzipped: read again while it is loaded
        file.valid = 0
        file.rejects.clear()
    except (FileError, OSError) as error:
        return _failed(lookup, schema.contract, file, error)
    return None


def _limited(lines: list[str]) -> Write:
    """Return what collects a file's lines until they are too many for memory."""
    room = [4 * _GROUP_BYTES]

    def write(_: str, more: list[str]) -> None:
        room[0] -= sum(map(len, more))
        if room[0] < 0:
            raise _TooLargeError
        lines.extend(more)

    return write


def _load_group(connection: Connection, schema: RowSchema, files: list[_IncomingFile]) -> dict[str, FileResult]:
    """Load files in one transaction; where that fails, each in one of its own, so that one does not hold up others."""
    together = [file for file in files if file.lines is not None]
    alone = [[file] for file in files if file.lines is None]
    done: dict[str, FileResult] = {}
    for group in filter(None, [together, *alone]):
        try:
            done |= _load(connection, schema, group)
        except _MustBeHeldError:
            group[0].is_held = True
            done |= _load(connection, schema, group)
        except (FileError, OSError, psycopg.Error) as error:
            if connection.broken or connection.closed:
                raise
            if isinstance(error, psycopg.errors.DiskFull):
                _vacuum(connection, schema.contract)
            if len(group) == 1:
                done[group[0].path] = _failed(connection, schema.contract, group[0], error)
            else:
                for file in group:
                    done |= _load_group(connection, schema, [file])
    return done


def _load(connection: Connection, schema: RowSchema, files: list[_IncomingFile]) -> dict[str, FileResult]:
    """Load files whole: rows, rejects and lines of landing.files, in one transaction under the dataset's lock.

    The lock comes before the transaction, so a dataset's `_loaded_at` follows the order of its commits.
    """
    contract = schema.contract
    results: dict[str, FileResult] = {}
    with lock(connection, contract.name):
        _check_clock(connection, contract)
        landed = ledger.already_landed(connection, contract.name, [file.sha256 for file in files])
        fresh = [file for file in files if file.sha256 not in landed]
        with Merger(connection, contract) as merger:
            for file in fresh:
                _merge_file(merger, schema, file)
        for file in files:
            if file.sha256 in landed:  # by a run at the same time
                results[file.path] = _already_landed(file.path, landed[file.sha256])
            elif file.is_held:
                note = held_note(contract, file.valid, file.rejects)
                results[file.path] = FileResult(file.path, FileStatus.HELD, file.read, 0, 0, file.read, note)
            else:
                loaded = merger.loaded[file.path]
                counts = (file.read, loaded, file.valid - loaded, file.rejects.count)
                results[file.path] = FileResult(file.path, FileStatus.LANDED, *counts)
        ledger.record_rejects(connection, contract.name, [(file.path, file.sha256, file.rejects) for file in fresh])
        ledger.record_files(connection, contract.name, [(results[file.path], file.sha256) for file in fresh])
    return results


def _merge_file(merger: Merger, schema: RowSchema, file: _IncomingFile) -> None:
    """Give the merger a file's valid rows; a large file is read meanwhile. Raises _MustBeHeldError."""
    if file.is_held:
        return
    if file.lines is not None:
        merger.write(file.path, file.lines)
        return
    file.rejects.clear()
    file.valid = read_rows(schema, file.path, file.file, file.sha256, merger.write, file.rejects)
    if must_be_held(schema.contract, file.valid, file.rejects):
        raise _MustBeHeldError


def _check_clock(connection: Connection, contract: Contract) -> None:
    """Raise UnavailableFileError where the server's clock was set back.

    What is loaded now would count as older than what it replaces.
    """
    later = ledger.last_load_in_future(connection, contract.name)
    if later is not None:
        raise UnavailableFileError(
            f"waits: by the source's clock the last load of {contract.name} is still to come, at {later}:"
            " set the clock, or land again after that"
        )


def _vacuum(connection: Connection, contract: Contract) -> None:
    """Free the room of a file that did not fit on the disk, so that smaller ones may fit."""
    with contextlib.suppress(psycopg.Error):
        connection.execute(sql.SQL("vacuum {}").format(name_of(contract)))
        ledger.vacuum(connection)


def _failed(connection: Connection, contract: Contract, file: _IncomingFile, error: Exception) -> FileResult:
    """Return the result of a file that could not be landed, and record it."""
    result = not_landed(file.path, error)
    if result.status is FileStatus.FAILED:
        with contextlib.suppress(psycopg.errors.DiskFull):  # the caller gets the result all the same
            ledger.record_files(connection, contract.name, [(result, file.sha256)])
    return result


def _archived(result: FileResult, file: _IncomingFile, root: Root, archive: Root) -> FileResult:
    """Move a file that is in the table to the archive. A move that fails is reported; the next run tries it again."""
    try:
        move_to_archive(root, archive, file.path, file.file, file.sha256)
    except FileNotFoundError:  # another run, which found the file landed, has moved it
        return result
    except (FileError, OSError) as error:
        note = f"is landed but not archived: {failure_note(error)}"
        return dataclasses.replace(result, status=FileStatus.FAILED, note=note)
    return result


def _already_landed(path: str, landed_as: str) -> FileResult:
    same = path == landed_as
    note = "was landed before and is archived now" if same else f"has the same bytes as {landed_as}, landed before"
    return FileResult(path, FileStatus.ALREADY_LANDED, note=note)
