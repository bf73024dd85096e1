"""Whether contracts keep to the standard, can be used, agree with the tables that exist and with the dbt sources."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path

import jsonschema_rs
import yaml
from croniter import croniter

from include import settings
from include.landing import dbt_sources
from include.landing.contracts import Contract, ContractError, read_contract
from include.landing.rows import RowSchema
from include.landing.tables import differences
from include.postgres import session

_ENGINES = ("jsonschema", "landing")


def check_contracts(
    source_uri: str | None, folder: Path = settings.CONTRACTS, project: Path = settings.DBT_PROJECT
) -> list[str]:
    """Return what is wrong with the contracts of a folder, a sentence each; nothing where all is well.

    Without a URI, and for a table that is not there yet, contracts are not compared with tables.
    """
    files = sorted(folder.glob("*/*.yaml"))
    found = {file: check_file(file) for file in files}
    problems = [problem for file in files for problem in found[file]]
    if source_uri is not None:
        with session(source_uri, "source_db") as connection:
            for contract in (read_contract(file) for file in files if not found[file]):
                _, differing = differences(connection, contract)
                problems += [f"{contract.file}: {difference}" for difference in differing]
    if not any(found.values()):
        problems += [
            f"{path}: differs from the contracts: run `python -m include contract sources --write`"
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
        RowSchema(contract)
    except (ContractError, jsonschema_rs.ValidationError, ValueError) as error:
        return [str(error) if str(file) in str(error) else f"{file}: {error}"]
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
