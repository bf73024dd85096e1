"""What `astro dev parse` runs: every DAG file imports, with no database, connection or variable there to help it.

Files named in dag_integrity_exceptions.txt, one path a line from the project's folder, are let off.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

PROJECT = Path(__file__).resolve().parent.parent
EXCEPTIONS = (PROJECT / ".astro" / "dag_integrity_exceptions.txt").read_text(encoding="utf-8").split()
FILES = [path for path in sorted((PROJECT / "dags").rglob("*.py")) if str(path.relative_to(PROJECT)) not in EXCEPTIONS]


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_dag_file_imports(file: Path) -> None:
    bag = DagBag(str(file))
    assert bag.import_errors == {}
    assert bag.dags, f"Airflow finds no DAG in {file.name}"
