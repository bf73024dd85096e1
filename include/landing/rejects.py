"""Rejected rows again: judged after the contract or the row was mended, and loaded where they are valid now."""

from __future__ import annotations

import dataclasses
import getpass
import io
from collections import Counter
from collections.abc import Callable
from decimal import localcontext
from typing import Any

import orjson

from include import settings
from include.contracts import Contract
from include.errors import FinalError
from include.landing import ledger, reject_rows
from include.landing.deliveries import place_of_landed
from include.landing.json_parser import JsonParser
from include.landing.load import land
from include.landing.merge import Merger, create_stage
from include.landing.reject_rows import Choice
from include.landing.results import ReplayResult
from include.landing.rows import Problem, RowSchema
from include.landing.tables import create_tables, lock
from include.landing.values import EXACT, escape
from include.landing.zips import zip_of
from include.postgres import Connection, session
from include.readers import as_record, csv_records
from include.storage import Root


class RejectError(FinalError):
    """A rejected row can't be mended or dismissed as it was asked for; the message says why and what to do."""


def replay(
    contract: Contract, *, source_uri: str, path: str | None = None, code: str | None = None, line: int | None = None
) -> ReplayResult:
    """Judge a dataset's rejected rows again, all or those of one file, code or line, and load those that are valid now.

    They keep their file and line, and are as new as their file: a later file's version of a row stays the newest. A row
    may be mended first, see `mend`. The rows of a file that is held are left alone: see `release`. One transaction per
    delivery.
    """
    schema = RowSchema(contract)
    counts: Counter[str] = Counter()
    choice = Choice(path, code, line)
    with session(source_uri, "source_db") as connection:
        create_tables(connection, [contract])
        create_stage(connection, contract)
        for delivery, file, header in reject_rows.deliveries_with_rejects(connection, contract.name, choice):
            counts.update(_replay_delivery(connection, schema, delivery, file, header, choice))
        held = len(ledger.held_files(connection, contract.name, path))
    return ReplayResult(contract.name, counts["loaded"], counts["duplicate"], counts["rejected"], held)


def _replay_delivery(
    connection: Connection, schema: RowSchema, delivery: int, path: str, header: str | None, choice: Choice
) -> dict[str, int]:
    contract = schema.contract
    parse = _parser(contract, header)
    with lock(connection, contract.name):
        rejects = reject_rows.rejects_of(connection, contract.name, delivery, choice)
        place = place_of_landed(connection, contract, delivery)
        valid: list[int] = []
        with Merger(connection, contract, place) as merger, localcontext(EXACT):
            for line, row in rejects:
                encoded = _encoded(schema, parse, row)
                if isinstance(encoded, str):
                    valid.append(line)
                    merger.write(path, [f"{encoded}\t{escape(path)}\t{line}\n"])
        loaded = merger.loaded[path]
        reject_rows.accept(connection, contract.name, delivery, valid, loaded)
    return {"loaded": loaded, "duplicate": len(valid) - loaded, "rejected": len(rejects) - len(valid)}


def mend(contract: Contract, row: str, *, source_uri: str, path: str, line: int) -> bool:
    """Write a mended row, as the file would have it, over the one that was rejected; return whether its file is held.

    It is loaded by `replay`, or when its held file is released. Raises RejectError where there is no such reject, and
    for a row that would be rejected again, with the reasons.
    """
    schema = RowSchema(contract)
    with session(source_uri, "source_db") as connection:
        create_tables(connection, [contract])
        with lock(connection, contract.name):
            found = reject_rows.find(connection, contract.name, path, line)
            place = f"{contract.name}: {path} line {line}"
            if not found:
                raise RejectError(
                    f"{place}: no row was rejected there: `warehouse rejects show {contract.name}` lists file and line"
                )
            delivery, header, closed_as, is_held = found[0]
            if closed_as:
                raise RejectError(f"{place}: is {closed_as}: send the row in a new file instead")
            with localcontext(EXACT):
                encoded = _encoded(schema, _parser(contract, header), row)
            if not isinstance(encoded, str):
                reasons = "; ".join(problem.reason for problem in encoded)
                raise RejectError(f"{place}: the row would be rejected again: {reasons}")
            reject_rows.write_row(connection, contract.name, delivery, line, row)
            return is_held


def dismiss(dataset: str, *, source_uri: str, choice: Choice, why: str) -> int:
    """Close the open rejects of a dataset, or some of them, for a reason; return how many. They are kept with it."""
    if not why.strip():
        raise RejectError(f"{dataset}: give a reason: nobody can ask the rows later why they were dismissed")
    with session(source_uri, "source_db") as connection:
        create_tables(connection, [])
        with lock(connection, dataset):
            return reject_rows.dismiss(connection, dataset, choice, getpass.getuser(), why)


def as_written(contract: Contract, row: str) -> str:
    """Return a kept reject as its file has it: of a CSV, the record in the contract's dialect."""
    if contract.format != "csv":
        return row
    try:
        value = orjson.loads(row)
    except orjson.JSONDecodeError:
        return row
    if not isinstance(value, dict):
        return row
    return as_record(value.values(), contract.dialect)


_Parse = Callable[[str], Any]


def _encoded(schema: RowSchema, parse: _Parse, row: str) -> str | list[Problem]:
    value = parse(row)
    if isinstance(value, list) and value and isinstance(value[0], Problem):
        return value
    return schema.encode(value)


def _parser(contract: Contract, header: str | None) -> _Parse:
    """Return what reads a kept or mended row: JSON, and of a CSV also the record as its file would have it.

    It returns the row's value, or problems.
    """
    loads = JsonParser(contract).loads

    def parse_json(row: str) -> Any:
        try:
            return loads(row.encode())
        except ValueError:
            return [Problem("json", "", "the row is not JSON")]

    def parse_csv(row: str) -> Any:
        if row.lstrip().startswith("{") and isinstance(value := parse_json(row), dict):
            return value
        return _parse_record(contract, header, row)

    return parse_csv if contract.format == "csv" else parse_json


def _parse_record(contract: Contract, header: str | None, row: str) -> Any:
    """Return the value of one CSV record by the header of its file."""
    if header is None:
        reason = "the names of its columns are not known any more: write it as a JSON object, {name: value}"
        return [Problem("csv", "", reason)]
    names = orjson.loads(header)
    unknown = set(names) - {spec.name for spec in contract.properties}
    if unknown:  # the contract has changed since
        return [Problem("csv", "", f"its file has {len(unknown)} columns that the contract does not know any more")]
    dialect = dataclasses.replace(contract.dialect, header=False, skip_rows=0, skip_footer_rows=0)
    stream = io.BytesIO(f"{row.rstrip(chr(13) + chr(10))}\n".encode())
    lines = list(csv_records(stream, contract.max_row_bytes, dialect, dict.fromkeys(names, False)))
    if len(lines) != 1:
        return [Problem("csv", "", f"is {len(lines)} records: give one")]
    _, _, value, problem = lines[0]
    return value if problem is None else [Problem(problem.code, "", problem.reason)]


def release(
    contract: Contract,
    *,
    source_uri: str,
    root: str = settings.LANDING_ROOT,
    archive: str = settings.ARCHIVE_ROOT,
    path: str | None = None,
) -> list[str]:
    """Land the files that are held although too many of their rows are rejected, and return their paths.

    Their valid rows are loaded and the others rejected; a row that was mended stays mended, for `replay`. Raises
    LandingError as `land` does.
    """
    with session(source_uri, "source_db") as connection:
        create_tables(connection, [contract])
        held = ledger.held_files(connection, contract.name, path)
    waiting = [held_path for held_path in held if Root(root).exists(zip_of(held_path))]
    if waiting:
        unlimited = dataclasses.replace(contract, max_bad_percent=100.0)
        land(unlimited, waiting, source_uri=source_uri, root=root, archive=archive)
    return waiting
