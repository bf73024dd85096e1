"""What the stack without Docker promises, as far as a test can check it without Airflow."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest

from include import settings
from include.report import Progress
from include.stack.local import airflow, lifecycle, pipelines
from include.stack.local.api import Api
from include.stack.local.postgres import PostgresError, free_port
from include.transform import project
from tests.landing.conftest import SHOP


@pytest.fixture
def component(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> airflow.Component:
    monkeypatch.setattr(airflow, "RUN", tmp_path)
    return airflow.Component("scheduler")


def test_taken_port_is_named_with_its_holder_and_the_variable_that_moves_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(lifecycle.StackError, match=rf"port {port}, meant for the UI, .*UI_PORT=<port>") as caught:
            lifecycle.require_free_port(port, "UI_PORT", "the UI")
    assert f"(process {os.getpid()})" in str(caught.value)


def test_process_with_a_reused_id_is_not_ours(component: airflow.Component) -> None:
    stranger = psutil.Process()
    component.record.write_text(json.dumps({"pid": stranger.pid, "started": airflow.start_of(stranger) - 3600}))
    assert component.process() is None
    component.stop()  # if it took the stranger for its own, this would end the test run
    assert not component.record.exists()


def test_stop_ends_the_process_and_its_children(component: airflow.Component) -> None:
    family = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    parent = subprocess.Popen([sys.executable, "-c", family], start_new_session=True)
    process = psutil.Process(parent.pid)
    deadline = time.monotonic() + 30
    while not process.children():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child = process.children()[0]
    component.record.write_text(json.dumps({"pid": parent.pid, "started": airflow.start_of(process)}))
    component.stop(patience=2)
    parent.wait(5)
    assert not child.is_running()
    assert airflow.dead_component() is None


def test_setting_the_clock_does_not_lose_a_running_process(
    component: airflow.Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = psutil.Process()
    component.record.write_text(json.dumps({"pid": process.pid, "started": airflow.start_of(process)}))
    assert component.process() == process
    if sys.platform == "linux":  # where the time of the boot moves with the clock
        boot = psutil.boot_time()
        monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: boot + 3600)
        assert psutil.Process().create_time() == pytest.approx(process.create_time() + 3600, abs=1)
        assert component.process() == process


def test_changed_code_of_the_triggerer_changes_the_digest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = tmp_path / "include" / "orchestration" / "dbt.py"
    code.parent.mkdir(parents=True)
    monkeypatch.setattr(settings, "PROJECT", tmp_path)
    monkeypatch.setattr(airflow, "HOME", tmp_path)
    digests = set()
    for text in ("one", "two"):
        code.write_text(text)
        digests |= {airflow.settings_digest(), airflow.settings_digest()}
    assert len(digests) == 2


@pytest.mark.parametrize(
    "name",
    [
        *("FIRST_RUN", "RETRY_SECONDS", "TRANSFER_EXCLUDE", "TRANSFER_MODES", "TRANSFER_TABLES"),
        *("WAREHOUSE_SCHEDULE", "WAREHOUSE_TIMEZONE", "WAREHOUSE_TARGET", "DBT_SCHEMA_PREFIX", "PAGES_URL"),
    ],
)
def test_changed_setting_of_tasks_reaches_a_running_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setattr(airflow, "HOME", tmp_path)
    monkeypatch.setattr(airflow, "read_contracts", SHOP.values)  # one of them lands from PAGES_URL
    before = airflow.settings_digest()
    monkeypatch.setenv(name, "app.*=full")
    assert airflow.environment()[name] == "app.*=full"
    assert airflow.settings_digest() != before


class AnsweringApi(Api):
    """Answers as Airflow does: the files that it could not import, and the DAGs that it knows."""

    def __init__(self, errors: list[dict[str, str]], dags: list[str]) -> None:
        self.answers = {"import_errors": errors, "dags": [{"dag_id": dag} for dag in dags]}

    def get(self, path: str, **query: int) -> Any:
        key = "import_errors" if path == "/importErrors" else "dags"
        page = self.answers[key][query["offset"] : query["offset"] + query["limit"]]
        return {key: page, "total_entries": len(self.answers[key])}


def test_old_import_error_is_waited_for_and_a_new_one_fails_the_run() -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    error = {"filename": "warehouse.py", "stack_trace": "SyntaxError", "timestamp": "2025-12-31T23:59:59Z"}
    dags = [f"dag_{number}" for number in range(250)]
    assert not pipelines._are_parsed(AnsweringApi([error], dags), dags, since, Progress())
    assert pipelines._are_parsed(AnsweringApi([], dags), dags, since, Progress())
    assert not pipelines._are_parsed(AnsweringApi([], dags), [*dags, "another"], since, Progress())
    with pytest.raises(pipelines.PipelineError, match=r"warehouse\.py can't be imported"):
        pipelines._are_parsed(
            AnsweringApi([error | {"timestamp": "2026-01-01T00:00:01Z"}], dags), dags, since, Progress()
        )


def _local(verb: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "include", "stack", verb],
        cwd=settings.PROJECT,
        env={**os.environ, **more, "LOCAL_ROOT": str(folder)},
        capture_output=True,
        text=True,
    )


def test_clean_removes_only_the_stacks_own_files(tmp_path: Path) -> None:
    """LOCAL_ROOT may name a folder that holds other things."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "diary").write_text("my own")
    done = _local("clean", tmp_path)
    assert done.returncode == 0 and "nothing removed" in done.stdout + done.stderr
    refused = _local("databases", tmp_path)
    assert refused.returncode == 1 and "holds logs of somebody's own" in refused.stderr
    assert (tmp_path / "logs" / "diary").read_text() == "my own"
    (tmp_path / "stack-was-here").touch()  # as the first start leaves it
    for name in ("airflow", "cosmos", "databases", "landing", "landing_archive", "run", "web"):
        (tmp_path / name).mkdir()
    (tmp_path / "landing-root").write_text("/data/in")
    (tmp_path / "demo-made").touch()
    assert _local("clean", tmp_path).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(("own", "started"), [("SOURCE", ["target"]), ("TARGET", ["source"])])
def test_databases_alone_are_those_that_no_connection_replaces(
    tmp_path: Path, own: str, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source of one's own may well listen on the port of the embedded one."""
    monkeypatch.setenv(f"AIRFLOW_CONN_{own}_DB", "postgresql://me@db.example.com/shop")
    monkeypatch.setenv("DBT_MANIFEST", str(tmp_path / "target" / "manifest.json"))
    ports = {name: str(free_port()) for name in ("SOURCE_DB_PORT", "TARGET_DB_PORT")}
    with socket.create_server(("127.0.0.1", int(ports[f"{own}_DB_PORT"]))):
        for name, port in ports.items():
            monkeypatch.setenv(name, port)
        done = _local("databases", tmp_path)
    try:
        assert done.returncode == 0, done.stderr
        assert [line.split()[0] for line in done.stdout.splitlines() if "postgresql://" in line] == started
        assert [path.name for path in (tmp_path / "databases").iterdir()] == started
        pid = tmp_path / "databases" / started[0] / "data" / "postmaster.pid"
        assert pid.exists()
        assert (tmp_path / "target" / "manifest.json").exists(), "the Airflow that others start reads it"
        assert (tmp_path / "demo-made").exists() is (own == "TARGET" and settings.HAS_DEMO)
        for name in ("SOURCE", "TARGET"):  # set while the stack runs, it leaves no server of before behind
            monkeypatch.setenv(f"AIRFLOW_CONN_{name}_DB", "postgresql://me@db.example.com/shop")
        assert _local("stop", tmp_path).returncode == 0
        assert not pid.exists()
    finally:
        _local("stop", tmp_path)


def test_airflows_database_is_migrated_once_for_each_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    migrated: list[str] = []
    (tmp_path / "databases" / "airflow").mkdir(parents=True)
    monkeypatch.setattr(settings, "LOCAL", tmp_path)
    for to in ("3.3.2", "3.3.2", "3.4.0", "3.4.0"):
        monkeypatch.setattr(lifecycle, "version", {"apache-airflow-core": to}.__getitem__)
        monkeypatch.setattr(airflow, "migrate", lambda to=to: migrated.append(to))
        lifecycle._migrate_once()
    assert migrated == ["3.3.2", "3.4.0"]

    def fail() -> None:
        raise airflow.AirflowError("`airflow db migrate` failed")

    monkeypatch.setattr(lifecycle, "version", {"apache-airflow-core": "3.5.0"}.__getitem__)
    for _ in range(2):  # what has failed is tried again
        monkeypatch.setattr(airflow, "migrate", fail)
        with pytest.raises(airflow.AirflowError):
            lifecycle._migrate_once()


def test_manifest_is_stale_once_a_model_is_newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, model = tmp_path / "target" / "manifest.json", tmp_path / "models" / "one.sql"
    monkeypatch.setattr(settings, "DBT_PROJECT", tmp_path)
    monkeypatch.setattr(settings, "DBT_MANIFEST", manifest)
    for file in (model, manifest):
        file.parent.mkdir()
        assert project.manifest_is_stale()
        file.write_text("")
    monkeypatch.setattr(settings, "WITH_DEMO", True)
    manifest.with_suffix(".made-with").write_text(project._parse_settings())
    assert not project.manifest_is_stale()
    monkeypatch.setattr(settings, "WITH_DEMO", False)
    assert project.manifest_is_stale(), "the demo's models are in it"
    monkeypatch.setattr(settings, "WITH_DEMO", True)
    with monkeypatch.context() as patch:
        patch.setattr(project, "schema_of", lambda layer: f"dbt_ann_{layer}")
        assert project.manifest_is_stale(), "it is of another target"
    made = manifest.stat().st_mtime
    for name in ("logs", "target"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "one.sql").touch()
        os.utime(tmp_path / name / "deep" / "one.sql", (made + 5, made + 5))
    os.utime(tmp_path, (made - 5, made - 5))
    assert not project.manifest_is_stale(), "dbt itself writes there"
    for path in (model, model.parent):  # a folder is younger when a model was removed from it
        for place in (model, model.parent):
            os.utime(place, (made - 5, made - 5))
        assert not project.manifest_is_stale()
        os.utime(path, (made + 5, made + 5))
        assert project.manifest_is_stale()


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://source_db:source_db@127.0.0.1:5432/source_db", None),
        ("postgresql://me:secret@db.example.com:6000/shop?sslmode=require", "postgresql://me@db.example.com:6000/shop"),
        ("postgresql://me@db/shop", None),
        ("postgresql:///shop?host=/tmp&password=secret&user=me", "postgresql:///shop?host=/tmp&user=me"),
        ("postgresql:///shop?password=secret", "postgresql:///shop"),
    ],
)
def test_summary_shows_the_password_of_the_demo_alone(
    monkeypatch: pytest.MonkeyPatch, uri: str, shown: str | None
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", uri)
    said = pipelines._shown("source_db")
    assert said.startswith(shown or uri) and "secret" not in said


@pytest.mark.parametrize("place", ["absent", "file"])
def test_landing_root_that_is_no_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    (tmp_path / "file").touch()
    landing_root(monkeypatch, tmp_path, str(tmp_path / place))
    with pytest.raises(lifecycle.StackError, match=f"LANDING_ROOT={tmp_path / place} is no folder: make it"):
        lifecycle._check_landing_root()
    for good in (str(tmp_path), "s3://bucket/landing"):
        landing_root(monkeypatch, tmp_path, good)
        lifecycle._check_landing_root()


def landing_root(monkeypatch: pytest.MonkeyPatch, local: Path, root: str) -> None:
    """As settings.py reads LANDING_ROOT, for a stack whose source is its own."""
    monkeypatch.setattr(settings, "LOCAL", local)
    monkeypatch.setattr(settings, "LANDING_ROOT", root or str(local / "landing"))
    monkeypatch.setattr(settings, "MAKES_DEMO_DATA", not root)
    monkeypatch.setenv("LANDING_ROOT", root)


def test_made_up_rows_never_mix_with_real_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    landing_root(monkeypatch, tmp_path, "")
    lifecycle._check_landing_root()
    landing_root(monkeypatch, tmp_path, str(tmp_path))
    lifecycle._check_landing_root()
    landing_root(monkeypatch, tmp_path, "")
    with pytest.raises(lifecycle.StackError, match=f"has landed the files of {tmp_path}: name that folder again"):
        lifecycle._check_landing_root()
    monkeypatch.setattr(settings, "MAKES_DEMO_DATA", False)  # without the demo nothing is made up
    lifecycle._check_landing_root()


def test_start_checks_the_landing_root(tmp_path: Path) -> None:
    """Before it starts anything."""
    ports = {f"{name}_PORT": str(free_port()) for name in ("SOURCE_DB", "TARGET_DB", "AIRFLOW_DB", "AIRFLOW_UI")}
    done = _local("start", tmp_path, LANDING_ROOT=str(tmp_path / "absent"), **ports)
    _local("stop", tmp_path, **ports)
    assert done.returncode == 1 and "is no folder" in done.stderr
    assert not (tmp_path / "databases").exists()


def test_two_starts_of_one_clone_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "LOCAL", tmp_path)
    with lifecycle.locked():
        second = subprocess.Popen(
            [sys.executable, "-m", "include", "stack", "stop"],
            cwd=settings.PROJECT,
            env={**os.environ, "LOCAL_ROOT": str(tmp_path)},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert second.stderr
        assert second.stderr.readline() == "another start or stop of this clone is under way: waiting for it\n"
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(1)
    assert second.wait(30) == 0
    assert second.stderr.read() == "stack: stopped\n"


@pytest.mark.parametrize(
    ("replaced", "needed"),
    [
        ((), ("airflow", "source", "target")),
        (("SOURCE",), ("airflow", "target")),
        (("SOURCE", "TARGET"), ("airflow",)),
    ],
)
def test_no_server_is_started_in_place_of_an_own_connection(
    monkeypatch: pytest.MonkeyPatch, replaced: tuple[str, ...], needed: tuple[str, ...]
) -> None:
    for name in replaced:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}_DB", "postgresql://me@db.example.com/shop")
    assert lifecycle.needed_servers() == needed


class HealthyApi(Api):
    """Answers with the health of each component."""

    def __init__(self, **health: str) -> None:
        self.answer = health

    def health(self) -> dict[str, str]:
        return self.answer


def test_airflow_is_healthy_once_each_of_its_components_is() -> None:
    healthy = dict.fromkeys(("metadatabase", "scheduler", "triggerer", "dag_processor"), "healthy")
    assert lifecycle._is_healthy(HealthyApi(**healthy))
    for name in healthy:
        assert not lifecycle._is_healthy(HealthyApi(**{**healthy, name: "unhealthy"}))
        assert not lifecycle._is_healthy(HealthyApi(**{other: healthy[other] for other in healthy if other != name}))


def test_taken_port_of_a_database_is_named_before_one_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        done = _local("databases", tmp_path, SOURCE_DB_PORT=str(free_port()), TARGET_DB_PORT=port)
    assert done.returncode == 1 and done.stderr.startswith(f"port {port}, meant for the target Postgres, is taken")
    assert "TARGET_DB_PORT=<port>" in done.stderr and not (tmp_path / "databases").exists()


def test_start_of_databases_that_fails_ends_those_it_has_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "LOCAL", tmp_path)
    for name in ("SOURCE", "TARGET"):
        monkeypatch.setattr(settings, name, replace(getattr(settings, name), port=free_port()))
    data = tmp_path / "databases" / "target" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(PostgresError, match="was made by PostgreSQL 16"):
        lifecycle.start_databases(("source", "target"))
    (source,) = [embedded for server, embedded in lifecycle.servers() if server.name == "source"]
    try:
        assert (source.data / "PG_VERSION").exists() and not source.is_running()
    finally:
        source.destroy()


def test_start_that_fails_ends_what_it_has_begun(tmp_path: Path) -> None:
    """Here with Airflow's own database up, at a manifest that can't be written."""
    folder = tmp_path / "stack"
    database = folder / "databases" / "airflow"
    database.mkdir(parents=True)
    (folder / "stack-was-here").touch()
    (database / "migrated").write_text(version("apache-airflow-core"))  # a migration takes seconds
    (tmp_path / "file").touch()
    own = {f"AIRFLOW_CONN_{name}_DB": "postgresql://me@db.example.com/shop" for name in ("SOURCE", "TARGET")}
    ports = {f"{name}_PORT": str(free_port()) for name in ("AIRFLOW_DB", "AIRFLOW_UI", "DEMO_WEB")}
    manifest = str(tmp_path / "file" / "below" / "manifest.json")
    done = _local("start", folder, DBT_MANIFEST=manifest, **own, **ports)
    try:
        assert done.returncode == 1 and "DBT_MANIFEST=<file>" in done.stderr, done.stderr
        assert "databases: up after" in done.stderr and "the start failed: ending what it had begun" in done.stderr
        assert (database / "data" / "PG_VERSION").exists() and not (database / "data" / "postmaster.pid").exists()
    finally:
        _local("stop", folder, **own, **ports)


def test_stop_ends_what_has_outlived_its_parent_and_nothing_of_another_stack(tmp_path: Path) -> None:
    def left_by(folder: Path) -> subprocess.Popen[bytes]:
        environment = {**os.environ, airflow.MARK: str(folder / "airflow")}
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=environment)

    ours, theirs = left_by(tmp_path / "stack"), left_by(tmp_path / "another")
    try:
        assert _local("stop", tmp_path / "stack").returncode == 0
        assert ours.wait(5) != 0 and theirs.poll() is None
    finally:
        for process in (ours, theirs):
            process.kill()
            process.wait()
