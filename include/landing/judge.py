"""A file's rows judged by their contract: the valid ones encoded for COPY, the others kept with their reasons."""

from __future__ import annotations

import codecs
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal, localcontext
from pathlib import Path
from typing import IO, NamedTuple

import orjson
import psycopg

from include import settings
from include.contracts import Contract
from include.decoding import decoded, unknown_character
from include.landing.json_parser import JsonParser
from include.landing.results import FileResult, FileStatus, LandResult
from include.landing.rows import Problem, RowSchema
from include.landing.table_files import rows_of_table
from include.landing.values import EXACT, escape, json_text
from include.landing.zips import Files
from include.postgres import safe_message
from include.readers import Line, Stream, csv_records, json_rows, opened
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
    with Files(contract, Root(root)) as files:
        found, failed = files.expand(sorted(paths))
        results = [not_landed(path, error) for path, error in failed.items()]
        for path in found:
            try:
                path.encode()
                with files.fetched(path) as file, RejectedRows(contract) as rejects:
                    valid = read_rows(schema, path, file, hash_of(file), lambda *_: None, rejects)
                    codes.update(rejects.codes)
                    if show is not None:
                        for row in rejects:
                            show(f"{contract.name}: {path} line {row.line}: {row.code}: {row.reason}")
                    read = valid + rejects.count
                    if must_be_held(contract, valid, rejects):
                        note = held_note(contract, valid, rejects)
                        results.append(FileResult(path, FileStatus.HELD, read, 0, 0, read, note))
                    else:
                        results.append(FileResult(path, FileStatus.LANDED, read, valid, 0, rejects.count))
            except (FileError, OSError, UnicodeError) as error:
                results.append(not_landed(path, error))
    return LandResult(contract.name, tuple(results), dict(codes), time.monotonic() - began)


def read_rows(
    schema: RowSchema,
    path: str,
    file: Path,
    sha256: str | None,
    write: Write,
    rejects: RejectedRows,
) -> int:
    """Write a file's valid rows, add the others to the rejects, and return how many are valid.

    `path` is the file's path below the landing root, `file` its copy on this disk; without `sha256` nobody minds that
    it changes. Raises FileError for a file that can't be read whole.
    """
    contract, encode = schema.contract, schema.encode
    tail = f"\t{escape(path)}\t"
    valid = 0
    waiting: list[str] = []
    parsed = None
    with opened(file, sha256, contract.encoding, contract.format) as raw, localcontext(EXACT), ExitStack() as stack:
        if contract.is_table_file:
            lines = stack.enter_context(rows_of_table(contract, raw, file))
        else:
            lines = _rows_of(contract, decoded(raw, contract.encoding))
        for line in lines:
            number, _, value, problem = line
            encoded = encode(value) if problem is None else [_problem(line, contract.encoding)]
            if isinstance(encoded, list):
                rejects.add(line, encoded)
                continue
            valid += 1
            parsed = value
            waiting.append(f"{encoded}{tail}{number}\n")
            if len(waiting) == _BUFFER_ROWS:
                write(path, waiting)
                waiting = []
        write(path, waiting)
    if parsed is not None:
        rejects.note_header(parsed)
    return valid


def _rows_of(contract: Contract, stream: Stream) -> Iterator[Line]:
    """Return the rows of a stream in UTF-8 as the contract says how they are written."""
    if contract.format == "csv":
        known = {str(spec.name): bool(spec.required) for spec in contract.properties}
        return csv_records(stream, contract.max_row_bytes, contract.dialect, known)
    parser = JsonParser(contract)
    return json_rows(stream, contract.max_row_bytes, parser.loads, parser.loads_all)


def _problem(line: Line, encoding: str) -> Problem:
    """Return the problem of a line that could not be read."""
    _, raw, _, problem = line
    assert problem is not None
    is_decoded = problem.code == "encoding" and codecs.lookup(encoding).name != "utf-8"
    return Problem(problem.code, "", unknown_character(raw, encoding) if is_decoded else problem.reason)


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
        self._has_names = contract.format != "json"
        self.count = 0
        self.lines = 0  # of the file that they take, as far as nobody can say what is a row: each may have been one
        self.codes: Counter[str] = Counter()
        self.header: str | None = None  # of a CSV or a table, as JSON: the names by which a row can be read on its own
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
        if self._has_names and problem is None:  # with the header's names, so that it can be read again on its own
            row = json_text(value, "")
            self.note_header(value)
        else:
            row = raw.rstrip(b"\r\n").decode("utf-8", "backslashreplace").replace("\0", "\\x00")
        reason = "; ".join(problem.reason for problem in problems[:_PROBLEMS_SHOWN])
        if len(problems) > _PROBLEMS_SHOWN:
            reason += f"; and {len(problems) - _PROBLEMS_SHOWN} more"
        kept = RejectedRow(number, problems[0].code, problems[0].field, reason, row)
        self._kept.write(orjson.dumps(list(kept)) + b"\n")

    def note_header(self, value: dict[str, object]) -> None:
        """Note the names of the columns, of which each row of a CSV or a table has all."""
        if self._has_names and self.count and self.header is None:
            self.header = orjson.dumps(list(value)).decode()

    def __iter__(self) -> Iterator[RejectedRow]:
        self._kept.seek(0)
        for line in self._kept:
            yield RejectedRow(*orjson.loads(line))

    def clear(self) -> None:
        """Forget all of them, before the file is read again."""
        self.count = self.lines = 0
        self.header = None
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
    mended = f"mend the file or the contract, raise its maxBadPercent{' or maxBadRows' if valid else ' to 100'}"
    return (
        f"is held whole: {rejects.count} of {valid + rejects.count} rows{lines} are rejected, "
        f"{above if valid else 'so not one is valid'}. `warehouse rejects list {contract.name}` shows them; "
        f"{mended}, or release it as it is: `warehouse rejects replay {contract.name} --release`"
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
