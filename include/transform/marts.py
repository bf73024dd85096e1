"""What stands in the marts."""

from __future__ import annotations

from psycopg import sql

from include.postgres import query, scalar, session
from include.report import Section
from include.transform.targets import schema_of


def count_marts(target_uri: str) -> dict[str, int]:
    """Return the number of rows of each mart of WAREHOUSE_TARGET, by name."""
    schema = schema_of("marts")
    with session(target_uri, "target_db") as connection:
        tables = query(
            connection,
            "select table_name from information_schema.tables where table_schema = %s order by table_name",
            schema,
        )
        count = sql.SQL("select count(*) from {}")
        return {name: scalar(connection, count.format(sql.Identifier(schema, name))) for (name,) in tables}


def summary(target_uri: str) -> Section:
    """Return the marts with their rows; empty where none was built yet."""
    rows = [{"mart": name, "rows": count} for name, count in count_marts(target_uri).items()]
    return Section(schema_of("marts"), ("mart", "rows"), rows)
