"""The stack in Docker, brought up by the Astro CLI: `make test-containers`. It takes minutes and 4 GiB of memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psycopg
import pytest

from include import settings
from include.stack.local.postgres import free_port
from tests.project import copy_project
from tests.stack.docker.compose import wait_for

pytestmark = [
    pytest.mark.containers,
    pytest.mark.timeout(1800),  # the first start may download images and packages
    pytest.mark.skipif(not shutil.which("astro"), reason="the Astro CLI is not on PATH"),
    pytest.mark.skipif(
        subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0
        if shutil.which("docker")
        else True,
        reason="no Docker engine answers",
    ),
]


@dataclass(frozen=True)
class Stack:
    """A copy of the project with ports of its own, beside whatever else runs on this machine."""

    folder: Path
    ports: dict[str, int]

    def astro(self, *arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name not in self.ports}
        done = subprocess.run(
            ["astro", *arguments],
            cwd=self.folder,
            env={**environment, "ASTRONOMER_NO_BROWSER": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"astro {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def api(self, path: str) -> Any:
        """Return what Airflow answers; an empty dict while it is too busy to, or has not read that DAG yet."""
        try:
            with urlopen(f"http://localhost:{self.ports['AIRFLOW_UI_PORT']}/api/v2{path}", timeout=30) as answer:
                return json.load(answer)
        except OSError:  # HTTPError too
            return {}

    def count(self, server: settings.Server, table: str) -> int:
        uri = f"postgresql://{server.user}:{server.password}@127.0.0.1:{self.ports[server.port_variable]}"
        with psycopg.connect(f"{uri}/{server.databases[0]}") as connection:
            (rows,) = connection.execute(f"select count(*) from {table}").fetchone() or (0,)
            return int(rows)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("clone") / "warehouse"
    copy_project(folder)
    variables = ("AIRFLOW_UI_PORT", "AIRFLOW_DB_PORT", "SOURCE_DB_PORT", "TARGET_DB_PORT", "PGADMIN_PORT")
    stack = Stack(folder, {name: free_port() for name in variables})
    (folder / ".env").write_text("".join(f"{name}={port}\n" for name, port in stack.ports.items()))
    stack.astro("config", "set", "api-server.port", str(stack.ports["AIRFLOW_UI_PORT"]))
    stack.astro("config", "set", "postgres.port", str(stack.ports["AIRFLOW_DB_PORT"]))
    try:
        stack.astro("dev", "start", "--no-browser", "--no-proxy", "--wait", "10m")
        yield stack
    finally:
        subprocess.run(["astro", "dev", "kill"], cwd=folder, capture_output=True, check=False)


@pytest.fixture(scope="module")
def filled(stack: Stack) -> Stack:
    """The stack once its first runs have ended, with no step by hand."""
    if not settings.HAS_DEMO:
        pytest.skip("the demo was removed, so nothing lands by itself")

    def has_finished() -> bool:
        runs = stack.api("/dags/warehouse/dagRuns").get("dag_runs", [])
        assert "failed" not in [run["state"] for run in runs]
        return bool(runs) and {run["state"] for run in runs} == {"success"}

    wait_for(has_finished, 900, "the end of the warehouse runs")
    return stack


def test_first_start_does_the_main_job_with_no_step_by_hand(filled: Stack) -> None:
    assert filled.api("/importErrors") == {"import_errors": [], "total_entries": 0}
    for table in ("marts.sales_daily", "marts.availability_snapshot", "raw_schools.learning_modality"):
        assert filled.count(settings.TARGET, table) > 0, table
    assert filled.count(settings.SOURCE, "landing.rejects") > 0


def inside(stack: Stack, *command: str) -> str:
    """What a command prints in the container of the api-server."""
    port = f"publish={stack.ports['AIRFLOW_UI_PORT']}"
    listed = subprocess.run(
        ["docker", "ps", "--quiet", "--filter", port], capture_output=True, text=True, check=True
    ).stdout.strip()
    return subprocess.run(["docker", "exec", listed, *command], capture_output=True, text=True, check=True).stdout


def test_links_lead_to_the_port_that_the_ui_is_on(stack: Stack) -> None:
    shown = inside(stack, "airflow", "config", "get-value", "api", "base_url")
    assert shown.split()[-1] == f"http://localhost:{stack.ports['AIRFLOW_UI_PORT']}"


def test_the_image_holds_the_program(filled: Stack) -> None:
    shown = inside(filled, "sh", "-c", "cd / && warehouse status")
    assert "sales_daily" in shown and "postgres source" not in shown


def test_pgadmin_answers(stack: Stack) -> None:
    with urlopen(f"http://localhost:{stack.ports['PGADMIN_PORT']}/misc/ping", timeout=30) as answer:
        assert answer.status == 200


def test_a_model_that_is_edited_on_this_machine_becomes_a_task(stack: Stack) -> None:
    (stack.folder / "dbt/models/intermediate/int_edited.sql").write_text("select 1 as one\n")

    def tasks() -> set[str]:
        return {task["task_id"] for task in stack.api("/dags/warehouse/tasks").get("tasks", [])}

    wait_for(lambda: "dbt.int_edited" in tasks(), 180, "the new model's task")
    (stack.folder / "dbt/models/intermediate/int_edited.sql").unlink()
    wait_for(lambda: "dbt.int_edited" not in tasks(), 180, "the end of the removed model's task")


def test_restart_keeps_the_data_and_kill_removes_it(filled: Stack) -> None:
    stack, rows = filled, filled.count(settings.TARGET, "marts.sales_daily")
    stack.astro("dev", "restart", "--no-proxy", "--wait", "10m")
    assert stack.count(settings.TARGET, "marts.sales_daily") == rows
    volume = ["docker", "volume", "ls", "--quiet", "--filter", "name=target_data"]
    before = set(subprocess.run(volume, capture_output=True, text=True, check=True).stdout.split())
    stack.astro("dev", "kill")
    after = set(subprocess.run(volume, capture_output=True, text=True, check=True).stdout.split())
    assert len(before - after) == 1
