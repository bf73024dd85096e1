"""Whether contracts keep to the standard, can be read, and agree with the dbt sources.

A stage that carries out a part of a contract brings a check of its own (see `StageCheck`): whether it can.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

import jsonschema_rs
import yaml

from include import settings
from include.contracts import dbt_sources
from include.contracts.model import Contract, ContractError
from include.contracts.read import read_all, read_contract

_ENGINES = ("jsonschema", "landing")
_DATA = ("examples", "name", "physicalName")  # rows and names of tables may hold any text, TODO included

# Given all contracts that can be read, returns what the stage can't carry out of them, a sentence each.
StageCheck: TypeAlias = Callable[[list[Contract]], list[str]]


def check_contracts(
    stages: Sequence[StageCheck] = (),
    folder: Path | None = None,
    project: Path | None = None,
    *,
    allow_todo: bool = False,
) -> list[str]:
    """Return what is wrong with the contracts of a folder, a sentence each; nothing where all is well.

    With `allow_todo`, a TODO that is left in a contract is nothing wrong.
    """
    files = sorted((folder or settings.CONTRACTS).glob("*/*.yaml"))
    found = {file: check_file(file) for file in files}
    problems = [problem for file in files for problem in found[file]]
    contracts = read_all(folder)
    problems += [broken.problem for broken in contracts.broken if not found[broken.file]]
    readable = [contract for contract in contracts.readable if not found[contract.file]]
    if not allow_todo:
        problems += [problem for contract in readable for problem in _todos(contract.file)]
    for check in stages:
        problems += check(readable)
    contradictions = dbt_sources.conflicts(sorted(readable, key=lambda contract: contract.name))
    problems += contradictions
    if not contradictions:
        problems += [
            f"{path}: differs from the contracts: run `warehouse contract sources --write`"
            for path in dbt_sources.differing(folder, project)
        ]
    return problems


def check_file(file: Path) -> list[str]:
    """Return what is wrong with one contract, without a database."""
    try:
        document = _read(file)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, OSError):
        return _unreadable(file)
    errors = [
        f"{file}: {'.'.join(map(str, error.instance_path)) or 'the contract'}: {error.message[:200]}"
        for error in _standard().iter_errors(document)
    ]
    if errors:
        return errors
    return _unreadable(file) or [f"{file}: {problem}" for problem in _problems(read_contract(file), document)]


def _unreadable(file: Path) -> list[str]:
    try:
        read_contract(file)
    except ContractError as error:
        return [str(error)]
    return []


def _read(file: Path) -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # written in C, and ten times as fast
    document = yaml.load(file.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506
    return json.loads(json.dumps(document, default=str))  # dates in YAML are text in JSON


def _todos(file: Path) -> list[str]:
    places = list(_places_to_do(_read(file)))
    if not places:
        return []
    return [f"{file}: a TODO is left in {', '.join(places)}: write there what is true, or pass --allow-todo"]


def _places_to_do(value: Any, place: str = "") -> Iterator[str]:
    """Yield the place of every text that is TODO or begins with "TODO:", such as schema.orders.description."""
    if isinstance(value, dict):
        for key, each in value.items():
            is_data = place.startswith("schema") and (key in _DATA or (key == "value" and ".enum." in place))
            if not is_data:
                yield from _places_to_do(each, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            name = each.get("name", number) if isinstance(each, dict) else number
            yield from _places_to_do(each, f"{place}.{name}")
    elif isinstance(value, str) and (value.strip() == "TODO" or value.startswith("TODO:")):
        yield place


def _problems(contract: Contract, document: dict[str, object]) -> list[str]:
    problems = []
    if contract.is_landed and not contract.schedule:
        problems.append("slaProperties: schedule: None is no cron schedule such as '0 * * * *'")
    if document.get("id") != contract.name:
        problems.append(f"id: is {document.get('id')!r}, which should be {contract.name!r}, after folder and file")
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
