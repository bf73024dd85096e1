"""The dbt sources of tables in the target's raw schemas that no contract describes, generated from its catalog.

They stand in files of their own, beside those that follow from contracts, under the same names of sources. When a table
gets a contract, its entry leaves the catalog's file.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from include import settings
from include.contracts.catalog import CatalogTable, list_tables, reading, with_columns
from include.contracts.model import BrokenContract, Contract
from include.contracts.names import free_names
from include.contracts.source_file import dump, existing, generated_path, source_text, table_entry

HEADER = (
    "# Made from the catalog of target_db by `warehouse contract sources --write --from-catalog`: to say more of a\n"
    "# table, write its contract.\n"
)
_SUFFIX = "__catalog_sources.yml"


def sources(target_uri: str, contracts: Sequence[Contract | BrokenContract], project: Path) -> dict[Path, str | None]:
    """Return the text of each file by its path, None for a file that has to go."""
    with reading(target_uri, "target_db") as connection:
        raw = [t for t in list_tables(connection) if t.schema.startswith(settings.RAW_PREFIX) and not t.parent]
        tables = with_columns(connection, [table for table in raw if not table.is_view])
    described = _described(contracts)
    folders = _folders([table.schema for table in tables], contracts)
    files: dict[Path, str | None] = dict.fromkeys(existing(project, _SUFFIX, HEADER))
    for schema, group in groupby(tables, key=lambda table: table.schema):
        new = [table for table in group if (table.schema, table.name) not in described]
        if new:
            taken = {contract.dbt_name for contract in contracts if contract.source == folders[schema]}
            files[generated_path(project, folders[schema], _SUFFIX)] = _text(folders[schema], new, taken)
    return files


def without_described(contracts: Sequence[Contract | BrokenContract], project: Path) -> dict[Path, str | None]:
    """Return the files in which a table stands that has a contract by now, with the text that they should have.

    Needs no database.
    """
    described = _described(contracts)
    files: dict[Path, str | None] = {}
    for path in existing(project, _SUFFIX, HEADER):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        (source,) = document["sources"]
        kept = [t for t in source["tables"] if (source["schema"], t.get("identifier", t["name"])) not in described]
        if len(kept) < len(source["tables"]):
            source["tables"] = kept
            files[path] = HEADER + dump(document) if kept else None
    return files


def _described(contracts: Sequence[Contract | BrokenContract]) -> set[tuple[str, str]]:
    return {(settings.RAW_PREFIX + contract.schema, contract.table) for contract in contracts}


def _folders(raw_schemas: list[str], contracts: Sequence[Contract | BrokenContract]) -> dict[str, str]:
    """Return the folder of each raw schema: that of its contracts, else its folded name."""
    known = {settings.RAW_PREFIX + contract.schema: contract.source for contract in contracts}
    names = [schema.removeprefix(settings.RAW_PREFIX) for schema in raw_schemas if schema not in known]
    folded = free_names(set(names), names, known.values())
    return known | {settings.RAW_PREFIX + name: folder for name, folder in folded.items()}


def _text(source: str, tables: list[CatalogTable], taken: set[str]) -> str:
    names = free_names([table.name for table in tables], [table.name for table in tables], taken)
    entries = [_entry(names[table.name], table) for table in tables]
    return source_text(HEADER, source, tables[0].schema.removeprefix(settings.RAW_PREFIX), entries)


def _entry(name: str, table: CatalogTable) -> dict[str, Any]:
    columns = [{"name": column.name, **_description(column.comment)} for column in table.columns]
    return {**table_entry(name, table.name), **_description(table.comment), "columns": columns}


def _description(comment: str | None) -> dict[str, str]:
    return {"description": comment} if comment else {}
