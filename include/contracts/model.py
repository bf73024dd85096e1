"""Data contracts: one YAML file per dataset, in the Open Data Contract Standard, read into what the stages use.

`read_contracts()` opens no connection and takes milliseconds, because DAG files call it whenever they are parsed.
The file include/contracts/<source>/<dataset>.yaml describes the row as it arrives; `physicalName` and `physicalType`
say which column of which table holds a value. An object without a physicalType has no column itself: its properties
have. An array or object with one (jsonb) is one column.

A dataset with a server called `landing` is landed. Any other is a table that an application owns; its server says which
schema the table is in, where that is not called like the folder.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

import yaml
from open_data_contract_standard.model import CustomProperty, OpenDataContractStandard, SchemaProperty

from include import settings
from include.contracts.names import fold
from include.errors import FinalError
from include.names import spelled

# Limits of a contract that names none.
MAX_ROW_BYTES = 16 * 1024 * 1024  # of one line of a file
MAX_FETCH_BYTES = 4 * 1024**3
MAX_FETCH_SECONDS = 1800.0


class ContractError(FinalError):
    """A contract can't be used. The message names the file, the place in it and what to write there."""


@dataclass(frozen=True)
class Column:
    """A column of the table, and the place of its value in an arriving row."""

    name: str
    type: str
    source: tuple[str, ...]
    spec: SchemaProperty
    required: bool
    is_key: bool
    personal: str | None  # kind of personal value: email, first_name, pseudonym, ...; None where it is not personal

    @property
    def description(self) -> str:
        return self.spec.description or ""

    @property
    def path(self) -> str:
        """The place of the value in the row, as people write it: purchases.total_cost."""
        return ".".join(self.source)


@dataclass(frozen=True)
class Rule:
    """A rule about several values of a row: a JSON schema, or a sum of products that must equal a total."""

    name: str
    engine: str
    description: str
    implementation: dict[str, Any]


@dataclass(frozen=True)
class Contract:
    """What a valid row of one dataset is, where its files come from, how often, and which table holds it."""

    source: str
    dataset: str
    schema: str  # of the table in source_db: the folder's name, or what an application's server says
    table: str
    schedule: str | None  # cron, UTC
    description: str
    owner: str
    columns: tuple[Column, ...]
    properties: tuple[SchemaProperty, ...]
    rules: tuple[Rule, ...]
    path: str | None  # glob below the landing root; None for a table that an application owns
    format: str  # json (one object a line) or csv
    delimiter: str
    url_setting: str | None  # the setting that holds the URL, for a dataset that is fetched
    max_bad_rows: int
    max_bad_percent: float
    max_row_bytes: int
    max_bytes: int  # of what a URL gives
    max_seconds: float  # for fetching it
    file: Path
    tags: tuple[str, ...] = ()

    @property
    def is_demo(self) -> bool:
        """Whether the dataset belongs to the demo, which its tags say."""
        return "demo" in self.tags

    @property
    def name(self) -> str:
        """<source>.<dataset>, the dataset's name in commands, logs and landing.files."""
        return f"{self.source}.{self.dataset}"

    @property
    def dbt_name(self) -> str:
        """The table's name in its dbt source: its own, or the dataset's where its own is an odd one."""
        return self.table if fold(self.table) == self.table else self.dataset.replace("-", "_")

    @property
    def key(self) -> tuple[str, ...]:
        """Names of the key's columns, in the contract's order of the key."""
        keyed = [column for column in self.columns if column.is_key]
        return tuple(c.name for c in sorted(keyed, key=lambda c: c.spec.primaryKeyPosition or 0))

    @property
    def is_landed(self) -> bool:
        """Whether files of this dataset are landed; False for a table that an application owns."""
        return self.path is not None


def read_contracts(folder: Path | None = None, *, with_demo: bool | None = None) -> list[Contract]:
    """Return the contracts below a folder (include/contracts by default), sorted by name.

    The demo's are left out where source_db is not the demo's, unless `with_demo` says otherwise. Raises ContractError
    for the first that can't be used.
    """
    found = [read_contract(file) for file in (folder or settings.CONTRACTS).glob("*/*.yaml")]
    is_with_demo = settings.WITH_DEMO if with_demo is None else with_demo
    return sorted((c for c in found if is_with_demo or not c.is_demo), key=lambda contract: contract.name)


def select(names: list[str], among: list[Contract]) -> list[Contract]:
    """Return the landed contracts of the names, each SOURCE or SOURCE.DATASET; all of them where no name is given.

    Raises ContractError for a name that no landed contract has.
    """
    landed = [contract for contract in among if contract.is_landed]
    for name in names:
        if not any(name in (contract.source, contract.name) for contract in landed):
            raise ContractError(
                f"{name}: no contract lands such a source or dataset; there are "
                + ", ".join(contract.name for contract in landed)
            )
    return [contract for contract in landed if not names or {contract.source, contract.name} & set(names)]


def source_tables(contracts: Iterable[Contract]) -> list[str]:
    """Return shell patterns of the tables that the project moves from source_db.

    They are those of the setting TRANSFER_TABLES, else those of every contract's source, else all.
    """
    return settings.TRANSFER_TABLES or sorted({escape(spelled(c.schema)) + ".*" for c in contracts}) or ["*"]


def read_contract(file: Path) -> Contract:
    """Return the contract in one YAML file. Raises ContractError, naming the file and the place."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # written in C, and ten times as fast
    try:
        parsed = yaml.load(file.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ContractError(f"{file}: is no YAML that can be read: {error}") from None
    try:
        document = OpenDataContractStandard.model_validate(parsed)
    except ValueError as error:  # pydantic's: nothing of this project runs in there
        raise ContractError(f"{file}: {error}") from None
    return _contract(document, file)


def custom(properties: list[CustomProperty] | None, name: str, default: Any = None) -> Any:
    """Return the value of a custom property of the standard, or the default."""
    return next((p.value for p in properties or [] if p.property == name), default)


def personal_kind(spec: SchemaProperty) -> str | None:
    """Return the kind of personal value that a property is marked as, None where it is not personal."""
    return custom(spec.customProperties, "personal", "other" if spec.classification == "personal" else None)


def holds_personal(spec: SchemaProperty) -> bool:
    """Return whether a property is personal, or something in the object or list that it is."""
    inner = [*(spec.properties or []), *([spec.items] if spec.items else [])]
    return personal_kind(spec) is not None or any(map(holds_personal, inner))


def arrives_as_text(spec: SchemaProperty, is_csv: bool) -> bool:
    """Return whether files hold the value as text, as a CSV does with all values."""
    return (
        is_csv
        or spec.logicalType in ("string", "date", "timestamp")
        or custom(spec.customProperties, "arrivesAs") == "string"
    )


def _contract(document: OpenDataContractStandard, file: Path) -> Contract:
    tables = document.schema_ or []
    if len(tables) != 1:
        raise ContractError(f"{file}: schema: one table per contract, this one has {len(tables)}")
    table = tables[0]
    properties = tuple(table.properties or ())
    columns = tuple(_columns(properties, (), required=True, file=file))
    if len({column.name for column in columns}) != len(columns):
        raise ContractError(f"{file}: schema: two properties share a column; give one another physicalName")
    landing = next((s for s in document.servers or [] if s.server == "landing"), None)
    if landing is not None and landing.format not in ("json", "csv"):
        raise ContractError(f"{file}: servers: format: {landing.format!r} is neither json nor csv")
    url_setting = custom(landing.customProperties, "urlSetting") if landing else None
    if url_setting and landing and (landing.path or "").count("*") != 1:
        raise ContractError(f"{file}: servers: path: needs one *, where the time of a fetch is put")
    if landing is not None and (not landing.path or {"", ".", ".."} & set(landing.path.split("/"))):
        raise ContractError(f"{file}: servers: path: {landing.path!r} is no path below the landing root")
    if landing is not None and not any(column.is_key for column in columns):
        raise ContractError(f"{file}: schema: no property has primaryKey, which tells versions of a row apart")
    description = document.description
    limits, fetch_limits = document.customProperties, landing.customProperties if landing else None
    return Contract(
        source=file.parent.name,
        dataset=file.stem,
        schema=_schema(document, file),
        table=table.physicalName or file.stem.replace("-", "_"),
        schedule=next((p.schedule for p in document.slaProperties or [] if p.schedule), None),
        description=" ".join(filter(None, [description.purpose, description.usage, description.limitations]))
        if description
        else table.description or "",
        owner=getattr(document.team, "name", None) or "data",
        columns=columns,
        properties=properties,
        rules=tuple(
            Rule(q.name or "unnamed", q.engine or "", q.description or q.name or "", dict(q.implementation))
            for q in table.quality or []
            if isinstance(q.implementation, dict)
        ),
        path=landing.path if landing else None,
        format=(landing.format if landing else None) or "json",
        delimiter=(landing.delimiter if landing else None) or ",",
        url_setting=url_setting,
        max_bad_rows=int(_limit(limits, "maxBadRows", 0, file)),
        max_bad_percent=_limit(limits, "maxBadPercent", 10, file),
        max_row_bytes=int(_limit(limits, "maxRowBytes", MAX_ROW_BYTES, file)),
        max_bytes=int(_limit(fetch_limits, "maxBytes", MAX_FETCH_BYTES, file)),
        max_seconds=_limit(fetch_limits, "maxSeconds", MAX_FETCH_SECONDS, file),
        file=file,
        tags=tuple(document.tags or ()),
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
