"""Reading contracts: a YAML file of the Open Data Contract Standard becomes a `Contract`, or a `BrokenContract`.

`read_all()` opens no connection and takes milliseconds, because DAG files call it whenever they are parsed. A contract
that can't be read is a `BrokenContract` with its sentence, and stops nothing but its own dataset.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from croniter import croniter
from open_data_contract_standard.model import CustomProperty, OpenDataContractStandard, SchemaProperty

from include import settings
from include.contracts.dialect import read_dialect
from include.contracts.model import (
    DEFAULT_OWNER,
    DEFAULT_SCHEDULE,
    FORMATS,
    MAX_FETCH_BYTES,
    MAX_FETCH_SECONDS,
    MAX_ROW_BYTES,
    NO_KEY,
    BrokenContract,
    Column,
    Contract,
    ContractError,
    Contracts,
    Rule,
    custom,
    personal_kind,
)
from include.contracts.names import (
    DATASET_NAME,
    LANDING_COLUMNS,
    MAX_NAME_BYTES,
    SOURCE_NAME,
    SYSTEM_COLUMNS,
    first_free,
    fold,
)
from include.contracts.notation import Notation
from include.contracts.notation_check import server_notation
from include.contracts.options import unknown_format, unknown_options
from include.contracts.web import paging_of, token_of, web_problems
from include.readers import Dialect


def read_all(folder: Path | None = None, *, with_demo: bool | None = None) -> Contracts:
    """Return the contracts below a folder (include/contracts by default), those that can't be used among them.

    The demo's are left out where source_db is not the demo's, unless `with_demo` says otherwise. Of two landed datasets
    whose DAGs would have one id, the second is broken.
    """
    readable, broken = [], []
    for file in sorted((folder or settings.CONTRACTS).glob("*/*.yaml")):
        try:
            readable.append(read_contract(file))
        except ContractError as error:
            broken.append(_broken(file, str(error)))
    pipelines: dict[str, Contract] = {}
    for contract in [contract for contract in readable if contract.is_landed]:
        other = pipelines.setdefault(contract.pipeline, contract)
        if other is not contract:
            readable.remove(contract)
            problem = (
                f"{contract.file}: its DAG would be called {contract.pipeline}, as that of {other.file} is: rename the"
                " folder or the dataset"
            )
            broken.append(_broken(contract.file, problem))
    taken = set(pipelines)
    schemas = {contract.source: contract.schema for contract in readable}
    broken = [replace(b, schema=schemas.get(b.source, b.schema)) for b in broken]  # a folder's tables are in one schema
    for place, each in enumerate(broken):
        free = first_free(f"land_{fold(each.source)}_{each.dbt_name}", taken)
        taken.add(free)
        broken[place] = replace(each, pipeline=free)
    is_with_demo = settings.WITH_DEMO if with_demo is None else with_demo
    return Contracts(
        sorted((c for c in readable if is_with_demo or not c.is_demo), key=lambda contract: contract.name),
        sorted((b for b in broken if is_with_demo or not b.is_demo), key=lambda contract: contract.name),
    )


def read_contracts(folder: Path | None = None, *, with_demo: bool | None = None) -> list[Contract]:
    """Return the contracts below a folder that can be used. `read_all` returns the broken ones as well."""
    return list(read_all(folder, with_demo=with_demo).readable)


def read_contract(file: Path) -> Contract:
    """Return the contract in one YAML file. Raises ContractError, naming the file and the place."""
    try:
        parsed = _parsed(file)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"{file}: is no YAML that can be read: {error}") from None
    except OSError as error:
        raise ContractError(f"{file}: can't be read ({error.strerror})") from None
    try:
        document = OpenDataContractStandard.model_validate(parsed)
    except ValueError as error:  # pydantic's: nothing of this project runs in there
        raise ContractError(f"{file}: {error}") from None
    return _contract(document, file)


def _parsed(file: Path) -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # written in C, and ten times as fast
    return yaml.load(file.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506


def _broken(file: Path, problem: str) -> BrokenContract:
    """Return what a file tells of its dataset although it is no contract that can be used."""
    try:
        document = _parsed(file)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, OSError):
        document = None
    said = document if isinstance(document, dict) else {}
    servers = [server for server in _list(said, "servers") if isinstance(server, dict)]
    table = next((table for table in _list(said, "schema") if isinstance(table, dict)), {})
    schedules = [sla.get("schedule") for sla in _list(said, "slaProperties") if isinstance(sla, dict)]
    is_landed = not servers or any(server.get("server") == "landing" for server in servers)
    schemas = [server["schema"] for server in servers if not is_landed and isinstance(server.get("schema"), str)]
    name = table.get("physicalName")
    return BrokenContract(
        source=file.parent.name,
        dataset=file.stem,
        file=file,
        problem=problem,
        schema=next(iter(schemas), file.parent.name),
        table=name if isinstance(name, str) and name else file.stem.replace("-", "_"),
        schedule=next((s for s in schedules if isinstance(s, str) and croniter.is_valid(s)), DEFAULT_SCHEDULE),
        pipeline="",  # given by `read_all`, which knows those that are taken
        is_landed=is_landed,
        is_demo="demo" in _list(said, "tags"),
    )


def _list(document: dict[Any, Any], name: str) -> list[Any]:
    value = document.get(name)
    return value if isinstance(value, list) else []


def _contract(document: OpenDataContractStandard, file: Path) -> Contract:
    if not (SOURCE_NAME.fullmatch(file.parent.name) and DATASET_NAME.fullmatch(file.stem)):
        raise ContractError(
            f"{file}: a contract is called <source>/<dataset>.yaml, in small letters, digits and _ (a dataset also -)"
        )
    tables = document.schema_ or []
    if len(tables) != 1:
        raise ContractError(f"{file}: schema: one table per contract, this one has {len(tables)}")
    table = tables[0]
    landing = next((s for s in document.servers or [] if s.server == "landing"), None)
    properties = tuple(table.properties or ())
    columns = tuple(_columns(properties, (), required=True, file=file))
    _check_names(columns, table.physicalName or "", is_landed=landing is not None, file=file)
    if landing is not None and landing.format not in FORMATS:
        raise ContractError(f"{file}: servers: format: {unknown_format(landing.format)}")
    problems = list(unknown_options(document, landing))
    if landing is not None and not problems:
        problems = [f"servers: {problem}" for problem in web_problems(landing)]
    if problems:
        raise ContractError("\n".join(f"{file}: {problem}" for problem in problems))
    url_setting = custom(landing.customProperties, "urlSetting") if landing else None
    if url_setting and landing and (landing.path or "").partition(".zip!")[0].count("*") != 1:
        raise ContractError(f"{file}: servers: path: needs one *, where the time of a fetch is put")
    if landing is not None and (not landing.path or {"", ".", ".."} & set(landing.path.split("/"))):
        raise ContractError(f"{file}: servers: path: {landing.path!r} is no path below the landing root")
    without_key = custom(document.customProperties, "withoutKey")
    if landing is not None and not without_key and not any(column.is_key for column in columns):
        raise ContractError(
            f"{file}: schema: {NO_KEY}, which tells versions of a row apart: give it to the properties that do, or say"
            " under customProperties what becomes of rows without a key: withoutKey: replaceFile or append"
        )
    try:
        dialect = read_dialect(landing, properties) if landing else Dialect(missing_values=())
        notation = server_notation(landing) if landing else Notation(())
    except ValueError as error:
        raise ContractError(f"{file}: servers: {error}") from None
    schedule = next((p.schedule for p in document.slaProperties or [] if p.schedule), None)
    if landing is not None and schedule is not None and not croniter.is_valid(schedule):
        raise ContractError(f"{file}: slaProperties: schedule: {schedule!r} is no cron schedule such as '0 * * * *'")
    description = document.description
    limits, fetch_limits = document.customProperties, landing.customProperties if landing else None
    return Contract(
        source=file.parent.name,
        dataset=file.stem,
        schema=_schema(document, file),
        table=table.physicalName or file.stem.replace("-", "_"),
        schedule=schedule,
        description=" ".join(filter(None, [description.purpose, description.usage, description.limitations]))
        if description
        else table.description or "",
        owner=getattr(document.team, "name", None) or DEFAULT_OWNER,
        columns=columns,
        properties=properties,
        rules=tuple(
            Rule(q.name or "unnamed", q.engine or "", q.description or q.name or "", dict(q.implementation))
            for q in table.quality or []
            if isinstance(q.implementation, dict)
        ),
        path=landing.path if landing else None,
        format=(landing.format if landing else None) or "json",
        dialect=dialect,
        notation=notation,
        encoding=(landing.encoding if landing else None) or "UTF-8",
        url_setting=url_setting,
        token=token_of(landing) if landing else None,
        paging=paging_of(landing) if landing else None,
        max_bad_rows=int(_limit(limits, "maxBadRows", 0, file)),
        max_bad_percent=_limit(limits, "maxBadPercent", 10, file),
        max_row_bytes=int(_limit(limits, "maxRowBytes", MAX_ROW_BYTES, file)),
        max_bytes=int(_limit(fetch_limits, "maxBytes", MAX_FETCH_BYTES, file)),
        max_seconds=_limit(fetch_limits, "maxSeconds", MAX_FETCH_SECONDS, file),
        file=file,
        tags=tuple(document.tags or ()),
        delivery_order=custom(landing.customProperties, "deliveryOrder", "name") if landing else "name",
        without_key=without_key if landing else None,
        sheet=custom(landing.customProperties, "sheet") if landing else None,
        header_row=custom(landing.customProperties, "headerRow", 1) if landing else 1,
    )


def _check_names(columns: tuple[Column, ...], table: str, *, is_landed: bool, file: Path) -> None:
    """Raise ContractError for a column that no table could have, or that two properties would share."""
    places: dict[str, str] = {}
    reserved = SYSTEM_COLUMNS | LANDING_COLUMNS if is_landed else SYSTEM_COLUMNS
    for column in columns:
        if column.name in places:
            raise ContractError(
                f"{file}: schema: two properties share a column: {places[column.name]} and {column.path} are both"
                f" {column.name}: give one another physicalName"
            )
        places[column.name] = column.path
        if column.name in reserved:
            owner = "Postgres" if column.name in SYSTEM_COLUMNS else "landing"
            raise ContractError(
                f"{file}: schema: {column.path}: {owner} has a column {column.name} of its own: give the property"
                f" another physicalName, such as {column.name.strip('_')}_column"
            )
        if len(column.name.encode()) > MAX_NAME_BYTES:
            raise ContractError(
                f"{file}: schema: {column.path}: its column has a name of {len(column.name.encode())} bytes, and"
                f" Postgres takes {MAX_NAME_BYTES}: give the property a shorter physicalName"
            )
    view_bytes = len(f"{table}_current".encode())
    if is_landed and view_bytes > MAX_NAME_BYTES:
        raise ContractError(
            f"{file}: schema: physicalName: {table}_current, the view of the newest rows, would have a name of"
            f" {view_bytes} bytes, and Postgres takes {MAX_NAME_BYTES}: give the table a shorter one"
        )


def _limit(properties: list[CustomProperty] | None, name: str, default: float, file: Path) -> float:
    """Return a limit, which is a number from 0 up. Raises ContractError for anything else."""
    value = custom(properties, name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ContractError(f"{file}: customProperties: {name}: {value!r} is no number from 0 up")
    return value


def _schema(document: OpenDataContractStandard, file: Path) -> str:
    servers = document.servers or []
    if any(server.server == "landing" for server in servers):
        return file.parent.name
    return next((str(server.schema_) for server in servers if server.schema_), file.parent.name)


def _columns(
    properties: tuple[SchemaProperty, ...], above: tuple[str, ...], *, required: bool, file: Path
) -> Iterator[Column]:
    for prop in properties:
        if not prop.name:
            raise ContractError(f"{file}: schema: a property of {'.'.join(above) or 'the row'} has no name")
        source = (*above, prop.name)
        if prop.logicalType == "object" and not prop.physicalType:
            inner = required and bool(prop.required)
            yield from _columns(tuple(prop.properties or ()), source, required=inner, file=file)
            continue
        if not prop.physicalType:
            raise ContractError(f"{file}: {'.'.join(source)}: no physicalType, the Postgres type of its column")
        yield Column(
            name=prop.physicalName or prop.name.replace("-", "_"),
            type=prop.physicalType,
            source=source,
            spec=prop,
            required=required and bool(prop.required),
            is_key=bool(prop.primaryKey),
            personal=personal_kind(prop),
        )
