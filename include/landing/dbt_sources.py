"""The dbt sources, generated from the contracts: descriptions, and tests of what a contract says of one column.

A table of files holds every version of a row, so its key is not unique there and no test says so. A test in
tests/landing fails when the files in dbt/ differ from the contracts.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from include import settings
from include.landing.contracts import Column, Contract, contracts

HEADER = (
    "# Made from include/contracts by `python -m include contract sources --write`: change the contract, not this.\n"
)
METADATA = {
    "_file": "File that the row came in, below the landing root.",
    "_line": "Line of the file where the row starts, from 1.",
    "_loaded_at": "When the row was loaded.",
    "_xid": "Transaction that loaded the row; the newest version of a key has the greatest (_xid, _file, _line).",
}


def sources(folder: Path = settings.CONTRACTS, project: Path = settings.DBT_PROJECT) -> dict[Path, str]:
    """Return the text of every generated file of the dbt project, by its path."""
    return {
        project / "models" / "staging" / source / f"_{source}__sources.yml": _source(source, list(group))
        for source, group in groupby(contracts(folder), key=lambda contract: contract.source)
    }


def differing(folder: Path = settings.CONTRACTS, project: Path = settings.DBT_PROJECT) -> list[Path]:
    """Return the files that are absent or do not hold what the contracts say now."""
    made = sources(folder, project)
    return [path for path, text in made.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


def write(folder: Path = settings.CONTRACTS, project: Path = settings.DBT_PROJECT) -> list[Path]:
    """Write the files that differ and return their paths."""
    made = sources(folder, project)
    changed = differing(folder, project)
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
    return changed


def _source(source: str, group: list[Contract]) -> str:
    tables = [
        {
            "name": contract.table,
            "description": contract.description,
            "config": {"meta": {"contract": contract.name, "owner": contract.owner}},
            "columns": [
                *(_column(column, contract) for column in contract.columns),
                *({"name": n, "description": d} for n, d in METADATA.items() if contract.path),
            ],
        }
        for contract in group
    ]
    document = {
        "version": 2,
        "sources": [{"name": f"raw_{source}", "schema": f"raw_{source}", "tables": tables}],
    }
    return HEADER + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def _column(column: Column, contract: Contract) -> dict[str, Any]:
    tests: list[Any] = ["not_null"] if column.required else []
    if contract.path is None and contract.key == (column.name,):
        tests.append("unique")
    if column.spec.enum:
        values = [entry.value for entry in column.spec.enum]
        quoted = {"quote": False} if column.spec.logicalType in ("integer", "number") else {}
        tests.append({"accepted_values": {"arguments": {"values": values, **quoted}}})
    described: dict[str, Any] = {"name": column.name, "description": column.description}
    if column.personal:
        described["config"] = {"meta": {"personal": column.personal}}
    return described | ({"data_tests": tests} if tests else {})
