"""Rejected rows again: judged after the contract or the row was mended, and loaded where they are valid now."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from decimal import localcontext
from typing import Any

from include import settings
from include.contracts import Contract
from include.landing import ledger
from include.landing.json_parser import JsonParser
from include.landing.load import land
from include.landing.merge import Merger, create_stage
from include.landing.results import ReplayResult
from include.landing.rows import Problem, RowSchema
from include.landing.tables import create_tables, lock
from include.landing.values import EXACT, escape
from include.landing.zips import zip_of
from include.postgres import Connection, session
from include.storage import Root


def replay(contract: Contract, *, source_uri: str, path: str | None = None, code: str | None = None) -> ReplayResult:
    """Judge a dataset's rejected rows again, all or those of one file or code, and load those that are valid now.

    They keep their file and line. A row may be mended in place: update landing.rejects set "row" = ... first. The rows
    of a file that is held are left alone: see `release`. One transaction per file.
    """
    schema = RowSchema(contract)
    counts: Counter[str] = Counter()
    with session(source_uri, "source_db") as connection:
        create_tables(connection, [contract])
        create_stage(connection, contract)
        for file, sha256 in ledger.files_with_rejects(connection, contract.name, path, code):
            counts.update(_replay_file(connection, schema, file, sha256, code))
    return ReplayResult(contract.name, counts["loaded"], counts["duplicate"], counts["rejected"])


def _replay_file(connection: Connection, schema: RowSchema, path: str, sha256: str, code: str | None) -> dict[str, int]:
    contract = schema.contract
    parse = JsonParser(contract).loads
    with lock(connection, contract.name):
        rejects = ledger.rejects_of_file(connection, contract.name, sha256, code)
        valid: list[int] = []
        with Merger(connection, contract) as merger, localcontext(EXACT):
            for line, row in rejects:
                encoded = schema.encode(value) if (value := _parsed(row, parse)) is not _NOT_JSON else _UNPARSED
                if isinstance(encoded, str):
                    valid.append(line)
                    merger.write(path, [f"{encoded}\t{escape(path)}\t{line}\n"])
        loaded = merger.loaded[path]
        ledger.accept_rejects(connection, contract.name, sha256, valid, loaded)
    return {"loaded": loaded, "duplicate": len(valid) - loaded, "rejected": len(rejects) - len(valid)}


_NOT_JSON = object()  # a marker that differs from every value of JSON
_UNPARSED = [Problem("json", "", "the row is not JSON")]


def _parsed(row: str, parse: Callable[[bytes], Any]) -> Any:
    """Return the value of a rejected row: JSON, also for CSV, whose rejects are kept as objects."""
    try:
        return parse(row.encode())
    except ValueError:
        return _NOT_JSON


def release(
    contract: Contract,
    *,
    source_uri: str,
    root: str = settings.LANDING_ROOT,
    archive: str = settings.ARCHIVE_ROOT,
    path: str | None = None,
) -> list[str]:
    """Land the files that are held although too many of their rows are rejected, and return their paths.

    Their valid rows are loaded and the others rejected; rows that were mended in landing.rejects stay mended there,
    for `replay`. Raises LandingError as `land` does.
    """
    with session(source_uri, "source_db") as connection:
        create_tables(connection, [contract])
        held = ledger.held_files(connection, contract.name, path)
        waiting = [(held_path, sha256) for held_path, sha256 in held if Root(root).exists(zip_of(held_path))]
        if not waiting:
            return []
        mended = ledger.rows_of_rejects(connection, contract.name, [sha256 for _, sha256 in waiting])
        unlimited = dataclasses.replace(contract, max_bad_percent=100.0)
        paths = [held_path for held_path, _ in waiting]
        land(unlimited, paths, source_uri=source_uri, root=root, archive=archive)
        ledger.restore_rows(connection, contract.name, mended)
        return paths
