"""The environment of Airflow's processes, and the files that hold its keys and passwords."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
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
    component.log.parent.mkdir()
    component.log.write_text("of an earlier start\n")
    component.start()
    try:
        process = component.process()
        assert process and process.environ()[MAIL] == "here"
        assert os.getsid(process.pid) == process.pid, "Ctrl-C in the terminal that started it would end it"
        assert component.log.read_text().startswith("of an earlier start\n"), "it may say why the last one ended"
        component.start()
        assert component.process() == process, "what runs already is left alone"
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


def test_scheduler_ends_first_and_then_all_that_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a process that this version of the project starts no more, such as the demo's web server."""
    note_its_end = (
        *("import os, signal, time", "def end(*_):", "    time.sleep(0.3)", "    print(time.time(), flush=True)"),
        *("    os._exit(0)", "signal.signal(signal.SIGTERM, end)", "print('ready', flush=True)", "time.sleep(60)"),
    )
    names = ("api-server", "scheduler", "of-before")
    started = dict.fromkeys(names, ("timeit", "-n1", "-r1", *note_its_end))
    monkeypatch.setattr(airflow, "COMPONENTS", started)
    airflow.start()
    parts = {name: airflow.Component(name) for name in names}
    processes = [part.process() for part in parts.values()]
    monkeypatch.setattr(airflow, "COMPONENTS", {name: started[name] for name in names[:2]})
    try:
        deadline = time.monotonic() + 60
        while not all("ready" in part.log.read_text() for part in parts.values()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        airflow.stop()
        ended = {name: float(part.log.read_text().split()[-1]) for name, part in parts.items()}
        assert min(ended, key=ended.__getitem__) == "scheduler" and ended["scheduler"] + 0.3 <= ended["api-server"]
        assert not [process for process in processes if process and process.is_running()]
        assert not list(airflow.RUN.iterdir())
    finally:
        for part in parts.values():
            part.stop(patience=0)


def test_migration_that_fails_ends_the_start_with_the_end_of_its_log(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = home / "python"
    program.write_text("#!/bin/sh\necho 'no such revision'\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(airflow.AirflowError, match=r"(?s)`airflow db migrate` failed.*migrate\.log.*no such revision"):
        airflow.migrate()


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


def test_processes_listen_on_the_address_of_the_ui_and_find_each_other_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("127.0.0.1", "10.1.2.3"):
        monkeypatch.setattr(settings, "UI_HOST", host)
        assert airflow.environment()["AIRFLOW__API__HOST"] == host
    assert f"http://localhost:{settings.UI_PORT}" == airflow.UI_URL
    assert airflow._url("::1") == f"http://[::1]:{settings.UI_PORT}"
    assert airflow.environment()["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"{airflow.LOCAL_URL}/execution/"
    monkeypatch.setenv("PATH", "/usr/bin")
    assert airflow.environment()["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


@pytest.mark.parametrize(
    ("host", "local", "shown"),
    [
        ("0.0.0.0", "127.0.0.1", socket.gethostname()),
        ("::", "[::1]", socket.gethostname()),
    ],
)
def test_ui_is_reached_by_an_address_that_leads_to_it(host: str, local: str, shown: str) -> None:
    code = "from include.stack.local import airflow; print(airflow.LOCAL_URL, airflow.UI_URL)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=settings.PROJECT,
        env={**os.environ, "AIRFLOW_UI_HOST": host, "AIRFLOW_UI_PORT": "5900"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [f"http://{local}:5900", f"http://{shown}:5900"]


@pytest.mark.parametrize(("with_demo", "said"), [(True, "on"), (False, "off")])
def test_tasks_know_whether_the_demo_is_part_of_the_project(
    monkeypatch: pytest.MonkeyPatch, with_demo: bool, said: str
) -> None:
    """All of them have a connection source_db, so that they can't tell by that."""
    monkeypatch.setattr(settings, "WITH_DEMO", with_demo)
    assert airflow.environment()["WAREHOUSE_DEMO"] == said


def test_stack_writes_nothing_outside_its_own_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or two clones on one machine, or two users of it, would get into each other's way."""
    for name in ("LOCAL_ROOT", "LANDING_ROOT", "ARCHIVE_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(settings, "LOCAL", home)
    paths = {name: Path(value) for name, value in airflow.own_environment().items() if value.startswith("/")}
    read = {"AIRFLOW__CORE__DAGS_FOLDER", "PYTHONPATH", "LANDING_ROOT", "ARCHIVE_ROOT"}
    assert {"AIRFLOW__COSMOS__CACHE_DIR", "AIRFLOW_HOME", "AIRFLOW__LOGGING__BASE_LOG_FOLDER"} <= paths.keys()
    assert [name for name, path in paths.items() if name not in read and not path.is_relative_to(home)] == []
    for name in ("scheduler", "triggerer"):
        assert "--skip-serve-logs" in airflow.COMPONENTS[name], "a server of logs has a port that no setting moves"


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
