"""The demo's DAGs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from include.contracts import read_contracts
from include.settings import PROJECT
from include.stack.demo import manifest
from include.stack.local import airflow
from include.stack.local.postgres import free_port


def test_the_demo_lands_six_datasets() -> None:
    retail = {f"land_retail_{table}" for table in ("customers", "erasure_requests", "products", "transactions")}
    others = {"land_schools_learning_modality", "land_services_events"}
    landed = {contract.pipeline for contract in read_contracts() if contract.is_landed and contract.is_demo}
    assert landed == retail | others


def test_every_model_of_the_demo_belongs_to_a_team_of_its_contracts() -> None:
    teams = {contract.owner for contract in read_contracts() if contract.is_demo}
    files = [path for folder in manifest.PATHS for path in (PROJECT / folder / ".").glob("**/[!_]*.yml")]
    models = [model for path in files for model in yaml.safe_load(path.read_text())["models"]]
    assert len(models) >= 12
    assert {m["name"] for m in models if m["config"]["meta"]["owner"] not in teams} == set()


def test_changed_url_of_the_schools_reaches_a_running_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(airflow, "HOME", tmp_path)
    before = airflow.settings_digest()
    monkeypatch.setenv("SCHOOLS_URL", "https://example.com/schools.csv")
    assert airflow.environment()["SCHOOLS_URL"] == "https://example.com/schools.csv"
    assert airflow.settings_digest() != before


def test_taken_port_of_the_demos_web_server_is_named_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        ports = {f"{name}_PORT": str(free_port()) for name in ("SOURCE_DB", "TARGET_DB", "AIRFLOW_DB", "AIRFLOW_UI")}
        done = subprocess.run(
            [sys.executable, "-m", "include", "stack", "start"],
            cwd=PROJECT,
            env={**os.environ, **ports, "DEMO_WEB_PORT": port, "LOCAL_ROOT": str(tmp_path)},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1 and f"port {port}, meant for the demo's web server, is taken" in done.stderr
    assert "DEMO_WEB_PORT=<port>" in done.stderr and not (tmp_path / "databases").exists()
