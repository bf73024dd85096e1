"""First contracts for tables that exist in source_db, drafted from its catalog, for a person to read and complete.

Nothing is read from the tables and nothing is written to the source.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from include.contracts.catalog import CatalogColumn, CatalogTable, list_tables, reading, with_columns
from include.contracts.check import check_file
from include.contracts.draft import draft_head
from include.contracts.model import BrokenContract, Contract, ContractError
from include.contracts.names import free_names, matches, names_exactly
from include.contracts.personal import guess_personal
from include.contracts.read import read_all
from include.contracts.types import logical_type

_NAMES_SHOWN = 20


@dataclass
class TableDrafts:
    """What was drafted, and what a person should know of it, a sentence each."""

    written: list[Path] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def write_table_drafts(patterns: list[str], source_uri: str, folder: Path) -> TableDrafts:
    """Draft a contract for each table that a pattern of schema.table means, and that no contract describes yet.

    A pattern means tables and partitioned tables, never a partition; a view has to be named exactly. Raises
    ContractError, and writes nothing, where a pattern means no table.
    """
    known = read_all(folder, with_demo=True).every
    described = {(contract.schema, contract.table): contract for contract in known}
    with reading(source_uri, "source_db") as connection:
        everything = list_tables(connection)
        chosen = _choose(patterns, everything)
        new = with_columns(connection, [table for table in chosen if (table.schema, table.name) not in described])
    texts = _draft_all(new, everything, known)
    _check(texts)
    drafts = TableDrafts(warnings=[warning for table in new for warning in _warnings(table)])
    for table in chosen:
        if (table.schema, table.name) in described:
            file = described[table.schema, table.name].file
            drafts.left_alone.append(f"{file} describes {table.full_name} already, and is left alone")
    for name, text in texts.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:  # a file of this name is never replaced
            stream.write(text)
        drafts.written.append(file)
    return drafts


def _choose(patterns: list[str], tables: list[CatalogTable]) -> list[CatalogTable]:
    chosen = {}
    for pattern in patterns:
        exact = [table for table in tables if names_exactly(table.schema, table.name, pattern)]
        found = exact or [
            table
            for table in tables
            if matches(table.schema, table.name, pattern) and not table.is_view and not table.parent
        ]
        if not found:
            raise ContractError(_no_table(pattern, tables))
        for table in found:
            if table.parent:
                raise ContractError(f"{table.full_name} is a partition of {table.parent}: give that name instead")
            chosen[table.oid] = table
    return sorted(chosen.values(), key=lambda table: (table.schema, table.name))


def _no_table(pattern: str, tables: list[CatalogTable]) -> str:
    views = [table.full_name for table in tables if table.is_view and matches(table.schema, table.name, pattern)]
    if views:
        return f"--table {pattern} means views alone, which have to be named one by one: {_shortened(views)}"
    names = [table.full_name for table in tables if not table.parent and not table.is_view]
    there = f"there are {_shortened(names)}" if names else "it has none"
    return f"no table of source_db is meant by --table {pattern}, a pattern of schema.table: {there}"


def _shortened(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def _warnings(table: CatalogTable) -> list[str]:
    warnings = []
    if table.is_view:
        warnings.append(
            f"{table.full_name} is a view: it has no key, so its contract names none, and it moves only with"
            " `warehouse transfer --views`"
        )
    if not table.readable:
        warnings.append(
            f"{table.full_name}: the connection's user may not read it: the contract is drafted from the catalog, but"
            " the table can't be transferred until the user has the rights to use its schema and to select from it"
        )
    return warnings


def _draft_all(
    new: list[CatalogTable], everything: list[CatalogTable], known: list[Contract | BrokenContract]
) -> dict[str, str]:
    """Return the text of each contract by its file's name below the folder."""
    sources = {contract.schema: contract.source for contract in known}
    schemas = {table.schema for table in everything}
    missing = {table.schema for table in new} - sources.keys()
    sources |= free_names(missing, schemas, {contract.source for contract in known})
    by_schema = defaultdict(list)
    for table in new:
        by_schema[table.schema].append(table)
    texts = {}
    for schema, tables in by_schema.items():
        source = sources[schema]
        own = [contract for contract in known if contract.source == source]
        taken = {contract.dataset.replace("-", "_") for contract in own} | {contract.dbt_name for contract in own}
        among = [table.name for table in everything if table.schema == schema]
        datasets = free_names([table.name for table in tables], among, taken)
        for table in tables:
            dataset = datasets[table.name]
            texts[f"{source}/{dataset}.yaml"] = draft_table(source, dataset, table)
    return texts


def _check(texts: dict[str, str]) -> None:
    """Raise ContractError where a draft would not be a contract that can be read."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            file = Path(folder, name)
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
            problems = check_file(file)
            if problems:
                raise ContractError("\n".join(problem.replace(f"{folder}/", "") for problem in problems))


def draft_table(source: str, dataset: str, table: CatalogTable) -> str:
    """Return the text of a contract for a table. What the catalog does not tell is a TODO."""
    names = [column.name for column in table.columns]
    properties = free_names(names, names)
    about = (table.name, *names)
    document: dict[str, Any] = {
        **draft_head(source, dataset),
        "servers": [
            {
                "server": "application",
                "type": "custom",
                "database": "source_db",
                "schema": table.schema,
                "description": "An application writes this table; nothing is landed.",
            }
        ],
        "schema": [
            {
                "name": dataset,
                "physicalName": table.name,
                "physicalType": "view" if table.is_view else "table",
                "logicalType": "object",
                "description": table.comment or "TODO: what one row is.",
                "properties": [_property(properties[column.name], column, about) for column in table.columns],
            }
        ],
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def _property(name: str, column: CatalogColumn, about: tuple[str, ...]) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name}
    if column.name != name:
        made["physicalName"] = column.name
    logical = logical_type(column.shape)
    made |= {"logicalType": logical.pop("logicalType"), "physicalType": column.type}
    if column.key_position:
        made |= {"primaryKey": True, "primaryKeyPosition": column.key_position}
    if column.required:
        made["required"] = True
    made |= logical
    personal = None if "enum" in made else guess_personal(column.name, made["logicalType"], about)
    if personal:
        made["classification"] = "personal"
        made["customProperties"] = [{"property": "personal", "value": personal}]
    made["description"] = column.comment or "TODO"
    return made
