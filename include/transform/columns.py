"""The columns of a dataset's models: their names, types and examples, as dbt and Postgres want them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from open_data_contract_standard.model import SchemaProperty

from include.contracts import Contract
from include.contracts.names import free_column
from include.names import quoted, without_jinja

# Words that Postgres takes for a column or a CTE only between quotes.
_RESERVED = re.findall(
    r"\w+",
    "all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation "
    "column concurrently constraint create cross current_catalog current_date current_role current_schema current_time "
    "current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze "
    "from full grant group having ilike in initially inner intersect into is isnull join lateral leading left like "
    "limit localtime localtimestamp natural not notnull null offset on only or order outer overlaps placing primary "
    "references returning right select session_user similar some symmetric system_user table tablesample then to "
    "trailing true union unique user using variadic verbose when where window with",
)
_PLAIN_TO_SQLFLUFF = {"collation", "current_user", "system_user", "table", "user"}  # it wants no quotes around these
_LONG_NAMES = {"timestamptz": "timestamp with time zone", "varchar": "character varying"}
_NUMBERS = ("smallint", "int", "integer", "bigint", "int2", "int4", "int8")
_FRACTIONS = ("numeric", "decimal", "real", "double precision", "float4", "float8")
_TEXTS = ("text", "varchar", "character varying", "char", "character")
_MOMENTS = ("timestamp", "timestamp without time zone")
_MOMENTS_OF_A_ZONE = ("timestamptz", "timestamp with time zone")
_EXAMPLES: dict[str, tuple[Any, Any]] = {
    **dict.fromkeys(_NUMBERS, (1, 2)),
    **dict.fromkeys(_FRACTIONS, (1.5, 2.5)),
    **dict.fromkeys(_TEXTS, ("a", "b")),
    "boolean": (True, False),
    "date": ("2026-01-01", "2026-01-02"),
    **dict.fromkeys(_MOMENTS, ("2026-01-01 10:00", "2026-01-02 10:00")),
    **dict.fromkeys(_MOMENTS_OF_A_ZONE, ("2026-01-01 10:00+00", "2026-01-02 10:00+00")),
    "uuid": ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"),
    "jsonb": ("{}", "[]"),
}

_OTHERS = ("bit", "bytea", "cidr", "inet", "interval", "json", "macaddr", "money", "time", "timetz", "xml")


@dataclass(frozen=True)
class Column:
    """A column of a staging model, and the column of the raw table that it comes from."""

    name: str
    source: str
    type: str
    spec: SchemaProperty
    description: str
    is_key: bool
    is_required: bool
    personal: str | None

    @property
    def quoted(self) -> str:
        """The name as SQL has it."""
        return identifier(self.name)

    @property
    def renamed(self) -> str:
        """The column in the `select` of the staging model: renamed where its name would need quotes everywhere, and
        cast where dbt has no name for its type.
        """
        source = identifier(self.source)
        if self.type.endswith("[]"):
            source = f"to_jsonb({source})"
        elif self.data_type != self.type and self.data_type == "text":
            source += "::text"
        elif self.name == self.source:
            return self.selected
        is_plain = self.source == self.name and self.name not in _PLAIN_TO_SQLFLUFF
        return f"{source} as {self.quoted}" + ("" if is_plain else "  -- noqa: RF05, RF06")

    @property
    def selected(self) -> str:
        """The column in the `select` of another model."""
        return f"{self.quoted}  -- noqa: RF06" if self.name in _PLAIN_TO_SQLFLUFF else self.quoted

    @property
    def data_type(self) -> str:
        """The type in the models, as the project's marts write it.

        A list is jsonb there, and what is no type of Postgres' own, such as an enum, is text: dbt's unit tests know
        neither.
        """
        if self.type.endswith("[]"):
            return "jsonb"
        if self._base_type not in _EXAMPLES and self._base_type not in _OTHERS:
            return "text"
        name, bracket, length = self.type.partition("(")
        return _LONG_NAMES.get(name.strip(), name) + bracket + length

    @property
    def is_comparable(self) -> bool:
        """Whether values can be compared and so be a key, which not every type can."""
        return self.data_type == "text" or self._base_type in _EXAMPLES

    @property
    def _base_type(self) -> str:
        return self.type.partition("(")[0].strip().lower()

    def described(self) -> dict[str, Any]:
        """Return what the yml of any model says of the column."""
        made: dict[str, Any] = {"name": self.name}
        if self.quoted != self.name:
            made["quote"] = True
        made["description"] = without_jinja(self.description) or "TODO"
        return made

    def example(self, number: int) -> Any:
        """Return a value of the column, another one for number 1 than for 0; None for a type without an example."""
        if self.spec.enum:
            values = [entry.value for entry in self.spec.enum]
            return values[number % len(values)]
        return _EXAMPLES.get("text" if self.data_type == "text" else self._base_type, (None, None))[number]


def model_columns(contract: Contract) -> list[Column]:
    """Return the columns of a dataset's staging model, in the contract's order."""
    return [
        Column(
            name=free_column(column.name, ()),
            source=column.name,
            type=column.type,
            spec=column.spec,
            description=column.description,
            is_key=column.is_key,
            is_required=column.required,
            personal=column.personal,
        )
        for column in contract.columns
    ]


def identifier(name: str) -> str:
    """Return a name as SQL has it: between quotes only where it needs them, as the linter wants it."""
    is_plain = re.fullmatch(r"[a-z_][a-z0-9_$]*", name) and name not in _RESERVED
    return name if is_plain else quoted(name)
