"""The dbt sources, generated from the contracts: descriptions, and one test per table of what its contract promises.

One test per table, because each test is a query of its own and takes its share of the build. It passes while the table
has not arrived. A table that files land in holds every version of a row, so its key is not unique and is not tested; a
table of an application arrives with its primary key. A test in tests/contracts fails when the files in dbt/ differ from
the contracts.
"""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from include import settings
from include.contracts.model import Column, Contract, ContractError, read_contracts
from include.contracts.names import qualified, quoted

HEADER = "# Made from include/contracts by `warehouse contract sources --write`: change the contract, not this.\n"
METADATA = {
    "_file": "File that the row came in, below the landing root.",
    "_line": "Line of the file where the row starts, counted from 1.",
    "_loaded_at": "When the row was loaded; the newest version of a key has the greatest (_loaded_at, _file, _line).",
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


def sources(folder: Path = settings.CONTRACTS, project: Path = settings.DBT_PROJECT) -> dict[Path, str]:
    """Return the text of every file of the dbt project that follows from contracts, by its path.

    Raises ContractError where contracts contradict each other.
    """
    contracts = read_contracts(folder)
    problems = conflicts(contracts)
    if problems:
        raise ContractError("\n".join(problems))
    return {
        project / "models" / "staging" / source / f"_{source}__sources.yml": _source(source, list(group))
        for source, group in groupby(contracts, key=lambda contract: contract.source)
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


def source_text(header: str, source: str, schema: str, tables: list[dict[str, Any]]) -> str:
    """Return a dbt file that describes tables of the source `raw_<source>`, which are in the schema `raw_<schema>`."""
    described = {"name": settings.RAW_PREFIX + source, "schema": settings.RAW_PREFIX + schema, "tables": tables}
    document = _without_templates({"version": 2, "sources": [described]})
    return header + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def table_entry(name: str, table: str) -> dict[str, Any]:
    """Return the beginning of a table's entry: its name in dbt, and its real one where that is another."""
    return {"name": name} if name == table else {"name": name, "identifier": table}


def _source(source: str, group: list[Contract]) -> str:
    tables = [
        {
            **table_entry(contract.dbt_name, contract.table),
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
    return source_text(HEADER, source, group[0].schema, tables)


def _without_templates(value: Any) -> Any:
    """Return a document whose texts dbt's Jinja renders to what they say: a brace that opens a template is escaped."""
    if isinstance(value, dict):
        return {key: _without_templates(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_templates(each) for each in value]
    return re.sub(r"\{(?=[{%#])", "{{ '{' }}", value) if isinstance(value, str) else value


def _test(contract: Contract) -> dict[str, Any]:
    conditions = {f"{column.name} is there": _is_there(column) for column in contract.columns if column.required}
    for column in contract.columns:
        if column.spec.enum:
            values = ", ".join("'" + str(entry.value).replace("'", "''") + "'" for entry in column.spec.enum)
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
