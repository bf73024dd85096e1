"""Files into their table: judged row by row, loaded whole, counted, moved to the archive.

A delivery is known by its path and the SHA-256 of its bytes, see `deliveries`. Its rows, its rejects and its line in
landing.files commit together, under a lock of the dataset (small files share a transaction). The move to the archive
follows; the next run completes one that was cut short. So a run may be killed at any moment and repeated, and two may
run at once.

A row equal to the newest version of its key is a duplicate: it is counted and not loaded. Any other valid row of a key
that is in the table already is a new version. Without a key every valid row is loaded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import psycopg
from psycopg import sql

from include import settings
from include.contracts import Contract
from include.landing import ledger, reject_rows
from include.landing.deliveries import Landed, Place, Verdict, judge_files, place_of
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
from include.landing.order import Delivery, in_order
from include.landing.results import FileResult, FileStatus, LandResult, raise_for
from include.landing.rows import RowSchema
from include.landing.tables import create_tables, lock, name_of, remove_replaced
from include.landing.zips import Files, zip_of
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
        Files(contract, Root(root)) as files,
        ThreadPoolExecutor(1) as worker,
    ):
        create_tables(connection, [contract])
        create_stage(connection, contract)
        found, failed = files.expand(paths)
        for delivery in in_order(contract, list(failed), Root(root)):
            results.append(_zip_failed(lookup, contract, delivery, files, failed[delivery.path]))
        waiting = deque(_groups(in_order(contract, found, Root(root)), files))
        loading: Future[list[FileResult]] | None = None
        while waiting or loading:
            group = _prepare(lookup, schema, waiting.popleft(), files) if waiting else None
            if loading:
                results += loading.result()
            loading = (
                worker.submit(_finish, connection, schema, group, Root(root), Root(archive), codes) if group else None
            )
        results += files.archive(results, Root(archive))
    result = LandResult(contract.name, tuple(results), dict(codes), time.monotonic() - began)
    raise_for(result)
    return result


def _groups(deliveries: list[Delivery], files: Files) -> Iterator[list[Delivery]]:
    """Cut deliveries into groups that share a transaction.

    Rows of a transaction have one `_loaded_at`, and their newest version is told by the bytes of `_file`. So the paths
    of a group ascend in their bytes: o_9 and o_10 are in two.
    """
    by_path = {delivery.path: delivery for delivery in deliveries}
    for batch in batches(list(by_path), max_files=_GROUP_FILES, max_bytes=_GROUP_BYTES, size_of=files.size):
        group: list[Delivery] = []
        for path in batch:
            if group and os.fsencode(path) < os.fsencode(group[-1].path):
                yield group
                group = []
            group.append(by_path[path])
        yield group


@dataclass
class _IncomingFile:
    """A file on its way into the table."""

    path: str
    position: str  # among the deliveries
    file: Path
    sha256: str
    sha256_of_whole: str  # of the zip that it is in, else its own
    rejects: RejectedRows
    valid: int = 0
    is_held: bool = False
    lines: list[str] | None = None  # its valid rows for COPY, where the file was small enough to be read beforehand

    @property
    def read(self) -> int:
        return self.valid + self.rejects.count

    def landed(self, result: FileResult, place: Place | None = None) -> Landed:
        """Return what landing.files is to keep of the file."""
        counts = (result.rows_read, result.rows_loaded, result.rows_duplicate, result.rows_rejected)
        status = FileStatus.LANDED if result.status is FileStatus.ALREADY_LANDED else result.status
        note = "" if result.status is FileStatus.ALREADY_LANDED else result.note
        at, header = place.at if place else None, self.rejects.header
        return Landed(self.path, self.sha256, self.position, status.value, counts, note, at, header)


class _MustBeHeldError(Exception):
    """A file that was read while it was loaded has more rejected rows than its contract allows."""


class _TooLargeError(Exception):
    """A file's rows are more than fit into memory at once."""


@dataclass
class _Group:
    """A few small files, or one large one: what is to be loaded in one transaction, and which need not be."""

    files: list[_IncomingFile]
    done: dict[str, FileResult]  # by path, those of which it is clear already that they are not loaded
    opened: contextlib.ExitStack  # copies and rejects of the files, closed by `_finish`


def _prepare(lookup: Connection, schema: RowSchema, deliveries: list[Delivery], files: Files) -> _Group:
    """Hash the files of a group and judge the small ones. The caller owns the group, which `_finish` closes."""
    with contextlib.ExitStack() as stack:
        found: list[_IncomingFile] = []
        done: dict[str, FileResult] = {}
        for path, position in deliveries:
            try:
                path.encode()
                file = stack.enter_context(files.fetched(path))
                sha256 = hash_of(file)
                rejects = stack.enter_context(RejectedRows(schema.contract))
                whole = files.hashes.get(zip_of(path), sha256)
                found.append(_IncomingFile(path, position, file, sha256, whole, rejects))
            except (FileError, OSError, UnicodeError) as error:
                done[path] = not_landed(path, error)
        for incoming, verdict in zip(found, judge_files(lookup, schema.contract, found), strict=True):
            if verdict.landed_as == incoming.path:
                done[incoming.path] = _already_landed(incoming.path, verdict.landed_as)
            elif len(found) > 1 or incoming.file.stat().st_size <= _GROUP_BYTES:
                failure = _judge_small(lookup, schema, incoming)
                if failure:
                    done[incoming.path] = failure
        return _Group(found, done, stack.pop_all())


def _finish(
    connection: Connection, schema: RowSchema, group: _Group, root: Root, archive: Root, codes: Counter[str]
) -> list[FileResult]:
    """Load what is new of a group, move what is in the table to the archive, and say what became of each file."""
    with group.opened:
        new = [file for file in group.files if file.path not in group.done]
        done = group.done | _load_group(connection, schema, new, root)
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


def _load_group(
    connection: Connection, schema: RowSchema, files: list[_IncomingFile], root: Root
) -> dict[str, FileResult]:
    """Load files in one transaction; where that fails, each in one of its own, so that one does not hold up others.

    A file that is too large for memory is alone in its transaction.
    """
    done: dict[str, FileResult] = {}
    runs = groupby(files, key=lambda file: file.path if file.lines is None else None)
    for group in [list(run) for _, run in runs]:
        try:
            done |= _load(connection, schema, group, root)
        except _MustBeHeldError:
            group[0].is_held = True
            done |= _load(connection, schema, group, root)
        except (FileError, OSError, psycopg.Error) as error:
            if connection.broken or connection.closed:
                raise
            if isinstance(error, psycopg.errors.DiskFull):
                _vacuum(connection, schema.contract)
            if len(group) == 1:
                done[group[0].path] = _failed(connection, schema.contract, group[0], error)
            else:
                for file in group:
                    done |= _load_group(connection, schema, [file], root)
    return done


def _load(connection: Connection, schema: RowSchema, files: list[_IncomingFile], root: Root) -> dict[str, FileResult]:
    """Load files whole: rows, rejects and lines of landing.files, in one transaction under the dataset's lock.

    The lock comes before the transaction, so a dataset's `_loaded_at` follows the order of its commits.
    """
    contract = schema.contract
    results: dict[str, FileResult] = {}
    with lock(connection, contract.name):
        _check_clock(connection, contract)
        verdicts = judge_files(connection, contract, files)
        late = [file for file, verdict in zip(files, verdicts, strict=True) if verdict.is_late]
        in_time = [(file, verdict) for file, verdict in zip(files, verdicts, strict=True) if not verdict.is_late]
        results |= _load_new(connection, schema, in_time, root, None)
        for file in late:  # one at a time: each may be the one before the next
            (verdict,) = judge_files(connection, contract, [file])
            place = None if verdict.landed_as else place_of(connection, contract, file.position)
            results |= _load_new(connection, schema, [(file, verdict)], root, place)
    return results


def _load_new(
    connection: Connection,
    schema: RowSchema,
    files: list[tuple[_IncomingFile, Verdict]],
    root: Root,
    place: Place | None,
) -> dict[str, FileResult]:
    """Load those of the files that are new, at a place before others or as the newest, and record all of them."""
    contract = schema.contract
    results: dict[str, FileResult] = {}
    fresh = []
    for file, verdict in files:
        if verdict.landed_as is not None:  # also by a run at the same time
            results[file.path] = _already_landed(file.path, verdict.landed_as)
        elif verdict.is_returning and not _is_still_there(file, root):
            results[file.path] = not_landed(file.path, FileNotFoundError())
        else:
            fresh.append(file)
    with Merger(connection, contract, place) as merger:
        for file in fresh:
            _merge_file(merger, schema, file)
    for file in fresh:
        if file.is_held:
            note = held_note(contract, file.valid, file.rejects)
            results[file.path] = FileResult(file.path, FileStatus.HELD, file.read, 0, 0, file.read, note)
        else:
            loaded = merger.loaded[file.path]
            counts = (file.read, loaded, file.valid - loaded, file.rejects.count)
            results[file.path] = FileResult(file.path, FileStatus.LANDED, *counts)
    if contract.without_key == "replaceFile":
        remove_replaced(connection, contract, [file.path for file in fresh if not (file.is_held or file.valid)])
    repeated = [file for file, verdict in files if verdict.landed_as not in (None, file.path)]
    _record(connection, contract, [file.landed(results[file.path], place) for file in repeated], [])
    _record(connection, contract, [file.landed(results[file.path], place) for file in fresh], fresh)
    return results


def _record(connection: Connection, contract: Contract, landed: list[Landed], files: Iterable[_IncomingFile]) -> None:
    """Write deliveries and their rejects down."""
    numbers = ledger.record_files(connection, contract.name, landed)
    rejects = [(n, each, file.rejects) for n, each, file in zip(numbers, landed, files, strict=False)]
    if rejects:
        reject_rows.record_rejects(connection, contract.name, rejects, replaces=contract.without_key != "append")


def _is_still_there(file: _IncomingFile, root: Root) -> bool:
    """Return whether a path still holds the bytes that were read, before they land again.

    Another run may have landed them and what came after them since they were read.
    """
    try:
        with root.fetched(zip_of(file.path)) as found:
            return hash_of(found) == file.sha256_of_whole
    except FileNotFoundError:
        return False


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
        reject_rows.vacuum(connection)


def _failed(connection: Connection, contract: Contract, file: _IncomingFile, error: Exception) -> FileResult:
    """Return the result of a file that could not be landed, and record it."""
    result = not_landed(file.path, error)
    if result.status is FileStatus.FAILED:
        _record_failure(connection, contract, file.landed(result))
    return result


def _zip_failed(
    connection: Connection, contract: Contract, delivery: Delivery, files: Files, error: Exception
) -> FileResult:
    """Return the result of a zip of which no file could be landed, and record it."""
    path, position = delivery
    result = not_landed(path, error)
    sha256 = files.hashes.get(path)
    if result.status is FileStatus.FAILED and sha256 is not None:
        landed = Landed(path, sha256, position, result.status.value, (0, 0, 0, 0), result.note, None, None)
        _record_failure(connection, contract, landed)
    return result


def _record_failure(connection: Connection, contract: Contract, landed: Landed) -> None:
    with contextlib.suppress(psycopg.errors.DiskFull):  # the caller gets the result all the same
        ledger.record_files(connection, contract.name, [landed])


def _archived(result: FileResult, file: _IncomingFile, root: Root, archive: Root) -> FileResult:
    """Move a file that is in the table to the archive. A move that fails is reported; the next run tries it again.

    A file in a zip stays in it, see `Files.archive`.
    """
    if zip_of(file.path) != file.path:
        return result
    try:
        move_to_archive(root, archive, file.path, file.file, file.sha256)
    except FileNotFoundError:  # another run, which found the file landed, has moved it
        return result
    except (FileError, OSError) as error:
        note = f"is landed but not archived: {failure_note(error)}"
        return dataclasses.replace(result, status=FileStatus.FAILED, note=note)
    return result


def _already_landed(path: str, landed_as: str) -> FileResult:
    note = f"has the same bytes as {landed_as}, landed before"
    if path == landed_as:  # a zip is archived when all of its files have landed
        note = "was landed before" + (" and is archived now" if zip_of(path) == path else "")
    return FileResult(path, FileStatus.ALREADY_LANDED, note=note)
