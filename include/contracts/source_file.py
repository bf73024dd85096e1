"""The form of a generated file of dbt sources: where it stands, and how it describes a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from include import settings
from include.names import with_jinja, without_jinja


def generated_path(project: Path, source: str, suffix: str) -> Path:
    """Return where the file of a source stands in a dbt project."""
    return project / "models" / "staging" / source / f"_{source}{suffix}"


def existing(project: Path, suffix: str, header: str) -> list[Path]:
    """Return the files that were generated with this header. A file that a person wrote has another beginning."""
    found = sorted((project / "models" / "staging").glob(f"*/_*{suffix}"))
    return [path for path in found if path.read_text(encoding="utf-8").startswith(header)]


def source_text(header: str, source: str, schema: str, tables: list[dict[str, Any]]) -> str:
    """Return a dbt file that describes tables of the source `raw_<source>`, which are in the schema `raw_<schema>`."""
    described = {"name": settings.RAW_PREFIX + source, "schema": settings.RAW_PREFIX + schema, "tables": tables}
    document = _without_templates({"version": 2, "sources": [described]})
    return header + dump(document)


def described_tables(path: Path, header: str) -> list[dict[str, Any]]:
    """Return the tables of a generated file as `source_text` was given them; none where there is no such file."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not text.startswith(header):
        return []
    (source,) = yaml.safe_load(text)["sources"]
    return list(_with_templates(source["tables"]))


def dump(document: dict[str, Any]) -> str:
    """Return a document as generated files have it."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def table_entry(name: str, table: str) -> dict[str, Any]:
    """Return the beginning of a table's entry: its name in dbt, and its real one where that is another."""
    return {"name": name} if name == table else {"name": name, "identifier": table}


def _without_templates(value: Any) -> Any:
    """Return a document whose texts dbt's Jinja renders to what they say: a brace that opens a template is escaped."""
    if isinstance(value, dict):
        return {key: _without_templates(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_templates(each) for each in value]
    return without_jinja(value) if isinstance(value, str) else value


def _with_templates(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_templates(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_templates(each) for each in value]
    return with_jinja(value) if isinstance(value, str) else value
