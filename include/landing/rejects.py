"""Refused rows again: judged anew after the contract or the row was mended, and loaded where they are valid now."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from decimal import localcontext
from typing import Any

import orjson

from include import settings
from include.contracts import Contract
from include.landing.encoder import EXACT, escaped
from include.landing.load import land
from include.landing.merge import Merger, create_stage
from include.landing.rows import Problem, RowSchema
from include.landing.tables import create_tables, lock
from include.postgres import Connection, session
from include.storage import Root


@dataclass(frozen=True)
class ReplayResult:
    """How many refused rows were loaded, how many turned out to be duplicates, how many are refused still."""

    dataset: str
    loaded: int
    duplicate: int
    rejected: int

    def __str__(self) -> str:
        return (
            f"{self.dataset}: {self.loaded} refused rows are loaded now, {self.duplicate} are duplicates, "
            f"{self.rejected} are refused still"
        )


def replay(contract: Contract, *, source_uri: str, path: str | None = None, code: str | None = None) -> ReplayResult:
    """Judge a dataset's refused rows anew, all or those of one file or code, and load those that are valid now.

    They keep their file and line. A row may be mended in place: update landing.rejects set "row" = ... first. The rows
    of a file that is held are left alone: see `release`. One transaction a file.
    """
    schema = RowSchema(contract)
    counts: Counter[str] = Counter()
    with session(source_uri, "source_db") as connection:
        create_tables(connection, [contract])
        create_stage(connection, contract)
        files = connection.execute(
            "select distinct r.path, r.sha256 from landing.rejects r join landing.files f using (dataset, sha256)"
            " where dataset = %s and f.status = 'landed' and r.path = coalesce(%s, r.path)"
            " and code = coalesce(%s, code) order by 1, 2",
            [contract.name, path, code],
        ).fetchall()
        for file, sha256 in files:
            counts.update(_replay_file(connection, schema, file, sha256, code))
    return ReplayResult(contract.name, counts["loaded"], counts["duplicate"], counts["rejected"])


def _replay_file(connection: Connection, schema: RowSchema, path: str, sha256: str, code: str | None) -> dict[str, int]:
    contract = schema.contract
    mine = "dataset = %s and sha256 = %s and line = any(%s)"
    with lock(connection, contract.name):
        rejects = connection.execute(
            'select line, "row" from landing.rejects'
            " where dataset = %s and sha256 = %s and code = coalesce(%s, code) order by line",
            [contract.name, sha256, code],
        ).fetchall()
        valid: list[int] = []
        with Merger(connection, contract) as merger, localcontext(EXACT):
            for line, row in rejects:
                encoded = schema.encode(value) if (value := _parsed(row)) is not _NO_ROW else _UNPARSED
                if isinstance(encoded, str):
                    valid.append(line)
                    merger.write(path, [f"{encoded}\t{escaped(path)}\t{line}\n"])
        loaded = merger.loaded[path]
        connection.execute(f"delete from landing.rejects where {mine}", [contract.name, sha256, valid])  # noqa: S608
        connection.execute(
            "update landing.files set rows_loaded = rows_loaded + %s, rows_duplicate = rows_duplicate + %s,"
            " rows_rejected = rows_rejected - %s where dataset = %s and sha256 = %s",
            [loaded, len(valid) - loaded, len(valid), contract.name, sha256],
        )
    return {"loaded": loaded, "duplicate": len(valid) - loaded, "rejected": len(rejects) - len(valid)}


_NO_ROW = object()
_UNPARSED = [Problem("json", "", "the row is not JSON")]


def _parsed(row: str) -> Any:
    """Return the value of a refused row: JSON, also for CSV, whose rejects are kept as objects."""
    try:
        return orjson.loads(row)
    except orjson.JSONDecodeError:
        return _NO_ROW


def release(
    contract: Contract,
    *,
    source_uri: str,
    root: str = settings.LANDING_ROOT,
    archive: str = settings.ARCHIVE_ROOT,
    path: str | None = None,
) -> list[str]:
    """Land the files that are held although they have too many bad rows, and return their paths.

    Their valid rows are loaded and the bad ones refused; rows that were mended in landing.rejects stay mended there,
    for `replay`. Raises LandingError as `land` does.
    """
    with session(source_uri, "source_db") as connection:
        create_tables(connection, [contract])
        held = connection.execute(
            "select path, sha256 from landing.files"
            " where dataset = %s and status = 'held' and path = coalesce(%s, path)",
            [contract.name, path],
        ).fetchall()
        waiting = [(p, sha256) for p, sha256 in held if Root(root).exists(p)]
        kept = connection.execute(
            'select sha256, line, "row" from landing.rejects where dataset = %s and sha256 = any(%s)',
            [contract.name, [sha256 for _, sha256 in waiting]],
        ).fetchall()
        if not waiting:
            return []
        unlimited = dataclasses.replace(contract, max_bad_percent=100.0)
        land(unlimited, [p for p, _ in waiting], source_uri=source_uri, root=root, archive=archive)
        connection.cursor().executemany(
            'update landing.rejects set "row" = %s where dataset = %s and sha256 = %s and line = %s and "row" <> %s',
            [(row, contract.name, sha256, line, row) for sha256, line, row in kept],
        )
        return [p for p, _ in waiting]
