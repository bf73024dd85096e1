"""Files into their table: judged row by row, loaded whole, counted, moved to the archive.

A file is known by the SHA-256 of its bytes. Its rows, its rejects and its line in landing.files commit together, under
a lock of the dataset (small files share a transaction); the move to the archive follows, and is done by the next run
where it was cut short. So a run may be killed at any moment and repeated, and two may run at once.

A row equal to the newest version of its key is a duplicate and counted, not loaded; any other valid row of a known key
is a new version.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from pathlib import Path
from typing import IO, Any

import orjson
import psycopg
from psycopg import sql

from include import settings
from include.contracts import Contract
from include.errors import FinalError, TransientError, WarehouseError
from include.landing.encoder import EXACT, escaped
from include.landing.files import batches
from include.landing.merge import Merger, create_stage
from include.landing.rows import Problem, RowSchema
from include.landing.tables import create_tables, lock, name_of
from include.postgres import Connection, safe_message, session
from include.readers import Line, csv_records, json_lines, opened
from include.storage import FileError, Root, UnavailableFileError, check_at_rest, hash_of, move_to_archive

_BUFFER_ROWS = 200  # rows handed on at once
_TOLD_PROBLEMS = 20  # of a row
_GROUP_FILES, _GROUP_BYTES = 100, 4 << 20  # small files that share a transaction; a larger one has its own


@dataclass(frozen=True)
class FileResult:
    """What became of one file: landed, known (the same bytes were landed before), gone (another run took it), held
    (more bad rows than the contract allows) or failed."""

    path: str
    status: str
    rows_read: int = 0
    rows_loaded: int = 0
    rows_duplicate: int = 0
    rows_rejected: int = 0
    note: str = ""


@dataclass(frozen=True)
class LandResult:
    """What became of a batch of files. Holds counts, paths and codes, and no value of any row."""

    dataset: str
    files: tuple[FileResult, ...]
    codes: dict[str, int] = field(default_factory=dict)  # rejected rows by the code of their first problem
    seconds: float = 0.0

    def _sum(self, name: str) -> int:
        return sum(getattr(file, name) for file in self.files)

    @property
    def rows_read(self) -> int:
        return self._sum("rows_read")

    @property
    def rows_loaded(self) -> int:
        return self._sum("rows_loaded")

    @property
    def rows_duplicate(self) -> int:
        return self._sum("rows_duplicate")

    @property
    def rows_rejected(self) -> int:
        return self._sum("rows_rejected")

    @property
    def errors(self) -> tuple[str, ...]:
        """One sentence for each file that was not landed: its name, the reason and the next step."""
        return tuple(
            f"{self.dataset}: {file.path} {file.note}" for file in self.files if file.status in ("held", "failed")
        )

    def to_json(self) -> dict[str, Any]:
        """Return what an XCom or an asset event should carry: plain dicts, lists, strings and numbers."""
        return {
            "dataset": self.dataset,
            "files": len(self.files),
            "files_by_status": dict(Counter(file.status for file in self.files)),
            "rows_read": self.rows_read,
            "rows_loaded": self.rows_loaded,
            "rows_duplicate": self.rows_duplicate,
            "rows_rejected": self.rows_rejected,
            "rejected_by_code": dict(self.codes),
            "seconds": round(self.seconds, 3),
            "errors": list(self.errors),
        }

    def __str__(self) -> str:
        return (
            f"{self.dataset}: {len(self.files)} files, {self.rows_read} rows: {self.rows_loaded} loaded, "
            f"{self.rows_duplicate} duplicate, {self.rows_rejected} rejected, in {self.seconds:.1f} s"
        )


class LandingError(WarehouseError):
    """Some files of a batch were not landed; the others were. `result` says what became of each."""

    def __init__(self, result: LandResult) -> None:
        super().__init__("\n".join(result.errors))
        self.result = result


class FilesHeldError(LandingError, FinalError):
    """The files that were not landed are held: their rows would be as bad the next time."""


class FilesFailedError(LandingError, TransientError):
    """At least one file could not be landed now."""


def land(
    contract: Contract,
    paths: list[str],
    *,
    source_uri: str,
    root: str = settings.LANDING_ROOT,
    archive: str = settings.ARCHIVE_ROOT,
) -> LandResult:
    """Land files (paths below the root, see `pending_files`) into the contract's table and move them to the archive.

    A file that can't be landed stays where it is and does not stop the others; at the end LandingError names each with
    its reason and the next step. Raises psycopg.OperationalError when the database goes away. Safe to repeat.
    """
    begun = time.monotonic()
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
            waiting.extend([path] for path in (group.again if group else ()))
    result = LandResult(contract.name, tuple(results), dict(codes), time.monotonic() - begun)
    if result.errors:
        raise (FilesFailedError if any(file.status == "failed" for file in result.files) else FilesHeldError)(result)
    return result


def judge(
    contract: Contract,
    paths: list[str],
    *,
    root: str = settings.LANDING_ROOT,
    show: Callable[[str], None] | None = None,
) -> LandResult:
    """Judge files without a database and without touching them; rows_loaded counts the valid rows.

    `show` is given a sentence for each row that would be refused.
    """
    begun = time.monotonic()
    schema = RowSchema(contract)
    codes: Counter[str] = Counter()
    results = []
    for path in sorted(paths):
        try:
            path.encode()
            with Root(root).fetched(path) as file, _Rejects(contract) as rejects:
                check_at_rest(file)
                valid = _read(schema, path, file, hash_of(file), lambda *_: None, rejects)
                codes.update(rejects.codes)
                if show is not None:
                    for line, code, _, reason, _ in rejects:
                        show(f"{contract.name}: {path} line {line}: {code}: {reason}")
                counts = (valid + rejects.count, valid, 0, rejects.count)
                if _is_too_bad(contract, counts[0], rejects.count):
                    note = _held_note(contract, counts[0], rejects.count)
                    results.append(FileResult(path, "held", *counts, note))
                else:
                    results.append(FileResult(path, "landed", *counts))
        except (FileError, OSError, UnicodeError) as error:
            results.append(_not_landed(path, error))
    return LandResult(contract.name, tuple(results), dict(codes), time.monotonic() - begun)


@dataclass
class _Incoming:
    """A file on its way into the table."""

    path: str
    file: Path
    sha256: str
    rejects: _Rejects
    valid: int = 0
    is_held: bool = False
    lines: list[str] | None = None  # its valid rows for COPY, where the file was small enough to be read beforehand

    @property
    def read(self) -> int:
        return self.valid + self.rejects.count


class _HeldError(Exception):
    """A file turned out to have more bad rows than its contract allows."""


class _TooLargeError(Exception):
    """A file's rows are more than fit into memory at once."""


@dataclass
class _Group:
    """A few small files, or one large one: what is to be loaded in one transaction, and what is known already."""

    files: list[_Incoming]
    done: dict[str, FileResult]  # by path: known, gone, failed
    again: list[str]  # the same bytes as another file of the group: their turn comes when that one is in the table
    opened: contextlib.ExitStack


def _prepare(lookup: Connection, schema: RowSchema, paths: list[str], root: Root) -> _Group:
    """Hash and judge the files of a group; `_finish` must be given it, or its `opened` closed."""
    with contextlib.ExitStack() as stack:
        found: dict[str, _Incoming] = {}
        done: dict[str, FileResult] = {}
        again: list[str] = []
        for path in paths:
            try:
                path.encode()
                file = stack.enter_context(root.fetched(path))
                if root.local is not None:
                    check_at_rest(file)
                sha256 = hash_of(file)
                if sha256 in found:
                    again.append(path)
                else:
                    found[sha256] = _Incoming(path, file, sha256, stack.enter_context(_Rejects(schema.contract)))
            except (FileError, OSError, UnicodeError) as error:
                done[path] = _not_landed(path, error)
        known = _known(lookup, schema.contract, list(found))
        for incoming in found.values():
            if incoming.sha256 in known:
                note = _known_note(incoming.path, known[incoming.sha256])
                done[incoming.path] = FileResult(incoming.path, "known", note=note)
            elif len(found) > 1 or incoming.file.stat().st_size <= _GROUP_BYTES:
                failure = _judge_small(lookup, schema, incoming)
                if failure:
                    done[incoming.path] = failure
        return _Group(list(found.values()), done, again, stack.pop_all())


def _finish(
    connection: Connection, schema: RowSchema, group: _Group, root: Root, target: Root, codes: Counter[str]
) -> list[FileResult]:
    """Load what is new of a group, move what is in the table to the archive, and say what became of each file."""
    with group.opened:
        done = group.done | _load_group(connection, schema, [f for f in group.files if f.path not in group.done])
        for file in group.files:
            if done[file.path].status in ("landed", "held"):
                codes.update(file.rejects.codes)
            if done[file.path].status in ("landed", "known"):
                done[file.path] = _archived(done[file.path], file, root, target)
        return list(done.values())


def _judge_small(lookup: Connection, schema: RowSchema, file: _Incoming) -> FileResult | None:
    """Read a small file into memory, so that a bad one never meets the others' transaction; return its failure."""
    held: list[str] = []
    try:
        file.valid = _read(schema, file.path, file.file, file.sha256, _limited(held), file.rejects)
        file.lines = held
        file.is_held = _is_too_bad(schema.contract, file.read, file.rejects.count)
    except _TooLargeError:  # small as gzip only: read again while it is loaded
        file.valid = 0
        file.rejects.clear()
    except (FileError, OSError) as error:
        return _failed(lookup, schema.contract, file, error)
    return None


def _limited(held: list[str]) -> Callable[[str, list[str]], None]:
    room = [4 * _GROUP_BYTES]

    def write(_: str, lines: list[str]) -> None:
        room[0] -= sum(map(len, lines))
        if room[0] < 0:
            raise _TooLargeError
        held.extend(lines)

    return write


def _load_group(connection: Connection, schema: RowSchema, files: list[_Incoming]) -> dict[str, FileResult]:
    """Load files in one transaction; where that fails, each in one of its own, so that one does not hold up others."""
    together = [file for file in files if file.lines is not None]
    alone = [[file] for file in files if file.lines is None]
    done: dict[str, FileResult] = {}
    for group in filter(None, [together, *alone]):
        try:
            done |= _load(connection, schema, group)
        except _HeldError:
            group[0].is_held = True
            done |= _load(connection, schema, group)
        except (FileError, OSError, psycopg.Error) as error:
            if connection.broken or connection.closed:
                raise
            if isinstance(error, psycopg.errors.DiskFull):
                _give_back_room(connection, schema.contract)
            if len(group) == 1:
                done[group[0].path] = _failed(connection, schema.contract, group[0], error)
            else:
                for file in group:
                    done |= _load_group(connection, schema, [file])
    return done


def _demand_clock(connection: Connection, contract: Contract) -> None:
    """Raise FileError where the clock was set back: what is loaded now would pass for older than what it replaces."""
    later = connection.execute(
        "select max(loaded_at) from landing.files where dataset = %s having max(loaded_at) > now()", [contract.name]
    ).fetchone()
    if later:
        raise UnavailableFileError(
            f"waits: by the source's clock the last load of {contract.name} is still to come, at {later[0]}:"
            " set the clock, or land again after that"
        )


def _load(connection: Connection, schema: RowSchema, files: list[_Incoming]) -> dict[str, FileResult]:
    """Load files whole: rows, rejects and lines of landing.files, in one transaction under the dataset's lock.

    The lock comes before the transaction, so a dataset's `_loaded_at` follows the order of its commits.
    """
    contract = schema.contract
    results: dict[str, FileResult] = {}
    with lock(connection, contract.name):
        _demand_clock(connection, contract)
        known = _known(connection, contract, [file.sha256 for file in files])
        fresh = [file for file in files if file.sha256 not in known]
        with Merger(connection, contract) as merger:
            for file in fresh:
                if file.is_held:
                    continue
                if file.lines is not None:
                    merger.write(file.path, file.lines)
                    continue
                file.rejects.clear()
                file.valid = _read(schema, file.path, file.file, file.sha256, merger.write, file.rejects)
                if _is_too_bad(contract, file.read, file.rejects.count):
                    raise _HeldError
        for file in files:
            if file.sha256 in known:  # by a run at the same time
                note = _known_note(file.path, known[file.sha256])
                results[file.path] = FileResult(file.path, "known", note=note)
            elif file.is_held:
                note = _held_note(contract, file.read, file.rejects.count)
                results[file.path] = FileResult(file.path, "held", file.read, 0, 0, file.read, note)
            else:
                loaded = merger.loaded[file.path]
                counts = (file.read, loaded, file.valid - loaded, file.rejects.count)
                results[file.path] = FileResult(file.path, "landed", *counts)
        _write_rejects(connection, contract, fresh)
        _record(connection, contract, [(results[file.path], file.sha256) for file in fresh])
    return results


def _give_back_room(connection: Connection, contract: Contract) -> None:
    """Free what a file has taken up that did not fit on the disk, so that smaller ones may."""
    with contextlib.suppress(psycopg.Error):
        connection.execute(sql.SQL("vacuum {}, landing.rejects").format(name_of(contract)))


def _failed(connection: Connection, contract: Contract, file: _Incoming, error: Exception) -> FileResult:
    result = _not_landed(file.path, error)
    if result.status == "failed":
        with contextlib.suppress(psycopg.errors.DiskFull):  # the caller is told all the same
            _record(connection, contract, [(result, file.sha256)])
    return result


def _not_landed(path: str, error: Exception) -> FileResult:
    if isinstance(error, FileNotFoundError):
        return FileResult(path, "gone", note="was taken by another run")
    shown = path.encode("utf-8", "backslashreplace").decode()
    return FileResult(shown, "failed", note=_note(error))


def _archived(result: FileResult, file: _Incoming, root: Root, target: Root) -> FileResult:
    """Move a file that is in the table to the archive; a move that fails is told, and tried again by the next run."""
    try:
        move_to_archive(root, target, file.path, file.file, file.sha256)
    except FileNotFoundError:  # another run, which found it known, has moved it
        return result
    except (FileError, OSError) as error:
        return dataclasses.replace(result, status="failed", note=f"is landed but not archived: {_note(error)}")
    return result


def _known(connection: Connection, contract: Contract, sha256: list[str]) -> dict[str, str]:
    """Return those of the hashes that were landed before, each with the path that it came under."""
    found = connection.execute(
        "select sha256, path from landing.files where dataset = %s and sha256 = any(%s) and status = 'landed'",
        [contract.name, sha256],
    )
    return dict(found.fetchall())


def _known_note(path: str, known: str) -> str:
    return "was landed before and is archived now" if path == known else f"has the same bytes as {known}, landed before"


def _write_rejects(connection: Connection, contract: Contract, files: list[_Incoming]) -> None:
    """Replace the files' lines in landing.rejects, in the transaction that is open."""
    connection.execute(
        "delete from landing.rejects where dataset = %s and sha256 = any(%s)",
        [contract.name, [file.sha256 for file in files]],
    )
    if not any(file.rejects.count for file in files):
        return
    columns = 'dataset, path, sha256, line, code, field, reason, "row"'
    with connection.cursor().copy(f"copy landing.rejects ({columns}) from stdin") as copy:
        for file in files:
            for reject in file.rejects:
                copy.write_row((contract.name, file.path, file.sha256, *reject))


def _record(connection: Connection, contract: Contract, results: list[tuple[FileResult, str]]) -> None:
    connection.cursor().executemany(
        "insert into landing.files as f"
        " (dataset, path, sha256, status, rows_read, rows_loaded, rows_duplicate, rows_rejected, error)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, nullif(%s, '')) on conflict (dataset, sha256) do update set"
        " path = excluded.path, status = excluded.status, rows_read = excluded.rows_read,"
        " rows_loaded = excluded.rows_loaded, rows_duplicate = excluded.rows_duplicate,"
        " rows_rejected = excluded.rows_rejected, error = excluded.error, loaded_at = now()"
        " where f.status <> 'landed'",
        [(contract.name, r.path, sha256, r.status, *_counts(r), r.note) for r, sha256 in results],
    )


def _counts(result: FileResult) -> tuple[int, int, int, int]:
    return result.rows_read, result.rows_loaded, result.rows_duplicate, result.rows_rejected


# --- reading and judging one file -------------------------------------------------------------------------------------


def _read(
    schema: RowSchema,
    path: str,
    file: Path,
    sha256: str,
    write: Callable[[str, list[str]], None],
    rejects: _Rejects,
) -> int:
    """Write the file's valid rows as text for COPY, put the others among the rejects, return how many are valid."""
    contract, encode = schema.contract, schema.encode
    tail = f"\t{escaped(path)}\t"
    valid = 0
    waiting: list[str] = []
    with opened(file, sha256) as stream, localcontext(EXACT):
        if contract.format == "csv":
            known = {str(spec.name): bool(spec.required) for spec in contract.properties}
            lines = csv_records(stream, contract.max_row_bytes, contract.delimiter, known)
        else:
            lines = json_lines(stream, contract.max_row_bytes, orjson.loads)
        for line in lines:
            number, _, value, problem = line
            encoded = encode(value) if problem is None else [Problem(problem[0], "", problem[1])]
            if isinstance(encoded, list):
                rejects.add(line, encoded)
                continue
            valid += 1
            waiting.append(f"{encoded}{tail}{number}\n")
            if len(waiting) == _BUFFER_ROWS:
                write(path, waiting)
                waiting = []
        write(path, waiting)
    return valid


class _Rejects:
    """The refused rows of a file, kept on disk when they are many, as JSON lines."""

    def __init__(self, contract: Contract) -> None:
        self._is_csv = contract.format == "csv"
        self.count = 0
        self.codes: Counter[str] = Counter()
        self._kept: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=4 << 20)  # noqa: SIM115

    def __enter__(self) -> _Rejects:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def add(self, line: Line, problems: list[Problem]) -> None:
        number, raw, value, problem = line
        self.count += 1
        self.codes[problems[0].code] += 1
        if self._is_csv and problem is None:  # with the header's names, so that it can be read again on its own
            row = orjson.dumps(value).decode()
        else:
            row = raw.rstrip(b"\r\n").decode("utf-8", "backslashreplace").replace("\0", "\\x00")
        reason = "; ".join(problem.reason for problem in problems[:_TOLD_PROBLEMS])
        if len(problems) > _TOLD_PROBLEMS:
            reason += f"; and {len(problems) - _TOLD_PROBLEMS} more"
        kept = [number, problems[0].code, problems[0].field, reason, row]
        self._kept.write(orjson.dumps(kept) + b"\n")

    def __iter__(self) -> Iterator[tuple[int, str, str, str, str]]:
        """Give line, code, field, reason and row of each."""
        self._kept.seek(0)
        for line in self._kept:
            yield tuple(orjson.loads(line))

    def clear(self) -> None:
        """Forget all of them: the file is read anew."""
        self.count = 0
        self.codes.clear()
        self._kept.seek(0)
        self._kept.truncate()


def _is_too_bad(contract: Contract, read: int, rejected: int) -> bool:
    return rejected > contract.max_bad_rows and rejected > contract.max_bad_percent / 100 * read


def _held_note(contract: Contract, read: int, rejected: int) -> str:
    percent = Decimal(str(contract.max_bad_percent)).normalize()
    return (
        f"is held whole: {rejected} of {read} rows are bad, more than {contract.max_bad_rows} and {percent:f} %. "
        f"`python -m include rejects list {contract.name}` shows them; mend the file or the contract, or raise its "
        "maxBadRows"
    )


def _note(error: Exception) -> str:
    """Return an error's sentence without the values that Postgres and the system may put into theirs."""
    if isinstance(error, psycopg.errors.DiskFull):
        return "is not loaded: the database's disk is full; make room, then run again"
    if isinstance(error, psycopg.Error):
        return f"is not loaded: {safe_message(error)}: see the database's log, mend that, then run again"
    if isinstance(error, UnicodeError):
        return "has a name that is not UTF-8: rename it"
    if isinstance(error, OSError):
        return f"can't be read or moved: {error.strerror or type(error).__name__}; mend that, then run again"
    return str(error)
