"""What stands in the marts."""

from __future__ import annotations

from psycopg import sql

from include.postgres import query, scalar, session
from include.report import Section


def count_marts(target_uri: str) -> dict[str, int]:
    """Return the number of rows of each table in the schema `marts`, by name."""
    with session(target_uri, "target_db") as connection:
        tables = query(
            connection,
            "select table_name from information_schema.tables where table_schema = 'marts' order by table_name",
        )
        count = sql.SQL("select count(*) from {}")
        return {name: scalar(connection, count.format(sql.Identifier("marts", name))) for (name,) in tables}


def summary(target_uri: str) -> Section:
    """Return the marts with their rows; empty where none was built yet."""
    rows = [{"mart": name, "rows": count} for name, count in count_marts(target_uri).items()]
    return Section("marts", ("mart", "rows"), rows)
