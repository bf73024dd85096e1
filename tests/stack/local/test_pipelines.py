"""What `make run` says while it waits."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from include import report, settings
from include.cli import main
from include.stack.local import pipelines
from include.stack.local.api import Api


def task(dag_id: str, state: str | None, task_id: str = "land", label: str = "") -> dict[str, Any]:
    return {"dag_id": dag_id, "task_id": task_id, "state": state, "rendered_map_index": label or None}


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (["running", "success", "queued", None], "now land_a land"),
        (["success", "up_for_retry", None, None], "now land_b land"),
        (["success", "queued", "scheduled", None], "waiting for land_b land, land_c land"),
        (["deferred", "success", None, None], "waiting for land_a land"),
        (["success", "failed", None, None], "waiting for land_c land, land_d land"),
    ],
)
def test_a_wait_names_the_datasets_it_waits_for(states: list[str | None], said: str) -> None:
    names = ["land_a", "land_b", "land_c", "land_d"]
    tasks = [task(name, state) for name, state in zip(names, states, strict=True)]
    assert pipelines._still_to_come(tasks, dict.fromkeys(names, "running")) == f"; {said}"


def test_a_wait_names_four_and_counts_the_rest() -> None:
    tasks = [task("warehouse", "running", "transfer_table", f"app.t{number}") for number in range(6)]
    said = pipelines._still_to_come(tasks, {"warehouse": "running"})
    assert said == "; now " + ", ".join(f"transfer_table[app.t{number}]" for number in range(4)) + " and 2 more"


def test_a_run_that_has_not_begun_is_named() -> None:
    done = [task("land_a", "success")]
    assert pipelines._still_to_come(done, {"land_a": "success", "land_b": "queued"}) == "; waiting for land_b"
    assert pipelines._still_to_come(done, {"land_a": "success", "land_b": "failed"}) == ""


def test_a_broken_contract_fails_the_run_once_the_others_have_landed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "orders.yaml").write_text("schema: [")
    monkeypatch.setattr(settings, "CONTRACTS", tmp_path)
    monkeypatch.setattr(pipelines, "run", lambda contracts: [])
    monkeypatch.setattr(pipelines, "summary", lambda stages: "all that landed")
    assert main(["stack", "run"]) == 1
    out, err = capsys.readouterr()
    assert out == "all that landed\n"
    assert "orders.yaml: is no YAML" in err and "nothing of shop.orders lands" in err and "mend them" in err
    (tmp_path / "shop" / "orders.yaml").unlink()
    assert main(["stack", "run"]) == 0


class Clock:
    """A clock that only moves while the program sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        monkeypatch.setattr("time.sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class WaitingApi(Api):
    """Answers as Airflow does while one landing run works for half a minute and another one waits."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def get(self, path: str, **query: Any) -> Any:
        is_over = self.clock.now > 30
        if path == "/importErrors":
            return {"import_errors": [], "total_entries": 0}
        if path.endswith("taskInstances"):
            state = "success" if is_over else "running" if "land_a" in path else None
            return {"task_instances": [task(path.split("/")[2], state)], "total_entries": 1}
        if path == "/dags":
            found = ["land_a", "warehouse"] if is_over else ["warehouse"]
            return {"dags": [{"dag_id": name} for name in found], "total_entries": len(found)}
        return {"state": "success" if is_over else "running"}


def test_a_long_wait_says_every_ten_seconds_for_what(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, log = Clock(monkeypatch), io.StringIO()
    monkeypatch.setattr(pipelines.airflow, "dead_component", lambda: None)
    since = datetime.now(UTC)
    with report.Progress(again=10, stream=log) as progress:
        pipelines._follow(WaitingApi(clock), {"land_a": "1", "land_b": "2"}, since, progress, "landing")
    lines = log.getvalue().splitlines()
    assert [line for line in lines if "0 of 2 tasks done; now land_a land" in line] == lines[:-1] and len(lines) == 4


def test_missing_dag_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, log = Clock(monkeypatch), io.StringIO()
    since = datetime.now(UTC)
    with report.Progress(stream=log) as progress:
        assert not pipelines._are_parsed(WaitingApi(clock), ["land_a", "warehouse"], since, progress)
        clock.now = 31
        assert pipelines._are_parsed(WaitingApi(clock), ["land_a", "warehouse"], since, progress)
    assert log.getvalue() == "[   0 s] waiting until Airflow has read the files of land_a\n"
