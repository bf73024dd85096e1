"""The two sides of one table while it moves: what every mode works on."""

from __future__ import annotations

from dataclasses import dataclass

from include.postgres import Connection
from include.transfer.catalog import Table
from include.transfer.model import TableName
from include.transfer.stream import Progress


@dataclass(frozen=True)
class TablePair:
    """A source table, the target table that it moves to, and an open connection to each side.

    The source's connection reads at the run's snapshot. The target's has an open transaction, which holds the lock that
    keeps other runs from this table.
    """

    source: Connection
    target: Connection
    table: Table  # as the source's catalog describes it
    name: TableName  # in the target
    existing: Table | None  # as the target's catalog describes it, None where the target lacks it
    progress: Progress
