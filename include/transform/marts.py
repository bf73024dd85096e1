"""What stands in the marts."""

from __future__ import annotations

import json

from psycopg import sql

from include import settings
from include.postgres import query, scalar, session
from include.report import Section
from include.transform.project import manifest_is_stale
from include.transform.targets import schema_of


def summary(target_uri: str) -> Section:
    """Return the marts of WAREHOUSE_TARGET with their rows; empty where none was built yet.

    Of tables in their schema that no model of the project builds, a note has the names alone.
    """
    schema, built = schema_of("marts"), _built_tables()
    with session(target_uri, "target_db") as connection:
        tables = query(
            connection,
            "select table_name from information_schema.tables where table_schema = %s order by table_name",
            schema,
        )
        count = sql.SQL("select count(*) from {}")
        rows = [
            {"mart": name, "rows": scalar(connection, count.format(sql.Identifier(schema, name)))}
            for (name,) in tables
            if name in built
        ]
    left = ", ".join(f"{schema}.{name}" for (name,) in tables if name not in built)
    note = f"built by no model any more, and still in target_db: {left}" if left else ""
    return Section(schema, ("mart", "rows"), rows, note)


def _built_tables() -> set[str]:
    """Return the names of what the project builds in the marts' schema: as dbt has parsed it, else by the files."""
    if manifest_is_stale():
        folders = [settings.DBT_PROJECT / name for name in ("models", "seeds", "snapshots")]
        return {path.stem for folder in folders for kind in ("sql", "py", "csv") for path in folder.rglob(f"*.{kind}")}
    nodes = json.loads(settings.DBT_MANIFEST.read_text(encoding="utf-8"))["nodes"].values()
    return {
        node["alias"]
        for node in nodes
        if node["resource_type"] in ("model", "seed", "snapshot") and node["schema"] == schema_of("marts")
    }
