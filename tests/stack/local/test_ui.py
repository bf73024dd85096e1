"""The UI with a login, on a real api-server with Airflow's own Postgres: who gets in, what the stack writes there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from include import settings
from include.stack.local.postgres import free_port

START = """
from include.stack.local import airflow, lifecycle
lifecycle.start_databases(("airflow",))
airflow.migrate()
airflow.Component("api-server").start()
"""


class Ui:
    """An api-server and Airflow's Postgres, in a folder and on ports of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.database_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.passwords_file = folder / "airflow" / "ui_passwords.json"
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "AIRFLOW_HOME"},
            "LOCAL_ROOT": str(folder),
            "AIRFLOW_UI_PORT": str(self.port),
            "AIRFLOW_DB_PORT": str(self.database_port),
            "AIRFLOW_UI_HOST": "0.0.0.0",
            "UI_USERS": "eve:user,ann:admin,bob:viewer",
            "AIRFLOW__API__INSTANCE_NAME": "the instance of a test",
        }

    def run(self, code: str, **more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=settings.PROJECT,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> None:
        self.run(START)
        deadline = time.monotonic() + 120
        while not self.answers():
            assert time.monotonic() < deadline, (self.folder / "logs" / "api-server.log").read_text()[-3000:]
            time.sleep(0.3)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/v2/monitor/health").is_success
        except httpx.HTTPError:
            return False

    def log_in(self, user: str, password: str) -> httpx.Response:
        return httpx.post(f"{self.url}/auth/token", json={"username": user, "password": password})

    def passwords(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.passwords_file.read_text())
        return found

    def ask(self, path: str, token: str, method: str = "GET", **content: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.request(method, f"{self.url}/api/v2{path}", headers=headers, **content)


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    made = Ui(tmp_path_factory.mktemp("ui"))
    try:
        made.start()
        yield made
    finally:
        made.run("from include.stack.local import lifecycle; lifecycle.stop()")


def test_nobody_gets_in_without_the_password(ui: Ui) -> None:
    assert httpx.get(f"{ui.url}/api/v2/dags").status_code == 401
    assert ui.ask("/dags", "x.y.z").status_code in (401, 403)
    assert httpx.get(f"{ui.url}/auth/token").status_code == 403, "that would be a token without a password"
    assert ui.log_in("ann", "wrong").status_code == 401
    assert ui.log_in("admin", ui.passwords()["ann"]).status_code == 401


def test_each_user_has_the_own_role(ui: Ui) -> None:
    pool = {"name": "mine", "slots": 1, "include_deferred": False}
    for user, code in (("bob", 403), ("ann", 201)):
        answer = ui.log_in(user, ui.passwords()[user])
        assert answer.status_code == 201
        token = answer.json()["access_token"]
        assert ui.ask("/dags", token).status_code == 200
        assert ui.ask("/pools", token, "POST", json=pool).status_code == code


def test_passwords_are_their_owners_alone_and_in_no_log(ui: Ui) -> None:
    assert ui.passwords_file.stat().st_mode & 0o777 == 0o600
    logs = "".join(path.read_text() for path in (ui.folder / "logs").glob("*.log"))
    assert "Application startup complete" in logs
    for password in ui.passwords().values():
        assert password not in logs


def test_an_own_variable_of_airflow_reaches_the_server(ui: Ui) -> None:
    token = ui.log_in("bob", ui.passwords()["bob"]).json()["access_token"]
    answer = httpx.get(f"{ui.url}/ui/config", headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["instance_name"] == "the instance of a test"


def test_the_stacks_own_client_logs_in(ui: Ui) -> None:
    assert ui.run("from include.stack.local.api import Api; print(Api().get('/pools')['total_entries'])").strip() > "0"


def test_changed_password_that_airflow_does_not_know_is_one_sentence(ui: Ui) -> None:
    code = """
from include.stack.local import airflow
from include.stack.local.api import Api, ApiError
airflow.ui_passwords = lambda: {"ann": "wrong"}
try:
    Api().get("/pools")
except ApiError as error:
    print(error)
"""
    said = ui.run(code)
    assert said.startswith("Airflow refuses the password of ann in ") and "`make start`" in said


def test_pool_of_the_transfer_follows_its_setting(ui: Ui) -> None:
    code = "from include.stack.local import lifecycle; lifecycle._ensure_pool(lifecycle.Api())"
    token = ui.log_in("ann", ui.passwords()["ann"]).json()["access_token"]
    for slots in ("3", "5", "5"):
        ui.run(code, TRANSFER_POOL_SLOTS=slots)
        assert ui.ask("/pools/transfer", token).json()["slots"] == int(slots)


def test_connections_are_shown_without_their_passwords(ui: Ui) -> None:
    code = "from include.stack.local import lifecycle; lifecycle._ensure_connections(lifecycle.Api())"
    token = ui.log_in("ann", ui.passwords()["ann"]).json()["access_token"]

    def shown(name: str) -> dict[str, Any]:
        return dict(ui.ask(f"/connections/{name}", token).json())

    ui.run(code, SOURCE_DB_PORT="6001")
    source, target = shown("source_db"), shown("target_db")
    assert (source["conn_type"], source["host"], source["port"]) == ("postgres", "127.0.0.1", 6001)
    assert (source["login"], source["schema"], source["password"]) == ("source_db", "source_db", None)
    assert "AIRFLOW_CONN_SOURCE_DB" in source["description"] and "AIRFLOW_CONN_TARGET_DB" in target["description"]
    theirs = {**target, "host": "elsewhere", "extra": '{"sslmode": "disable"}'}
    assert ui.ask("/connections/target_db", token, "PATCH", json=theirs).status_code == 200
    own = "postgresql://me:s3cr3t@db.example.com/shop?sslmode=require&sslpassword=s3cr3t"
    ui.run(code, AIRFLOW_CONN_SOURCE_DB=own)
    assert shown("target_db") == target, "what counts is the environment, so the page says what that says"
    source = shown("source_db")
    assert (source["host"], source["port"], source["login"], source["schema"]) == ("db.example.com", None, "me", "shop")
    assert json.loads(source["extra"]) == {"sslmode": "require"}
    uri = f"postgresql://postgres:postgres@127.0.0.1:{ui.database_port}/airflow"
    with psycopg.connect(uri) as connection:
        rows = connection.execute("select conn_id, password, is_encrypted from connection order by 1").fetchall()
    assert rows == [("source_db", None, False), ("target_db", None, False)]


def test_server_whose_record_is_lost_can_still_be_found(ui: Ui) -> None:
    code = """
from include.stack.local import airflow, lifecycle
record = airflow.Component("api-server").record
left = record.rename(record.with_suffix(".lost"))
print([process.pid for process in lifecycle._leftovers()], airflow.Component("api-server").process())
left.rename(record)
print([airflow.Component("api-server").process().pid])
"""
    found, expected = ui.run(code).splitlines()
    assert found == f"{expected} None"


def test_passwords_stay_and_a_changed_one_ends_old_tokens(ui: Ui) -> None:
    """The last test of this file: it changes what the others use."""
    before = ui.passwords()
    token = ui.log_in("ann", before["ann"]).json()["access_token"]
    ui.run("from include.stack.local import airflow; airflow.Component('api-server').stop()")
    ui.passwords_file.write_text(json.dumps({**before, "ann": "her own choice"}))
    ui.start()
    assert ui.passwords() == {**before, "ann": "her own choice"}
    assert ui.passwords_file.stat().st_mode & 0o777 == 0o600
    assert ui.log_in("bob", before["bob"]).status_code == 201
    assert ui.log_in("ann", before["ann"]).status_code == 401
    assert ui.log_in("ann", "her own choice").status_code == 201
    assert ui.ask("/dags", token).status_code in (401, 403)
