"""A file's rows judged by their contract: the valid ones encoded for COPY, the others kept with their reasons."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from pathlib import Path
from typing import IO, NamedTuple

import orjson
import psycopg

from include import settings
from include.contracts import Contract
from include.decoding import decoded
from include.landing.json_parser import JsonParser
from include.landing.results import FileResult, FileStatus, LandResult
from include.landing.rows import Problem, RowSchema
from include.landing.values import EXACT, escape
from include.postgres import safe_message
from include.readers import Line, csv_records, json_rows, opened
from include.storage import FileError, Root, hash_of

_BUFFER_ROWS = 200  # rows handed on at once
_PROBLEMS_SHOWN = 20  # of a row

# Takes a file's path and some of its valid rows, as lines of COPY's text format.
Write = Callable[[str, list[str]], None]


def judge(
    contract: Contract,
    paths: list[str],
    *,
    root: str = settings.LANDING_ROOT,
    show: Callable[[str], None] | None = None,
) -> LandResult:
    """Judge files without a database and without moving them; rows_loaded counts the valid rows.

    `show` is given a sentence for each row that would be rejected.
    """
    began = time.monotonic()
    schema = RowSchema(contract)
    codes: Counter[str] = Counter()
    results = []
    for path in sorted(paths):
        try:
            path.encode()
            with Root(root).fetched(path) as file, RejectedRows(contract) as rejects:
                Root(root).check_at_rest(path)
                valid = read_rows(schema, path, file, hash_of(file), lambda *_: None, rejects)
                codes.update(rejects.codes)
                if show is not None:
                    for row in rejects:
                        show(f"{contract.name}: {path} line {row.line}: {row.code}: {row.reason}")
                counts = (valid + rejects.count, valid, 0, rejects.count)
                if must_be_held(contract, valid, rejects):
                    note = held_note(contract, valid, rejects)
                    results.append(FileResult(path, FileStatus.HELD, *counts, note))
                else:
                    results.append(FileResult(path, FileStatus.LANDED, *counts))
        except (FileError, OSError, UnicodeError) as error:
            results.append(not_landed(path, error))
    return LandResult(contract.name, tuple(results), dict(codes), time.monotonic() - began)


def read_rows(
    schema: RowSchema,
    path: str,
    file: Path,
    sha256: str,
    write: Write,
    rejects: RejectedRows,
) -> int:
    """Write a file's valid rows, add the others to the rejects, and return how many are valid.

    `path` is the file's path below the landing root, `file` its copy on this disk. Raises FileError for a file that
    can't be read whole.
    """
    contract, encode = schema.contract, schema.encode
    tail = f"\t{escape(path)}\t"
    valid = 0
    waiting: list[str] = []
    with opened(file, sha256, contract.encoding) as raw, localcontext(EXACT):
        stream = decoded(raw, contract.encoding)
        if contract.format == "csv":
            known = {str(spec.name): bool(spec.required) for spec in contract.properties}
            lines = csv_records(stream, contract.max_row_bytes, contract.delimiter, known)
        else:
            parser = JsonParser(contract)
            lines = json_rows(stream, contract.max_row_bytes, parser.loads, parser.loads_all)
        for line in lines:
            number, _, value, problem = line
            encoded = encode(value) if problem is None else [Problem(problem.code, "", problem.reason)]
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


class RejectedRow(NamedTuple):
    """A row that breaks its contract, as landing.rejects keeps it."""

    line: int
    code: str
    field: str
    reason: str
    row: str


class RejectedRows:
    """The rejected rows of one file, as JSON lines in memory, and on disk when they are many."""

    def __init__(self, contract: Contract) -> None:
        self._is_csv = contract.format == "csv"
        self.count = 0
        self.lines = 0  # of the file that they take, as far as nobody can say what is a row: each may have been one
        self.codes: Counter[str] = Counter()
        self._kept: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=4 << 20)  # noqa: SIM115

    def __enter__(self) -> RejectedRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def add(self, line: Line, problems: list[Problem]) -> None:
        number, raw, value, problem = line
        self.count += 1
        self.lines += problem.lines if problem is not None else 1
        self.codes[problems[0].code] += 1
        if self._is_csv and problem is None:  # with the header's names, so that it can be read again on its own
            row = orjson.dumps(value).decode()
        else:
            row = raw.rstrip(b"\r\n").decode("utf-8", "backslashreplace").replace("\0", "\\x00")
        reason = "; ".join(problem.reason for problem in problems[:_PROBLEMS_SHOWN])
        if len(problems) > _PROBLEMS_SHOWN:
            reason += f"; and {len(problems) - _PROBLEMS_SHOWN} more"
        kept = RejectedRow(number, problems[0].code, problems[0].field, reason, row)
        self._kept.write(orjson.dumps(list(kept)) + b"\n")

    def __iter__(self) -> Iterator[RejectedRow]:
        self._kept.seek(0)
        for line in self._kept:
            yield RejectedRow(*orjson.loads(line))

    def clear(self) -> None:
        """Forget all of them, before the file is read again."""
        self.count = self.lines = 0
        self.codes.clear()
        self._kept.seek(0)
        self._kept.truncate()


def must_be_held(contract: Contract, valid: int, rejects: RejectedRows) -> bool:
    """Return whether a file has more rejected rows than its contract allows.

    Its share counts, however small the file is. A contract that states maxBadRows allows so many rows whatever their
    share, but a file without one valid row only with a maxBadPercent of 100. A reject that takes several lines counts
    as so many: each of them may have been a row.
    """
    rejected = rejects.lines
    if rejected and not valid:
        return contract.max_bad_percent < 100
    return rejected > contract.max_bad_rows and rejected > contract.max_bad_percent / 100 * (valid + rejected)


def held_note(contract: Contract, valid: int, rejects: RejectedRows) -> str:
    """Return why a file is held, and what to do."""
    percent = Decimal(str(contract.max_bad_percent)).normalize()
    lines = f", which take {rejects.lines} lines," if rejects.lines > rejects.count else ""
    above = f"more than {percent:f} %" + (f" and more than {contract.max_bad_rows}" if contract.max_bad_rows else "")
    return (
        f"is held whole: {rejects.count} of {valid + rejects.count} rows{lines} are rejected, "
        f"{above if valid else 'so not one is valid'}. `warehouse rejects list {contract.name}` shows them; mend the "
        f"file or the contract, or raise its maxBadPercent{' or maxBadRows' if valid else ' to 100'}"
    )


def not_landed(path: str, error: Exception) -> FileResult:
    """Return the result of a file that an error kept from being landed."""
    if isinstance(error, FileNotFoundError):
        return FileResult(path, FileStatus.TAKEN, note="was taken by another run")
    shown = path.encode("utf-8", "backslashreplace").decode()
    return FileResult(shown, FileStatus.FAILED, note=failure_note(error))


def failure_note(error: Exception) -> str:
    """Return why a file was not landed, without the values that Postgres and the system may put into their messages."""
    if isinstance(error, psycopg.errors.DiskFull):
        return "is not loaded: the database's disk is full; make room, then run again"
    if isinstance(error, psycopg.Error):
        return f"is not loaded: {safe_message(error)}: see the database's log, mend that, then run again"
    if isinstance(error, UnicodeError):
        return "has a name that is not UTF-8: rename it"
    if isinstance(error, OSError):
        return f"can't be read or moved: {error.strerror or type(error).__name__}; mend that, then run again"
    return str(error)
