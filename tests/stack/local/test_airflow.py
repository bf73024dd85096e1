"""The environment of Airflow's processes, and the files that hold its keys and passwords."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from include import settings
from include.contracts.web import Token
from include.stack.local import airflow, lifecycle
from tests.landing.conftest import SHOP

MAIL = "AIRFLOW__SMTP__SMTP_HOST"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(airflow, "HOME", tmp_path)
    monkeypatch.setattr(airflow, "PASSWORDS", tmp_path / "ui_passwords.json")
    monkeypatch.setattr(airflow, "RUN", tmp_path / "run")
    monkeypatch.setattr(airflow, "LOGS", tmp_path / "logs")
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))  # as the import of the module sets it
    return tmp_path


@pytest.mark.parametrize("name", [MAIL, "AIRFLOW_CONN_MAIL", "AIRFLOW_VAR_TEAM"])
@pytest.mark.parametrize("place", ["shell", ".env"])
def test_variables_of_airflow_reach_its_processes(monkeypatch: pytest.MonkeyPatch, name: str, place: str) -> None:
    before = airflow.settings_digest()
    if place == "shell":
        monkeypatch.setenv(name, "here")
    else:
        monkeypatch.setattr(settings, "_DOTENV", {name: "here"})
    assert airflow.environment()[name] == "here"
    assert airflow.settings_digest() != before, "a running Airflow would keep the old value"
    assert airflow.overridden_variables() == []
    monkeypatch.setenv(name, "shell")
    assert airflow.environment()[name] == "shell", "the shell wins over .env"


def test_a_started_process_has_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(airflow.COMPONENTS, "scheduler", ("timeit", "-n1", "-r1", "import time; time.sleep(60)"))
    monkeypatch.setattr(settings, "_DOTENV", {MAIL: "here"})
    component = airflow.Component("scheduler")
    component.start()
    try:
        process = component.process()
        assert process and process.environ()[MAIL] == "here"
        assert not component.has_old_settings()
        monkeypatch.setenv(MAIL, "elsewhere")
        assert component.has_old_settings()
    finally:
        component.stop(patience=5)


def test_settings_of_datasets_from_the_web_reach_their_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    contract = dataclasses.replace(SHOP["web.pages"], token=Token("PAGES_TOKEN"))
    monkeypatch.setattr(airflow, "read_contracts", lambda: [contract])
    ours = {"PAGES_URL": "https://example.com", "PAGES_TOKEN": "hush", "LANDING_PROXY": "http://proxy.example:3128"}
    monkeypatch.setattr(settings, "_DOTENV", ours)
    found = airflow.environment()
    assert {name: found.get(name) for name in ours} == ours


def test_the_users_variables_win_over_the_stacks_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME", "2")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")
    found = airflow.environment()
    assert found["AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME"] == "2"
    assert found["AIRFLOW__API__BASE_URL"] == "https://airflow.example.com"
    assert airflow.overridden_variables() == []


def test_what_the_stack_needs_wins_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {
        "AIRFLOW_HOME": "/elsewhere",
        "AIRFLOW__API_AUTH__JWT_SECRET": "theirs",
        "AIRFLOW__API__PORT": "8080",
        "AIRFLOW__API__SSL_CERT": "/cert.pem",
        "AIRFLOW__CORE__DAGS_FOLDER": "/elsewhere/dags",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://elsewhere/execution/",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__FERNET_KEY_CMD": "echo theirs",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:///theirs",
    }
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    found = airflow.environment()
    assert [name for name, value in theirs.items() if found[name] == value] == ["AIRFLOW__CORE__FERNET_KEY_CMD"]
    assert found["AIRFLOW__CORE__FERNET_KEY"], "Airflow asks no command where the key itself is set"
    assert airflow.overridden_variables() == sorted(theirs)


def test_start_tells_which_variables_do_not_count(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:  # of the UI's port, which ends the start early
        done = subprocess.run(
            [sys.executable, "-m", "include", "stack", "start"],
            cwd=settings.PROJECT,
            env={
                **{name: value for name, value in os.environ.items() if name != "AIRFLOW_HOME"},
                "LOCAL_ROOT": str(tmp_path / "stack"),
                "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
                MAIL: "here",
                "AIRFLOW_UI_PORT": str(holder.getsockname()[1]),
            },
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1 and "meant for the Airflow UI, is taken" in done.stderr
    lines = [line for line in done.stderr.splitlines() if "do not count" in line]
    assert lines == ["set by the stack itself, so your values do not count: AIRFLOW__CORE__EXECUTOR"]


def test_a_local_address_is_never_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet")
    monkeypatch.setattr(airflow, "LOCAL_HOST", "10.1.2.3")
    found = airflow.environment()
    assert found["NO_PROXY"].split(",") == ["intranet", "127.0.0.1", "localhost", "10.1.2.3"]
    assert found["no_proxy"].split(",")[-3:] == ["127.0.0.1", "localhost", "10.1.2.3"]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_keys_are_made_once_and_are_their_owners_alone(home: Path) -> None:
    (home / "keys.json.unfinished").touch(mode=0o644)  # as a start leaves it that was killed
    keys = airflow._secret_keys()
    assert mode(home / "keys.json") == 0o600
    assert airflow._secret_keys() == keys and len(set(keys.values())) == 3


def test_tokens_end_with_a_change_of_logins(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "AIRFLOW__API_AUTH__JWT_SECRET"
    found = [airflow.environment()[name]]
    monkeypatch.setattr(settings, "UI_LOGIN", True)
    found.append(airflow.environment()[name])
    monkeypatch.setattr(settings, "UI_USERS", ["ann:admin"])
    found.append(airflow.environment()[name])
    airflow.PASSWORDS.write_text('{"ann": "her own choice"}')
    found.append(airflow.environment()[name])
    assert len(set(found)) == 4
    assert airflow.environment()[name] == found[-1]


def test_a_zombie_is_no_running_process(home: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    process = psutil.Process(child.pid)
    started = airflow.start_of(process)
    while process.status() != psutil.STATUS_ZOMBIE:
        pass
    component = airflow.Component("scheduler")
    component.record.parent.mkdir()
    component.record.write_text(json.dumps({"pid": child.pid, "started": started, "settings": ""}))
    try:
        assert component.process() is None
        assert airflow.dead_component() == component
    finally:
        child.wait()


@pytest.mark.parametrize("more", [{"UI_LOGIN": "off", "AIRFLOW_UI_HOST": "0.0.0.0"}, {"AIRFLOW_UI_HOST": "192.0.2.1"}])
def test_open_or_foreign_address_of_the_ui_is_refused(tmp_path: Path, more: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:  # of a port without which no start gets far
        more |= {"LOCAL_ROOT": str(tmp_path / "stack"), "AIRFLOW_UI_PORT": str(holder.getsockname()[1])}
        done = subprocess.run(
            [sys.executable, "-m", "include", "stack", "start"],
            cwd=settings.PROJECT,
            env={**os.environ, **more},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"AIRFLOW_UI_HOST={more['AIRFLOW_UI_HOST']} ")
    assert not (tmp_path / "stack" / "databases").exists()


def test_ui_names_the_file_of_passwords_and_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "password" not in lifecycle.ui()
    monkeypatch.setattr(settings, "UI_LOGIN", True)
    said = lifecycle.ui()
    assert str(airflow.PASSWORDS) in said and "(admin)" in said
    assert airflow.ui_passwords()["admin"] not in said


def test_port_of_the_ui_is_looked_at_on_the_address_that_it_listens_on(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.2", 0)) as holder:
        port = str(holder.getsockname()[1])
        own = {"LOCAL_ROOT": str(tmp_path / "stack"), "AIRFLOW_UI_PORT": port, "AIRFLOW_UI_HOST": "127.0.0.2"}
        done = subprocess.run(
            [sys.executable, "-m", "include", "stack", "start"],
            cwd=settings.PROJECT,
            env={**os.environ, **own},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1 and f"port {port}, meant for the Airflow UI, is taken" in done.stderr, done
