"""Whether contracts keep to the standard, can be read, and agree with the dbt sources.

A stage that carries out a part of a contract brings a check of its own (see `StageCheck`): whether it can.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TypeAlias

import jsonschema_rs
import yaml
from croniter import croniter

from include import settings
from include.contracts import dbt_sources
from include.contracts.model import Contract, ContractError, read_contract

_ENGINES = ("jsonschema", "landing")

# Given all contracts that can be read, returns what the stage can't carry out of them, a sentence each.
StageCheck: TypeAlias = Callable[[list[Contract]], list[str]]


def check_contracts(
    stages: Sequence[StageCheck] = (), folder: Path | None = None, project: Path | None = None
) -> list[str]:
    """Return what is wrong with the contracts of a folder, a sentence each; nothing where all is well."""
    files = sorted((folder or settings.CONTRACTS).glob("*/*.yaml"))
    found = {file: check_file(file) for file in files}
    problems = [problem for file in files for problem in found[file]]
    readable = [read_contract(file) for file in files if not found[file]]
    for check in stages:
        problems += check(readable)
    if not any(found.values()):
        problems += [
            f"{path}: differs from the contracts: run `warehouse contract sources --write`"
            for path in dbt_sources.differing(folder, project)
        ]
    return problems


def check_file(file: Path) -> list[str]:
    """Return what is wrong with one contract, without a database."""
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        return [f"{file}: is no YAML: {error}"]
    document = json.loads(json.dumps(document, default=str))  # dates in YAML are text in JSON
    errors = [
        f"{file}: {'.'.join(map(str, error.instance_path)) or 'the contract'}: {error.message[:200]}"
        for error in _standard().iter_errors(document)
    ]
    if errors:
        return errors
    try:
        contract = read_contract(file)
    except ContractError as error:
        return [str(error)]
    return [f"{file}: {problem}" for problem in _problems(contract, document)]


def _problems(contract: Contract, document: dict[str, object]) -> list[str]:
    problems = []
    if document.get("id") != contract.name:
        problems.append(f"id: is {document.get('id')!r}, which should be {contract.name!r}, after folder and file")
    if contract.is_landed and not croniter.is_valid(contract.schedule or ""):
        problems.append(f"slaProperties: schedule: {contract.schedule!r} is no cron schedule such as '0 * * * *'")
    for column in contract.columns:
        if not column.description:
            problems.append(f"schema: {column.path}: has no description")
    for rule in contract.rules:
        if rule.engine not in _ENGINES:
            problems.append(f"quality: {rule.name}: engine is {rule.engine!r}, neither of {', '.join(_ENGINES)}")
    return problems


@cache
def _standard() -> jsonschema_rs.Draft201909Validator:
    schema = resources.files("open_data_contract_standard") / "schema.json"
    return jsonschema_rs.Draft201909Validator(json.loads(schema.read_text(encoding="utf-8")))
