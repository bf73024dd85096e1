"""Files into their table: judged row by row, loaded whole, counted, moved to the archive. One transaction a file.

A file is known by the SHA-256 of its bytes. Its rows, its rejects and its line in landing.files commit together, under
a lock of the dataset; the move to the archive follows, and is done by the next run where it was cut short. So a run
may be killed at any moment and repeated, and two may run at once.

A row equal to the newest version of its key is a duplicate and counted, not loaded; any other valid row of a known key
is a new version.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import orjson
import psycopg
from psycopg import sql

from include import settings
from include.landing.contracts import Contract
from include.landing.files import (
    FileError,
    Line,
    Root,
    check_at_rest,
    csv_records,
    hash_of,
    json_lines,
    opened,
)
from include.landing.files import (
    archive as archive_file,
)
from include.landing.rows import Problem, RowSchema
from include.landing.tables import NEWEST_FIRST, Connection, column_list, create_tables, key_hash, lock, name_of

_BUFFER_ROWS = 500  # rows handed to COPY at once


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


class LandingError(Exception):
    """Some files of a batch were not landed; the others were. `result` says what became of each."""

    def __init__(self, result: LandResult) -> None:
        super().__init__("\n".join(result.errors))
        self.result = result


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
    results = []
    with psycopg.connect(source_uri, autocommit=True) as connection:
        create_tables(connection, [contract])
        _create_stage(connection, contract)
        for path in sorted(paths):
            results.append(_land_file(connection, schema, path, Root(root), Root(archive), codes))
    result = LandResult(contract.name, tuple(results), dict(codes), time.monotonic() - begun)
    if result.errors:
        raise LandingError(result)
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
            with Root(root).fetched(path) as file, _Rejects(contract) as rejects:
                check_at_rest(file)
                valid = _read(schema, file, hash_of(file), _Discard(), rejects)
                codes.update(rejects.codes)
                if show is not None:
                    for line, code, _, reason, _ in rejects:
                        show(f"{contract.name}: {path} line {line}: {code}: {reason}")
                counts = (valid + rejects.count, valid, 0, rejects.count)
                if _is_too_bad(contract, *counts):
                    results.append(FileResult(path, "held", *counts, _held_note(contract, *counts)))
                else:
                    results.append(FileResult(path, "landed", *counts))
        except (FileError, OSError) as error:
            results.append(FileResult(path, "failed", note=_note(error)))
    return LandResult(contract.name, tuple(results), dict(codes), time.monotonic() - begun)


def _land_file(
    connection: Connection, schema: RowSchema, path: str, root: Root, target: Root, codes: Counter[str]
) -> FileResult:
    contract = schema.contract
    sha256 = ""
    try:
        with root.fetched(path) as file:
            if root.local is not None:
                check_at_rest(file)
            sha256 = hash_of(file)
            known = _known(connection, contract, sha256)
            if known is not None:
                archive_file(root, target, path, file, sha256)
                return FileResult(path, "known", note=_known_note(path, known))
            with _Rejects(contract) as rejects:
                result = _load(connection, schema, path, file, sha256, rejects)
                codes.update(rejects.codes)
            if result.status == "landed":
                archive_file(root, target, path, file, sha256)
            return result
    except FileNotFoundError:
        return FileResult(path, "gone", note="was taken by another run")
    except (FileError, OSError, psycopg.Error) as error:
        if connection.broken or connection.closed:
            raise
        note = _note(error)
        if sha256:
            _record(connection, contract, FileResult(path, "failed", note=note), sha256)
        return FileResult(path, "failed", note=note)


def _known(connection: Connection, contract: Contract, sha256: str) -> str | None:
    """Return the path under which these bytes were landed before."""
    found = connection.execute(
        "select path from landing.files where dataset = %s and sha256 = %s and status = 'landed'",
        [contract.name, sha256],
    ).fetchone()
    return found[0] if found else None


def _known_note(path: str, known: str) -> str:
    return "was landed before and is archived now" if path == known else f"has the same bytes as {known}, landed before"


def _create_stage(connection: Connection, contract: Contract) -> None:
    connection.execute("set client_min_messages = warning")
    connection.execute(
        sql.SQL("create temp table stage as select {}, _line from {} with no data").format(
            column_list(contract), name_of(contract)
        )
    )


def _load(
    connection: Connection, schema: RowSchema, path: str, file: Path, sha256: str, rejects: _Rejects
) -> FileResult:
    """Stage the file's valid rows, then, in one transaction, merge them into the table with rejects and counts."""
    contract = schema.contract
    cursor = connection.cursor()
    with connection.transaction():
        cursor.execute("truncate stage")
        # NUL can't be in a row: every null is written as \N.
        with cursor.copy("copy stage from stdin") as copy:
            valid = _read(schema, file, sha256, copy, rejects)
    read = valid + rejects.count
    is_held = _is_too_bad(contract, read, valid, 0, rejects.count)
    with lock(connection, contract.name):
        known = _known(connection, contract, sha256)
        if known is not None:  # by a run at the same time
            return FileResult(path, "known", note=_known_note(path, known))
        loaded = 0 if is_held else _merge(connection, contract, path)
        connection.execute("delete from landing.rejects where dataset = %s and sha256 = %s", [contract.name, sha256])
        rejects.write(connection, contract, path, sha256)
        if is_held:
            note = _held_note(contract, read, valid, 0, rejects.count)
            result = FileResult(path, "held", read, 0, 0, read, note)
        else:
            result = FileResult(path, "landed", read, loaded, valid - loaded, rejects.count)
        _record(connection, contract, result, sha256)
    return result


def _merge(connection: Connection, contract: Contract, path: str) -> int:
    """Append the staged rows that differ from the newest version of their key; return how many those are."""
    columns, staged = column_list(contract), column_list(contract, "stage")
    keys = {"hash": key_hash(contract, "stage"), "columns": staged}
    repeated = connection.execute(
        sql.SQL("select count(*) > count(distinct {hash}) from stage").format(**keys), prepare=False
    ).fetchone()
    is_first: sql.Composable = sql.SQL("true")
    if repeated and repeated[0]:
        # Within the file, a row equal to the one before it of the same key goes; then only the first row of a key is
        # compared with the table, because every other one differs from its predecessor.
        connection.execute(
            sql.SQL(
                "delete from stage using ("
                " select _line, row({columns}) is not distinct from lag(row({columns})) over same_key as is_same"
                " from stage window same_key as (partition by {hash} order by _line)"
                ") as compared where compared._line = stage._line and compared.is_same"
            ).format(**keys),
            prepare=False,
        )
        is_first = sql.SQL("stage._line = min(stage._line) over (partition by {hash})").format(**keys)
    old = sql.SQL(", ").join(sql.Identifier("newest", column.name) for column in contract.columns)
    same_key = sql.SQL(" and ").join(
        sql.SQL("{} is not distinct from {}").format(sql.Identifier("t", name), sql.Identifier("stage", name))
        for name in contract.key
    )
    statement = sql.SQL(
        "insert into {table} ({columns}, _file, _line) select {columns}, %s, _line from ("
        " select stage.*, {is_first} and newest._line is not null and row({staged}) is not distinct from row({old})"
        "  as is_duplicate"
        " from stage left join lateral ("
        "  select t.* from {table} t where {table_hash} = {hash} and {same_key} order by {newest_first} limit 1"
        " ) as newest on true"
        ") as compared where not is_duplicate order by _line"
    ).format(
        table=name_of(contract),
        columns=columns,
        staged=staged,
        old=old,
        is_first=is_first,
        hash=keys["hash"],
        table_hash=key_hash(contract, "t"),
        same_key=same_key,
        newest_first=NEWEST_FIRST,
    )
    # Planned anew each time: a plan made for an empty table would scan a grown one for every row.
    return connection.execute(statement, [path], prepare=False).rowcount


def _record(connection: Connection, contract: Contract, result: FileResult, sha256: str) -> None:
    connection.execute(
        "insert into landing.files as f"
        " (dataset, path, sha256, status, rows_read, rows_loaded, rows_duplicate, rows_rejected, error)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, nullif(%s, '')) on conflict (dataset, sha256) do update set"
        " path = excluded.path, status = excluded.status, rows_read = excluded.rows_read,"
        " rows_loaded = excluded.rows_loaded, rows_duplicate = excluded.rows_duplicate,"
        " rows_rejected = excluded.rows_rejected, error = excluded.error, loaded_at = now()"
        " where f.status <> 'landed'",
        [
            contract.name,
            result.path,
            sha256,
            result.status,
            result.rows_read,
            result.rows_loaded,
            result.rows_duplicate,
            result.rows_rejected,
            result.note,
        ],
    )


# --- reading and judging one file -------------------------------------------------------------------------------------


class _Discard:
    def write(self, _: bytes) -> None:
        """Take the valid rows of a file that is judged and not loaded."""


def _read(schema: RowSchema, file: Path, sha256: str, copy: Any, rejects: _Rejects) -> int:
    """Write the file's valid rows to COPY, put the others among the rejects, return how many are valid."""
    contract, encode = schema.contract, schema.encode
    valid = 0
    waiting: list[str] = []
    with opened(file, sha256) as stream:
        if contract.format == "csv":
            known = {str(spec.name): bool(spec.required) for spec in contract.properties}
            lines = csv_records(stream, contract.max_row_bytes, contract.delimiter, known)
        else:
            lines = json_lines(stream, contract.max_row_bytes, orjson.loads)
        for line in lines:
            number, _, value, problem = line
            encoded = encode(value) if problem is None else [Problem(problem[0], "", problem[1])]
            if type(encoded) is not str:
                rejects.add(line, encoded)  # type: ignore[arg-type]
                continue
            valid += 1
            waiting.append(f"{encoded}\t{number}\n")
            if len(waiting) == _BUFFER_ROWS:
                copy.write("".join(waiting).encode())
                waiting.clear()
        if waiting:
            copy.write("".join(waiting).encode())
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
        self.count += 1
        self.codes[problems[0].code] += 1
        if self._is_csv and line.problem is None:  # with the header's names, so that it can be read again on its own
            row = orjson.dumps(line.value).decode()
        else:
            row = line.raw.rstrip(b"\r\n").decode("utf-8", "backslashreplace").replace("\0", "\\x00")
        reason = "; ".join(problem.reason for problem in problems)
        kept = [line.number, problems[0].code, problems[0].field, reason, row]
        self._kept.write(orjson.dumps(kept) + b"\n")

    def __iter__(self) -> Iterator[tuple[int, str, str, str, str]]:
        """Give line, code, field, reason and row of each."""
        self._kept.seek(0)
        return (tuple(orjson.loads(line)) for line in self._kept)

    def write(self, connection: Connection, contract: Contract, path: str, sha256: str) -> None:
        """Copy the rows to landing.rejects, in the transaction that is open."""
        if not self.count:
            return
        columns = 'dataset, path, sha256, line, code, field, reason, "row"'
        with connection.cursor().copy(f"copy landing.rejects ({columns}) from stdin") as copy:
            for kept in self:
                copy.write_row((contract.name, path, sha256, *kept))


def _is_too_bad(contract: Contract, read: int, valid: int, duplicate: int, rejected: int) -> bool:
    return rejected > contract.max_bad_rows and rejected > contract.max_bad_percent / 100 * read


def _held_note(contract: Contract, read: int, valid: int, duplicate: int, rejected: int) -> str:
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
        place = re.search(r"COPY stage, line ([0-9]+)(?:, column (\w+))?", error.diag.context or "")
        where = f" at valid row {place[1]}" + (f", column {place[2]}" if place[2] else "") if place else ""
        kind = type(error).__name__
        return f"is refused by Postgres{where} ({error.sqlstate or '?'} {kind}): compare the contract with the table"
    if isinstance(error, OSError):
        return f"can't be read or moved: {error.strerror or type(error).__name__}; mend that, then run again"
    return str(error)
