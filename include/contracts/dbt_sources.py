"""The dbt sources, generated from the contracts: descriptions, and one test per table of what its contract promises.

A table whose contract is broken keeps the entry that it has, so that models which read it still build.

One test per table, because each test is a query of its own and takes its share of the build. It passes while the table
has not arrived. A table that files land in holds every version of a row, so its key is not unique and is not tested; a
table of an application arrives with its primary key. A test in tests/contracts fails when the files in dbt/ differ from
the contracts.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

from include import settings
from include.contracts import catalog_sources
from include.contracts.model import BrokenContract, Column, Contract, ContractError
from include.contracts.read import read_all
from include.contracts.source_file import described_tables, existing, generated_path, source_text, table_entry
from include.names import qualified, quoted, sql_text

HEADER = "# Made from include/contracts by `warehouse contract sources --write`: change the contract, not this.\n"
_SUFFIX = "__sources.yml"
METADATA = {
    "_file": "File that the row came in, below the landing root.",
    "_line": "Line of the file where the row starts, counted from 1.",
    "_loaded_at": "When the row was loaded, or, of a file that came late, just before what is newer than it; the newest"
    " version of a key has the greatest (_loaded_at, _file, _line).",
    "_xid": "Transaction that loaded the row, by which the transfer finds new rows.",
}


def conflicts(contracts: list[Contract]) -> list[str]:
    """Return which contracts can't be described by one dbt source, a sentence each: two for one table or name."""
    problems = []
    schemas: dict[str, Contract] = {}
    tables: dict[tuple[str, str], Contract] = {}
    for contract in contracts:
        first = schemas.setdefault(contract.source, contract)
        if first.schema != contract.schema:
            problems.append(
                f"{contract.file}: its table is in the schema {contract.schema}, that of {first.file.name} in"
                f" {first.schema}: a folder holds the contracts of one schema, so move one of them to another folder"
            )
            continue
        for key in {(contract.source, contract.dbt_name), (contract.schema, contract.table)}:
            other = tables.setdefault(key, contract)
            if other is not contract:
                problems.append(
                    f"{contract.file}: describes the table {qualified(contract.schema, contract.table)}, and"
                    f" {other.file} has it or its name already: remove one of them, or correct its physicalName"
                )
                break
    return problems


def sources(
    folder: Path | None = None, project: Path | None = None, target_uri: str | None = None
) -> dict[Path, str | None]:
    """Return the text of every generated file of the dbt project by its path, None for a file that has to go.

    Files that were made from a target's catalog are among them, as they have to be, where its URI is given. Without it
    those alone that describe a table which has a contract by now. Raises ContractError where contracts contradict each
    other, and what `include.postgres.session` raises.
    """
    folder, project = folder or settings.CONTRACTS, project or settings.DBT_PROJECT
    known = read_all(folder)
    contracts = list(known.readable)
    problems = conflicts(contracts)
    if problems:
        raise ContractError("\n".join(problems))
    of_nothing = [
        path for path in existing(project, _SUFFIX, HEADER) if not any(folder.glob(f"{path.parent.name}/*.yaml"))
    ]
    files: dict[Path, str | None] = dict.fromkeys(of_nothing)
    for source, group in groupby(
        sorted(known.every, key=lambda contract: contract.name), key=lambda contract: contract.source
    ):
        path = generated_path(project, source, _SUFFIX)
        files[path] = _source(source, list(group), _entries(path))
    every = read_all(folder, with_demo=True).every
    if target_uri is None:
        return files | catalog_sources.without_described(every, project)
    return files | catalog_sources.sources(target_uri, every, project)


def differing(folder: Path | None = None, project: Path | None = None, target_uri: str | None = None) -> list[Path]:
    """Return the files that do not hold what the contracts, and the catalog of a target, say now."""
    return _differing(sources(folder, project, target_uri))


def write(folder: Path | None = None, project: Path | None = None, target_uri: str | None = None) -> list[Path]:
    """Write the files that differ, remove those that have to go, and return the paths of both."""
    files = sources(folder, project, target_uri)
    changed = _differing(files)
    for path in changed:
        if path.is_file() and not path.read_text("utf-8").startswith("# Made from"):
            raise ContractError(f"{path}: was not generated, and is not overwritten: give it another name")
    for path in changed:
        text = files[path]
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return changed


def _differing(files: dict[Path, str | None]) -> list[Path]:
    return [path for path, text in files.items() if (path.read_text("utf-8") if path.is_file() else None) != text]


def _source(source: str, group: list[Contract | BrokenContract], entries: dict[str, dict[str, Any]]) -> str | None:
    """Return the text of a source's file, None where no table is left in it. `entries` are what it holds now."""
    tables = [
        entries.get(contract.name) if isinstance(contract, BrokenContract) else _entry(contract) for contract in group
    ]
    kept = [table for table in tables if table is not None]
    return source_text(HEADER, source, group[0].schema, kept) if kept else None


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    """Return the tables that a generated file describes now, by the names of their contracts."""
    return {table["config"]["meta"]["contract"]: table for table in described_tables(path, HEADER)}


def _entry(contract: Contract) -> dict[str, Any]:
    return {
        **table_entry(contract.dbt_name, contract.table),
        "description": contract.description,
        "config": {"meta": {"contract": contract.name, "owner": contract.owner}},
        **_test(contract),
        "columns": [
            *(_column(column) for column in contract.columns),
            *({"name": n, "description": d} for n, d in METADATA.items() if contract.is_landed),
        ],
    }


def _test(contract: Contract) -> dict[str, Any]:
    conditions = {f"{column.name} is there": _is_there(column) for column in contract.columns if column.required}
    for column in contract.columns:
        if column.spec.enum:
            values = ", ".join(sql_text(str(entry.value)) for entry in column.spec.enum)
            known = f"{quoted(column.name)}::text in ({values})"
            conditions[f"{column.name} is known"] = known if column.required else f"coalesce({known}, true)"
    name = f"{contract.source}__{contract.dbt_name}_keeps_its_contract"
    test = {"rows_satisfy": {"name": name, "arguments": {"conditions": conditions}}}
    return {"data_tests": [test]} if conditions else {}


def _is_there(column: Column) -> str:
    # A composite value is "not null" only where none of its fields is null, so it is compared in another way.
    if column.spec.logicalType == "object":
        return f"{quoted(column.name)} is distinct from null"
    return f"{quoted(column.name)} is not null"


def _column(column: Column) -> dict[str, Any]:
    described: dict[str, Any] = {"name": column.name, "description": column.description}
    if column.personal:
        described["config"] = {"meta": {"personal": column.personal}}
    return described
