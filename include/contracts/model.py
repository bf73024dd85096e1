"""Data contracts: one YAML file per dataset, in the Open Data Contract Standard, and what the stages use of it.

The file include/contracts/<source>/<dataset>.yaml describes the row as it arrives; `physicalName` and `physicalType`
say which column of which table holds a value. An object without a physicalType has no column itself: its properties
have. An array or object with one (jsonb) is one column.

A dataset with a server called `landing` is landed. Any other is a table that an application owns; its server says which
schema the table is in, where that is not called like the folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from open_data_contract_standard.model import CustomProperty, SchemaProperty

from include import settings
from include.contracts.names import (
    fold,
)
from include.contracts.notation import Notation
from include.contracts.web import Paging, Token
from include.errors import FinalError
from include.names import spelled
from include.readers import Dialect

# Limits of a contract that names none.
MAX_ROW_BYTES = 16 * 1024 * 1024  # of one line of a file
MAX_FETCH_BYTES = 4 * 1024**3
MAX_FETCH_SECONDS = 1800.0
FORMATS = ("json", "csv", "parquet", "xlsx")
TABLE_FORMATS = ("parquet", "xlsx")
DEFAULT_SCHEDULE = "0 0 * * *"  # of a draft, and of a contract that can't be read
DEFAULT_OWNER = "data-platform"  # of what no contract names a team for

# Said of a landed contract without a key: a draft has none where its sample shows none.
NO_KEY = "no property has primaryKey"


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
    owner: str  # the contract's team
    columns: tuple[Column, ...]
    properties: tuple[SchemaProperty, ...]
    rules: tuple[Rule, ...]
    path: str | None  # glob below the landing root; None for a table that an application owns
    format: str  # json, csv, parquet or xlsx
    dialect: Dialect  # of CSV
    notation: Notation  # of values, where their property says nothing else
    encoding: str  # as Python calls it
    url_setting: str | None  # the setting that holds the URL, for a dataset that is fetched
    token: Token | None  # the secret that its server wants
    paging: Paging | None  # where its answer has several pages
    max_bad_rows: int
    max_bad_percent: float
    max_row_bytes: int
    max_bytes: int  # of what a URL gives, and of what a zip, a packed table or a workbook holds unpacked
    max_seconds: float  # for fetching it
    file: Path
    tags: tuple[str, ...] = ()
    delivery_order: str = "name"  # what orders deliveries: name, modified, or a pattern with one group of the path
    without_key: str | None = None  # of a dataset without a key: replaceFile or append
    sheet: str | None = None  # of a workbook; None where it has but one
    header_row: int = 1

    @property
    def is_table_file(self) -> bool:
        """Whether its files are tables with types, Parquet or workbooks, and no text."""
        return self.format in TABLE_FORMATS

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
    def pipeline(self) -> str:
        """The id of the DAG that lands the dataset."""
        return f"land_{self.source}_{self.dbt_name}"

    @property
    def key(self) -> tuple[str, ...]:
        """Names of the key's columns, in the contract's order of the key."""
        keyed = [column for column in self.columns if column.is_key]
        return tuple(c.name for c in sorted(keyed, key=lambda c: c.spec.primaryKeyPosition or 0))

    @property
    def is_landed(self) -> bool:
        """Whether files of this dataset are landed; False for a table that an application owns."""
        return self.path is not None


@dataclass(frozen=True)
class BrokenContract:
    """A contract that can't be used: the sentence that says why, and what can be told of its table all the same."""

    source: str
    dataset: str
    file: Path
    problem: str
    schema: str
    table: str
    schedule: str  # that of the file, where it can be read
    pipeline: str  # the id of the DAG that fails with the sentence; no other dataset's DAG has it
    is_landed: bool
    is_demo: bool

    @property
    def name(self) -> str:
        """<source>.<dataset>."""
        return f"{self.source}.{self.dataset}"

    @property
    def dbt_name(self) -> str:
        """The table's name in its dbt source, see `Contract.dbt_name`."""
        return self.table if fold(self.table) == self.table else fold(self.dataset)


@dataclass(frozen=True)
class Contracts:
    """The contracts of a folder, each part sorted by name."""

    readable: Sequence[Contract]
    broken: Sequence[BrokenContract]

    @property
    def every(self) -> list[Contract | BrokenContract]:
        """Both, the broken ones behind the others."""
        return [*self.readable, *self.broken]


def select(names: list[str], among: Contracts) -> Contracts:
    """Return the landed contracts of the names, each SOURCE or SOURCE.DATASET; all of them where no name is given.

    Raises ContractError for a name that no landed contract has.
    """
    landed = [contract for contract in among.readable if contract.is_landed]
    broken = [contract for contract in among.broken if contract.is_landed]
    known: list[Contract | BrokenContract] = [*landed, *broken]
    for name in names:
        if not any(name in (contract.source, contract.name) for contract in known):
            raise ContractError(
                f"{name}: no contract lands such a source or dataset; there are "
                + ", ".join(sorted(contract.name for contract in known))
            )
    return Contracts(
        [contract for contract in landed if not names or {contract.source, contract.name} & set(names)],
        [contract for contract in broken if not names or {contract.source, contract.name} & set(names)],
    )


def source_tables(contracts: Iterable[Contract | BrokenContract]) -> list[str]:
    """Return shell patterns of the tables that the project moves from source_db.

    They are those of the setting TRANSFER_TABLES, else those of every contract's source, else all. A table whose
    contract is broken travels as before.
    """
    schemas = {contract.schema for contract in contracts}
    return settings.TRANSFER_TABLES or sorted(escape(spelled(schema)) + ".*" for schema in schemas) or ["*"]


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
