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
from include.stack.local.api import Api, ApiError


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


class LandedApi(Api):
    """Answers as Airflow does once landing has ended: with events of assets, and the runs that they have started."""

    def __init__(self, clock: Clock, events: list[dict[str, Any]], queued: tuple[str, ...] = ()) -> None:
        self.clock = clock
        self.events = events
        self.queued = queued
        self.triggered: list[str] = []

    def get(self, path: str, **query: Any) -> Any:
        if path == "/assets/events":
            return {"asset_events": self.events, "total_entries": len(self.events)}
        assert path == "/dags/warehouse/dagRuns" and query["start_date_gte"] == "2026-01-01T10:00:05+00:00"
        found = [{"dag_run_id": name} for name in self.queued if self.clock.now > 5]
        return {"dag_runs": found, "total_entries": len(found)}

    def post(self, path: str, body: dict[str, Any]) -> Any:
        self.triggered.append(path)
        return {"dag_run_id": "by hand"}


def event(run_id: str, second: int, *started: str) -> dict[str, Any]:
    return {
        "source_dag_id": f"land_{run_id}",
        "source_run_id": run_id,
        "timestamp": f"2026-01-01T10:00:0{second}Z",
        "created_dagruns": [{"run_id": name} for name in started],
    }


@pytest.mark.parametrize(
    ("events", "queued", "found"),
    [
        ([], (), "by hand"),
        ([event("of-somebody-else", 1, "theirs")], (), "by hand"),
        ([event("of-somebody-else", 1, "theirs"), event("a", 5, "ours")], (), "ours"),
        ([event("b", 1), event("a", 5)], ("queued before",), "queued before"),
    ],
)
def test_warehouse_run_is_the_one_that_takes_the_rows(
    monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]], queued: tuple[str, ...], found: str
) -> None:
    """Where nothing landed nothing starts one, so that `make run` has to."""
    monkeypatch.setattr(pipelines.airflow, "dead_component", lambda: None)
    api = LandedApi(Clock(monkeypatch), events, queued)
    with report.Progress(stream=io.StringIO()) as progress:
        landed = {"land_a": "a", "land_b": "b"}
        assert pipelines._warehouse_run(api, datetime(2026, 1, 1, tzinfo=UTC), landed, progress) == found
    assert api.triggered == (["/dags/warehouse/dagRuns"] if found == "by hand" else [])


class FailingApi(WaitingApi):
    """Answers as Airflow does where one of two runs fails, and after half a minute a DAG file can't be imported."""

    def get(self, path: str, **query: Any) -> Any:
        if path == "/importErrors" and self.clock.now > 30:
            error = {"filename": "dags/mine.py", "stack_trace": "SyntaxError", "timestamp": "2026-01-02T00:00:00Z"}
            return {"import_errors": [error], "total_entries": 1}
        if path.endswith("dagRuns/1"):
            return {"state": "failed"}
        return super().get(path, **query)

    def error_of(self, task: dict[str, Any]) -> str:
        return "no rows"


def test_failed_run_and_broken_file_fail_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines.airflow, "dead_component", lambda: None)
    since = datetime(2026, 1, 1, tzinfo=UTC)

    def follow(runs: dict[str, str]) -> None:
        with report.Progress(stream=io.StringIO()) as progress:
            pipelines._follow(FailingApi(Clock(monkeypatch)), runs, since, progress, "landing")

    with pytest.raises(pipelines.PipelineError, match=r"^land_a failed \(http://localhost:\d+/dags/land_a/runs/1\)"):
        follow({"land_a": "1"})
    with pytest.raises(pipelines.PipelineError, match=r"dags/mine\.py can't be imported:\nSyntaxError"):
        follow({"land_b": "2"})


def test_run_that_takes_too_long_is_given_up_after_the_time_of_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines.airflow, "dead_component", lambda: None)
    monkeypatch.setattr(settings, "RUN_TIMEOUT", 20)
    clock, since = Clock(monkeypatch), datetime.now(UTC)
    with (
        report.Progress(stream=io.StringIO()) as progress,
        pytest.raises(ApiError, match="the end of landing: not within 20 s"),
    ):
        pipelines._follow(WaitingApi(clock), {"land_a": "1"}, since, progress, "landing")
    with (
        report.Progress(stream=io.StringIO()) as progress,
        pytest.raises(ApiError, match="that the landed assets start: not within 20 s"),
    ):
        pipelines._warehouse_run(LandedApi(clock, [event("a", 5)]), since, {"land_a": "a"}, progress)


def test_summary_names_the_ports_in_force_and_what_each_stage_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DOCS_PORT", 8686)
    monkeypatch.setattr(pipelines.status, "report", lambda *uris: "the marts")
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", "postgresql://me:secret@db.example.com:6000/shop")
    said = pipelines.summary([pipelines.Stage("stack", 1.2), pipelines.Stage("dbt", 3.4)])
    assert "the marts" in said and "stack 1 s  dbt 3 s  total 5 s" in said
    assert "http://localhost:8686" in said and pipelines.airflow.UI_URL in said
    assert "psql postgresql://me@db.example.com:6000/shop\n" in said and "secret" not in said


def test_seconds_of_a_stage_are_those_from_its_first_start_to_its_last_end() -> None:
    def ran(start: int | None, end: int | None) -> dict[str, Any]:
        seconds = {"start_date": start, "end_date": end}
        return {name: None if at is None else f"2026-01-01T10:00:{at:02}Z" for name, at in seconds.items()}

    assert pipelines._seconds([ran(10, 20), ran(5, 12), ran(11, 31), ran(None, None)]) == 26
    assert pipelines._seconds([ran(10, None)]) == pipelines._seconds([]) == 0
