"""The stack on a server, by production.yml alone, without the Astro CLI. It takes minutes and 4 GiB of memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from include.stack.local.postgres import free_port
from tests.docs.test_production import commands
from tests.project import copy_project
from tests.stack.docker.compose import AIRFLOW, AIRFLOW_HOME, wait_for


def _docker(*arguments: str) -> bool:
    return bool(shutil.which("docker")) and subprocess.run(["docker", *arguments], capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.containers,
    pytest.mark.timeout(1800),  # the build may download images and packages
    pytest.mark.skipif(not _docker("info"), reason="no Docker engine answers"),
    pytest.mark.skipif(not _docker("compose", "version"), reason="docker has no command compose"),
]

DATABASES = """
services:
  source: &server
    image: docker.io/library/postgres:18
    environment: {POSTGRES_PASSWORD: secret, POSTGRES_DB: shop, PGDATA: /var/lib/postgresql/18/docker}
  target: *server
"""
ORDERS = """
create schema shop;
create table shop.orders (id bigint primary key, day date not null, amount numeric(10, 2) not null);
insert into shop.orders select n, date '2026-03-01' + (n % 3), 1.5 from generate_series(1, 30) n;
"""
MODELS = {
    "staging/shop/_shop__sources.yml": "sources: [{name: shop, schema: raw_shop, tables: [{name: orders}]}]\n",
    "marts/shop/orders_daily.sql": "select day, count(*) as orders, sum(amount) as amount\n"
    "from {{ source('shop', 'orders') }} group by day\n",
    "marts/shop/orders_daily.yml": "models: [{name: orders_daily, columns: [{name: day, data_type: date},"
    " {name: orders, data_type: bigint}, {name: amount, data_type: numeric}]}]\n",
}


@dataclass
class Server:
    """A copy of the project as it lies on a server, its containers, and a client of its UI."""

    folder: Path
    port: int
    token: str = field(default="")

    def compose(self, *arguments: str, check: bool = True) -> str:
        files = ["-f", "include/stack/docker/production.yml", "-f", "databases.yml"]
        done = subprocess.run(
            ["docker", "compose", *files, "--project-directory", ".", *arguments],
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_CONN_")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"docker compose {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def follow(self, text: str) -> None:
        """Run commands of the page, in which `compose` is an alias."""
        compose = "docker compose -f include/stack/docker/production.yml -f databases.yml --project-directory ."
        shell = f'compose() {{ {compose} "$@"; }}\n{text}'
        done = subprocess.run(["sh", "-eu", "-c", shell], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"

    def inside(self, service: str, *command: str) -> str:
        return self.compose("exec", "-T", service, *command)

    def sql(self, service: str, statements: str) -> str:
        return self.inside(service, "psql", "-U", "postgres", "-h", "127.0.0.1", "-d", "shop", "-Atc", statements)

    def keys(self) -> dict[str, str]:
        listed = self.inside("api-server", "sh", "-c", f"cd {AIRFLOW_HOME}/keys && stat -c '%a %n' *")
        modes = dict(reversed(line.split()) for line in listed.splitlines())
        assert set(modes.values()) == {"600"}, modes
        return {name: self.inside("api-server", "cat", f"{AIRFLOW_HOME}/keys/{name}") for name in modes}

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return the status and the JSON of an answer; 0 while none comes."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, {}
        except OSError:
            return 0, {}

    def log_in(self, password: str, user: str = "admin") -> int:
        status, answer = self.ask("POST", "/auth/token", {"username": user, "password": password})
        self.token = answer.get("access_token", "")
        return status

    def errors_of(self, run: str) -> str:
        """Return what the logs of a run's failed tasks say of errors."""
        tasks = self.ask("GET", f"{run}/taskInstances")[1].get("task_instances", [])
        lines = []
        for task in (task for task in tasks if task["state"] == "failed"):
            log = f"{run}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
            entries = self.ask("GET", f"{log}?map_index={task['map_index']}&full_content=true")[1].get("content", [])
            bad = [entry for entry in entries if entry.get("level") in ("error", "critical")]
            lines += [f"{task['task_id']}: {entry['event']} {entry.get('error_detail', '')}" for entry in bad]
        return "\n".join(lines)

    def health(self) -> dict[str, Any]:
        return self.ask("GET", "/api/v2/monitor/health")[1]

    def is_healthy(self) -> bool:
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        health = self.health()
        return all(health.get(part, {}).get("status") == "healthy" for part in parts)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server") / "project"
    copy_project(folder)
    for name, text in MODELS.items():
        path = folder / "dbt" / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "databases.yml").write_text(DATABASES)
    port = free_port()
    variables = {
        "COMPOSE_PROJECT_NAME": f"warehouse-test-{port}",
        "AIRFLOW_UI_PORT": str(port),
        "AIRFLOW_CONN_SOURCE_DB": "postgresql://postgres:secret@source/shop",
        "AIRFLOW_CONN_TARGET_DB": "postgresql://postgres:secret@target/shop",
        "AIRFLOW__API__INSTANCE_NAME": "Shop",
        "TRANSFER_TABLES": "shop.*",
        "UI_USERS": "admin:admin,ann:viewer",
    }
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    server = Server(folder, port)
    try:
        server.compose("up", "--build", "--detach")
        wait_for(server.is_healthy, 300, "Airflow's health")
        yield server
    finally:
        server.compose("down", "--volumes", check=False)
        _docker("image", "rm", f"{variables['COMPOSE_PROJECT_NAME']}/airflow:production")


@pytest.fixture(scope="module")
def password(server: Server) -> str:
    return str(json.loads(server.keys()["passwords.json"])["admin"])


def test_ui_lets_nobody_in_without_the_password_that_was_made(server: Server, password: str) -> None:
    server.token = ""
    assert server.ask("GET", "/api/v2/dags")[0] == 401
    assert server.ask("GET", "/auth/token")[0] in (401, 403)
    assert server.log_in("admin") == 401
    assert server.log_in(password) == 201
    assert server.ask("GET", "/api/v2/dags")[0] == 200
    status, failed = server.ask("GET", "/api/v2/dags/~/dagRuns?state=failed")
    assert (status, failed.get("dag_runs")) == (200, [])


def test_second_user_has_a_password_and_the_rights_of_her_role(server: Server) -> None:
    dag = "/api/v2/dags/warehouse"
    assert server.log_in(json.loads(server.keys()["passwords.json"])["ann"], "ann") == 201
    assert server.ask("GET", "/api/v2/dags")[0] == 200
    assert server.ask("POST", f"{dag}/dagRuns", {"logical_date": None})[0] == 403


def test_no_secret_is_in_a_log_or_an_environment(server: Server) -> None:
    shown = server.compose("logs", "--no-color") + "".join(server.inside(name, "env") for name in AIRFLOW)
    keys = server.keys()
    passwords = json.loads(keys.pop("passwords.json"))
    assert passwords.keys() == {"admin", "ann"}
    secrets = [*keys.values(), *passwords.values()]
    assert [secret[:4] for secret in secrets if secret in shown] == []


def test_settings_of_env_reach_every_process(server: Server) -> None:
    assert {server.inside(name, "printenv", "AIRFLOW__API__INSTANCE_NAME") for name in AIRFLOW} == {"Shop\n"}
    shown = server.inside("scheduler", "airflow", "config", "get-value", "core", "fernet_key")
    assert shown.split()[-1] == server.keys()["fernet_key"]


def test_warehouse_builds_a_mart_in_a_database_of_ones_own(server: Server, password: str) -> None:
    server.sql("source", ORDERS)
    assert server.log_in(password) == 201
    dag = "/api/v2/dags/warehouse"
    wait_for(lambda: server.ask("GET", f"{dag}/tasks")[0] == 200, 120, "the warehouse DAG")
    status, run = server.ask("POST", f"{dag}/dagRuns", {"logical_date": None})
    assert status == 200
    path = f"{dag}/dagRuns/{run['dag_run_id']}"
    state = wait_for(lambda: {server.ask("GET", path)[1].get("state")} & {"success", "failed"}, 600, "the run's end")
    assert state == {"success"}, server.errors_of(path)
    rows = server.sql("target", "select day, orders, amount from marts.orders_daily order by day")
    assert rows.splitlines() == ["2026-03-01|10|15.00", "2026-03-02|10|15.00", "2026-03-03|10|15.00"]
    assert server.sql("source", "select count(*) from pg_namespace where nspname = 'landing'") == "0\n"


def test_killed_process_is_started_again(server: Server) -> None:
    container = server.compose("ps", "--quiet", "scheduler").strip()

    def restarts() -> int:
        shown = ["docker", "inspect", "--format", "{{.RestartCount}}", container]
        return int(subprocess.run(shown, capture_output=True, text=True, check=True).stdout)

    assert restarts() == 0
    began = time.time()
    server.compose("exec", "-T", "scheduler", "sh", "-c", "kill -9 -1", check=False)  # the daemon sees no hand in it
    wait_for(lambda: restarts() == 1, 60, "the restart")

    def beats() -> bool:
        scheduler = server.health().get("scheduler", {})
        beat = scheduler.get("latest_scheduler_heartbeat") or "1970-01-01T00:00:00+00:00"
        return scheduler.get("status") == "healthy" and datetime.fromisoformat(beat).timestamp() > began

    wait_for(beats, 120, "the new scheduler's heartbeat")


def test_keys_and_history_outlive_the_containers(server: Server, password: str) -> None:
    before = server.keys()
    server.compose("down")
    server.compose("up", "--build", "--detach")
    wait_for(server.is_healthy, 300, "Airflow's health")
    assert server.keys() == before
    assert server.log_in(password) == 201
    assert server.ask("GET", "/api/v2/dags/warehouse/dagRuns")[1]["total_entries"] >= 1


def test_history_is_pruned_by_the_service_that_runs_once(server: Server) -> None:
    said = server.compose("run", "--rm", "maintenance")
    assert "older than" in said and "files of task and DAG logs" in said


def test_lost_server_comes_back_with_its_history_and_its_keys(server: Server, password: str) -> None:
    keys = server.keys()
    lines = commands("Back up").splitlines()
    server.follow("\n".join(line for line in lines if not line.startswith("pg_dump")))
    server.compose("down", "--volumes")
    server.follow(commands("Restore Airflow's own database"))
    wait_for(server.is_healthy, 300, "Airflow's health")
    assert server.keys() == keys
    assert server.log_in(password) == 201
    assert server.ask("GET", "/api/v2/dags/warehouse/dagRuns")[1]["total_entries"] >= 1
