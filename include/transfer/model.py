"""Names of tables, and the two records a caller keeps: what will be done to a table, and what was done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, NamedTuple, Self

import psycopg
from psycopg import sql

from include.errors import FinalError, TransientError, WarehouseError
from include.postgres import is_transient, safe_message

Mode = Literal["full", "append", "key"]

_PLAIN_PART = re.compile(r'[^."]+')
_PART = re.compile(r'"(?:[^"]|"")*"|[^."]+')


class TransferError(WarehouseError):
    """A table could not be moved; its last good rows are untouched. The message names table, place and next step."""


class TransferRefusedError(TransferError, FinalError):
    """A table can't be moved until somebody changes something in the source, the target or the settings."""


class TransferInterruptedError(TransferError, TransientError):
    """A table could not be moved now; the next try may move it."""


class SnapshotLostError(TransferInterruptedError):
    """The snapshot shared by the tables of a run is gone, so the rest of the run can't be read at the same moment."""


def as_transfer_error(
    error: WarehouseError | psycopg.Error | OSError | MemoryError, source: str, target: str
) -> TransferError:
    """Return an error as one of the transfer's, its message with the table in front and free of values."""
    message = safe_message(error)
    if not message.startswith((source, target)):
        message = f"{source} -> {target}: {message}"
    if isinstance(error, TransferError):
        return type(error)(message)
    final = isinstance(error, FinalError) or (isinstance(error, psycopg.Error) and not is_transient(error))
    return TransferRefusedError(message) if final else TransferInterruptedError(message)


class TableName(NamedTuple):
    """A table and its schema, as the catalog spells them."""

    schema: str
    table: str

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Read what `str()` wrote. ValueError when it is not schema.table."""
        parts = _PART.findall(text)
        if len(parts) != 2 or ".".join(parts) != text:
            raise ValueError(f"{text!r} is not schema.table")
        schema, table = (part[1:-1].replace('""', '"') if part[0] == '"' else part for part in parts)
        return cls(schema, table)

    def __str__(self) -> str:
        return ".".join(p if _PLAIN_PART.fullmatch(p) else '"' + p.replace('"', '""') + '"' for p in self)

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(*self)


@dataclass(frozen=True)
class TablePlan:
    """What a run does to one table, and why. Plain values only: no row, no secret."""

    source: str
    target: str
    mode: Mode
    reason: str
    rows_estimate: int
    bytes_estimate: int = 0
    forced: bool = False  # a full refresh that was asked for

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{f.name: data[f.name] for f in fields(cls) if f.name in data})


@dataclass(frozen=True)
class TransferResult:
    """What a run did to one table."""

    source: str
    target: str
    mode: Mode
    rows: int  # in the target afterwards
    rows_changed: int  # copied or deleted
    bytes: int  # that left the source
    seconds: float
    verdict: str
    watermark: str | None = None
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"notes": list(self.notes)}
