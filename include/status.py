"""What stands in the warehouse: files and rows landed, rows transferred, rows in each mart. Reads, never writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from include.postgres import records, session

LANDED = """
    select
        dataset,
        count(*) as files,
        coalesce(sum(rows_read), 0)::bigint as read,
        coalesce(sum(rows_loaded), 0)::bigint as loaded,
        coalesce(sum(rows_duplicate), 0)::bigint as duplicate,
        coalesce(sum(rows_rejected), 0)::bigint as quarantined
    from landing.files
    group by dataset
    order by dataset
"""

TRANSFERRED = """
    select distinct on (source) source, target, mode, rows, round(seconds::numeric, 2)::float8 as seconds, verdict
    from transfer.runs
    order by source, started_at desc
"""

MARTS = """
    select tables.table_name
    from information_schema.tables as tables
    where tables.table_schema = 'marts'
    order by tables.table_name
"""


@dataclass(frozen=True)
class Status:
    """The three tables of the report; each is a list of rows by column name, empty where nothing was made yet."""

    landed: list[dict[str, Any]]
    transferred: list[dict[str, Any]]
    marts: list[dict[str, Any]]


def read_status(source_uri: str, target_uri: str) -> Status:
    """Return what stands in both databases now. Raises ConnectionFailedError where one can't be reached."""
    return Status(
        landed=_rows(source_uri, "source_db", LANDED),
        transferred=_rows(target_uri, "target_db", TRANSFERRED),
        marts=[{"mart": name, "rows": count} for name, count in count_marts(target_uri).items()],
    )


def count_marts(target_uri: str) -> dict[str, int]:
    """Return the number of rows of each table in the schema `marts`."""
    with session(target_uri, "target_db") as connection:
        counts = {}
        for (name,) in connection.execute(MARTS).fetchall():
            query = sql.SQL("select count(*) from marts.{}").format(sql.Identifier(name))
            row = connection.execute(query).fetchone()
            counts[name] = row[0] if row else 0
        return counts


def format_table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as aligned text, numbers to the right, a heading line first."""
    cells = [list(columns)] + [[_text(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    numeric = [all(isinstance(row.get(column), int | float) for row in rows) and bool(rows) for column in columns]
    lines = []
    for line in cells:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def format_status(status: Status) -> str:
    """Return the report as text for a terminal."""
    parts = [
        ("landed", ["dataset", "files", "read", "loaded", "duplicate", "quarantined"], status.landed),
        ("transferred", ["source", "target", "mode", "rows", "seconds", "verdict"], status.transferred),
        ("marts", ["mart", "rows"], status.marts),
    ]
    return "\n\n".join(
        f"{title}\n{format_table(columns, rows)}" if rows else f"{title}: nothing yet" for title, columns, rows in parts
    )


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def _rows(uri: str, place: str, query: LiteralString) -> list[dict[str, Any]]:
    with session(uri, place) as connection:
        try:
            return records(connection, query)
        except psycopg.errors.UndefinedTable:
            return []
