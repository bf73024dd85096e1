"""The local stack's promises that need no Airflow; tests/e2e runs the whole of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from include import build, settings
from include.local import airflow, stack


@pytest.fixture
def component(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> airflow.Component:
    monkeypatch.setattr(airflow, "RUN", tmp_path)
    return airflow.Component("scheduler")


def test_taken_port_is_named_with_its_holder_and_the_variable_that_moves_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(stack.StackError, match=rf"port {port}, meant for the UI, .*UI_PORT=<port>") as caught:
            stack.demand_port(port, "UI_PORT", "the UI")
    assert str(psutil.Process().pid) in str(caught.value)


def test_process_with_a_reused_id_is_not_ours(component: airflow.Component) -> None:
    stranger = psutil.Process()
    component.record.write_text(json.dumps({"pid": stranger.pid, "created": stranger.create_time() - 3600}))
    assert component.process() is None
    component.stop()  # would end this test run if it took the stranger for its own
    assert not component.record.exists()


def test_stop_ends_the_process_and_its_children(component: airflow.Component) -> None:
    family = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    parent = subprocess.Popen([sys.executable, "-c", family], start_new_session=True)
    process = psutil.Process(parent.pid)
    while not process.children():
        pass
    child = process.children()[0]
    component.record.write_text(json.dumps({"pid": parent.pid, "created": process.create_time()}))
    component.stop(patience=2)
    parent.wait(5)
    assert not child.is_running()
    assert airflow.dead_component() is None


def test_manifest_is_stale_once_a_model_is_newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, model = tmp_path / "target" / "manifest.json", tmp_path / "models" / "one.sql"
    monkeypatch.setattr(settings, "DBT_PROJECT", tmp_path)
    monkeypatch.setattr(settings, "DBT_MANIFEST", manifest)
    for file in (model, manifest):
        file.parent.mkdir()
        assert build.manifest_is_stale()
        file.write_text("")
    assert not build.manifest_is_stale()
    later = manifest.stat().st_mtime + 5
    os.utime(model, (later, later))
    assert build.manifest_is_stale()
