"""What every module of the transfer speaks of: table names, plans, results and errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Self

import psycopg
from psycopg import sql

from include.errors import FinalError, TransientError, WarehouseError
from include.names import qualified
from include.postgres import is_transient, safe_message

Mode = Literal["full", "append", "key"]  # see include.transfer.modes

_PART = re.compile(r'"(?:[^"]|"")*"|[^."]+')


class Verdict(StrEnum):
    """How far a transferred table was compared with its source."""

    COUNTED = "counted"  # the row counts agree
    VERIFIED = "verified"  # the checksums of every column agree too
    FAILED = "failed"  # the table keeps the rows of an earlier run


class TransferError(WarehouseError):
    """A table could not be moved; its last good rows are untouched. The message names table, place and next step."""


class TransferRefusedError(TransferError, FinalError):
    """A table can't be moved until somebody changes something in the source, the target or the settings."""


class TransferInterruptedError(TransferError, TransientError):
    """A table could not be moved now; the next try may move it."""


class SnapshotLostError(TransferInterruptedError):
    """The snapshot that the tables of a run share is gone: the other tables can't be read at the same state."""


def as_transfer_error(
    error: WarehouseError | psycopg.Error | OSError | MemoryError, source: str, target: str
) -> TransferError:
    """Return the TransferError that stands for an error. Its message begins with the table and holds no value."""
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
        """Read what `str()` wrote. Raises ValueError for anything else than schema.table."""
        parts = _PART.findall(text)
        if len(parts) != 2 or ".".join(parts) != text:
            raise ValueError(f"{text!r} is not schema.table")
        schema, table = (part[1:-1].replace('""', '"') if part[0] == '"' else part for part in parts)
        return cls(schema, table)

    def __str__(self) -> str:
        return qualified(*self)

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
    forced: bool = False  # a full refresh was asked for

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
    verdict: Verdict
    watermark: str | None = None
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"verdict": self.verdict.value, "notes": list(self.notes)}


class Moved(NamedTuple):
    """What a mode did to the rows of one table."""

    rows: int  # in the target afterwards
    changed: int  # copied or deleted; an updated row may count twice, as the old one and the new one
    bytes: int  # that left the source


class FullRefreshNeededError(Exception):
    """The mode `append` or `key` can't bring a table up to date, for the reason in the message.

    It never leaves the package: the run undoes what the mode did and refreshes the table in full.
    """
