"""When another Cosmos lacks a name that the project leans on, the test that fails says which."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from include import settings

MODULE = settings.PROJECT / "include" / "orchestration" / "cosmos_private.py"
IMPORTED = [
    (node.module or "", alias.name)
    for node in ast.walk(ast.parse(MODULE.read_text()))
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cosmos")
    for alias in node.names
]


@pytest.mark.parametrize(("module", "name"), IMPORTED, ids=lambda value: value)
def test_imported_name_is_there(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name), f"this Cosmos has no {module}.{name}"


def test_attributes_of_operators_are_there(manifest: None) -> None:
    if not any((settings.DBT_PROJECT / "models").rglob("*.sql")):
        pytest.skip("the project has no model yet, so Cosmos makes no task for one")
    from airflow.sdk import DAG

    from include.orchestration.cosmos import build_group  # the operators as the DAG has them
    from include.orchestration.cosmos_private import ATTRIBUTES

    with DAG("attributes"):
        tasks = list(build_group("dbt").iter_tasks())
    for operator, names in ATTRIBUTES.items():
        made = [task for task in tasks if isinstance(task, operator)]
        assert made, f"this Cosmos makes no {operator.__name__}"
        missing = [name for name in names if not hasattr(made[0], name)]
        assert not missing, f"this Cosmos' {operator.__name__} has no {', '.join(missing)}"


def test_every_private_attribute_that_is_used_is_listed() -> None:
    from include.orchestration.cosmos_private import ATTRIBUTES

    used = {
        node.attr
        for node in ast.walk(ast.parse(MODULE.read_text()))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_")
    }
    assert used and used <= {name for names in ATTRIBUTES.values() for name in names}


def test_private_names_stand_in_one_module() -> None:
    """Elsewhere nothing of a private module of Cosmos is imported, and no underscore of its operators is used."""
    offenders = [
        path
        for folder in ("include", "dags")
        for path in (settings.PROJECT / folder).rglob("*.py")
        if path != MODULE and uses_private_cosmos(path)
    ]
    assert offenders == []


def uses_private_cosmos(path: Path) -> bool:
    text = path.read_text()
    if "cosmos._" in text or "cosmos.operators._" in text:
        return True
    from include.orchestration.cosmos_private import ATTRIBUTES

    private = {name for names in ATTRIBUTES.values() for name in names if name.startswith("_")}
    return any(isinstance(node, ast.Attribute) and node.attr in private for node in ast.walk(ast.parse(text)))
