"""The dbt sources, generated from the contracts: descriptions, and one test per table of what its contract promises.

One test per table, because each test is a query of its own and takes its share of the build. It passes while the table
has not arrived. A table that files land in holds every version of a row, so its key is not unique and is not tested; a
table of an application arrives with its primary key. A test in tests/contracts fails when the files in dbt/ differ from
the contracts.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from include import settings
from include.contracts.model import Column, Contract, read_contracts

HEADER = "# Made from include/contracts by `warehouse contract sources --write`: change the contract, not this.\n"
METADATA = {
    "_file": "File that the row came in, below the landing root.",
    "_line": "Line of the file where the row starts, counted from 1.",
    "_loaded_at": "When the row was loaded; the newest version of a key has the greatest (_loaded_at, _file, _line).",
    "_xid": "Transaction that loaded the row, by which the transfer finds new rows.",
}


def sources(folder: Path | None = None, project: Path | None = None) -> dict[Path, str]:
    """Return the text of every generated file of the dbt project, by its path."""
    return {
        (project or settings.DBT_PROJECT) / "models" / "staging" / source / f"_{source}__sources.yml": _source(
            source, list(group)
        )
        for source, group in groupby(read_contracts(folder), key=lambda contract: contract.source)
    }


def differing(folder: Path | None = None, project: Path | None = None) -> list[Path]:
    """Return the files that are absent or do not hold what the contracts say now."""
    made = sources(folder, project)
    return [path for path, text in made.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


def write(folder: Path | None = None, project: Path | None = None) -> list[Path]:
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
            **_test(contract),
            "columns": [
                *(_column(column) for column in contract.columns),
                *({"name": n, "description": d} for n, d in METADATA.items() if contract.is_landed),
            ],
        }
        for contract in group
    ]
    raw = settings.RAW_PREFIX + source
    document = {
        "version": 2,
        "sources": [{"name": raw, "schema": raw, "tables": tables}],
    }
    return HEADER + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def _test(contract: Contract) -> dict[str, Any]:
    conditions = {
        f"{column.name} is there": f"{column.name} is not null" for column in contract.columns if column.required
    }
    for column in contract.columns:
        if column.spec.enum:
            values = ", ".join("'" + str(entry.value).replace("'", "''") + "'" for entry in column.spec.enum)
            known = f"{column.name}::text in ({values})"
            conditions[f"{column.name} is known"] = known if column.required else f"coalesce({known}, true)"
    name = f"{contract.source}__{contract.table}_keeps_its_contract"
    test = {"rows_satisfy": {"name": name, "arguments": {"conditions": conditions}}}
    return {"data_tests": [test]} if conditions else {}


def _column(column: Column) -> dict[str, Any]:
    described: dict[str, Any] = {"name": column.name, "description": column.description}
    if column.personal:
        described["config"] = {"meta": {"personal": column.personal}}
    return described
