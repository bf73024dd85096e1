"""`make run`: every pipeline once, through Airflow, from the files that wait to the marts, and a summary."""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from include import settings, status
from include.contracts import Contracts
from include.errors import FinalError
from include.report import Progress
from include.stack.local import airflow, lifecycle
from include.stack.local.api import Api, wait_for

_FINISHED = ("success", "failed")


class PipelineError(FinalError):
    """A pipeline failed; the message holds each failed task with its own error."""


@dataclass(frozen=True)
class Stage:
    """How long a part of the run took, in seconds."""

    name: str
    seconds: float


def run(contracts: Contracts) -> list[Stage]:
    """Start the stack, run every pipeline once and return the stages with their seconds. Raises PipelineError.

    `contracts` are those of the datasets that are landed.
    """
    began = time.monotonic()
    lifecycle.start()
    stages = [Stage("stack", time.monotonic() - began)]
    api = Api()
    dags = [contract.pipeline for contract in contracts.readable]
    since = datetime.now(UTC)
    with Progress(again=10) as progress:
        wait_for(
            lambda: _are_parsed(api, [*dags, "warehouse"], since, progress), 120, "Airflow's reading of the DAG files"
        )
        for dag_id in ["warehouse", *dags]:
            api.patch(f"/dags/{dag_id}", {"is_paused": False})
        runs = {dag_id: _trigger(api, dag_id) for dag_id in dags}
        before = time.monotonic()
        _follow(api, runs, since, progress, "landing")
        stages.append(Stage("landing", time.monotonic() - before))
        before = time.monotonic()
        warehouse = {"warehouse": _warehouse_run(api, since, runs, progress)}
        _follow(api, warehouse, since, progress, "warehouse")
        took = time.monotonic() - before
    tasks = api.task_instances("warehouse", warehouse["warehouse"])
    dbt = _seconds([task for task in tasks if task["task_id"].startswith("dbt.")])
    moved = ("plan_transfer", "hold_snapshot", "transfer_table", "transferred")
    transfer = _seconds([task for task in tasks if task["task_id"] in moved])
    stages += [Stage("transfer", transfer), Stage("dbt", dbt), Stage("waiting", max(0.0, took - transfer - dbt))]
    return stages


def left_out(contracts: Contracts) -> list[str]:
    """Return a sentence for each dataset that can't land, because its contract is broken."""
    return [f"{broken.problem}\n  nothing of {broken.name} lands" for broken in contracts.broken]


def summary(stages: list[Stage]) -> str:
    """Return the closing summary: what the databases hold, how long each stage took, and where to look next."""
    times = "  ".join(f"{stage.name} {stage.seconds:.0f} s" for stage in stages)
    return "\n".join(
        [
            "",
            status.report(settings.connection_uri("source_db"), settings.connection_uri("target_db")),
            "",
            f"seconds  {times}  total {sum(stage.seconds for stage in stages):.0f} s",
            "",
            f"Airflow UI  {lifecycle.ui().removeprefix('UI on ')}",
            f"dbt docs    `make docs` serves them on http://localhost:{settings.DOCS_PORT}",
            f"source      psql {shlex.quote(_shown('source_db'))}",
            f"target      psql {shlex.quote(_shown('target_db'))}",
            "            `make psql` opens the target with the stack's own psql, `make psql DB=source` the source",
            "",
            "The stack stays up: `make status` says what runs, `make stop` ends it.",
        ]
    )


def _shown(connection: str) -> str:
    """Return a connection's URI, with its password only where that is the documented one of the demo."""
    uri = settings.connection_uri(connection)
    if conninfo_to_dict(uri).get("password") == connection:
        return uri
    without = re.sub(r"(://[^:@/?]*):[^@/?]*@", r"\1@", uri)
    return re.sub(r"(?<=[?&])(ssl)?password=[^&]*&?", "", without).rstrip("?&")


def _old_import_errors(api: Api, since: datetime) -> list[str]:
    """Return the DAG files that Airflow could not import before `since`: they may have been mended, and not read again.

    Raises PipelineError for a file that could not be imported since.
    """
    errors = api.all("/importErrors", "import_errors")
    fresh = [error for error in errors if datetime.fromisoformat(error["timestamp"]) >= since]
    if fresh:
        raise PipelineError(
            "\n".join(f"{error['filename']} can't be imported:\n{error['stack_trace']}" for error in fresh)
        )
    return [error["filename"] for error in errors]


def _are_parsed(api: Api, dag_ids: list[str], since: datetime, progress: Progress) -> bool:
    old = _old_import_errors(api, since)
    if old:
        progress.show(f"waiting until Airflow reads {', '.join(old)} again, which it could not import before")
    missing = sorted({*dag_ids} - {dag["dag_id"] for dag in api.all("/dags", "dags", exclude_stale=True)})
    if missing and not old:
        progress.show(f"waiting until Airflow has read the files of {_some(missing)}")
    return not old and not missing


def _trigger(api: Api, dag_id: str) -> str:
    run_id: str = api.post(f"/dags/{dag_id}/dagRuns", {"logical_date": None})["dag_run_id"]
    return run_id


def _warehouse_run(api: Api, since: datetime, landed: dict[str, str], progress: Progress) -> str:
    """Return the id of the warehouse run that takes the rows of these landing runs.

    Where they loaded no row, no asset starts a run, so this starts one. Otherwise it is the run that their assets
    started, or a run that was queued at the time and began after them: while such a run is queued, Airflow starts no
    second one for the same asset.
    """
    runs = set(landed.values())
    started: list[str] = []

    def events() -> list[dict[str, Any]]:
        found = api.all("/assets/events", "asset_events", timestamp_gte=since.isoformat(), order_by="timestamp")
        return [event for event in found if event["source_run_id"] in runs]

    def has_started() -> bool:
        found = events()
        datasets = sorted({event["source_dag_id"] for event in found})
        progress.show(f"waiting until Airflow starts the warehouse for the rows of {_some(datasets)}")
        last = max(datetime.fromisoformat(event["timestamp"]) for event in found)
        started[:] = [run["run_id"] for event in found for run in event["created_dagruns"]]
        started.extend(
            run["dag_run_id"] for run in api.all("/dags/warehouse/dagRuns", "dag_runs", start_date_gte=last.isoformat())
        )
        return bool(started)

    if not events():
        return _trigger(api, "warehouse")
    wait_for(has_started, settings.RUN_TIMEOUT, "the warehouse run that the landed assets start")
    return started[0]


def _follow(api: Api, runs: dict[str, str], since: datetime, progress: Progress, what: str) -> None:
    """Show how far the runs are until all have finished. Raises PipelineError with the failed tasks' own errors."""
    states: dict[str, str] = {}

    def have_finished() -> bool:
        _old_import_errors(api, since)
        for dag_id, run_id in runs.items():
            if states.get(dag_id) not in _FINISHED:
                states[dag_id] = api.get(f"/dags/{dag_id}/dagRuns/{run_id}")["state"]
        tasks = [task for dag_id, run_id in runs.items() for task in api.task_instances(dag_id, run_id)]
        done = sum(task["state"] in ("success", "skipped", "failed", "upstream_failed") for task in tasks)
        progress.show(f"{what}: {done} of {len(tasks)} tasks done{_still_to_come(tasks, states)}")
        return all(state in _FINISHED for state in states.values())

    wait_for(have_finished, settings.RUN_TIMEOUT, f"the end of {what}", pause=0.7)
    failed = [dag_id for dag_id, state in states.items() if state == "failed"]
    if failed:
        raise PipelineError("\n\n".join(_failure(api, dag_id, runs[dag_id]) for dag_id in failed))


def _still_to_come(tasks: list[dict[str, Any]], states: dict[str, str]) -> str:
    """Return what a wait is for: the tasks that run, else those that come next, else the runs that have not begun."""

    def names(*wanted: str | None) -> list[str]:
        found = (task for task in tasks if task["state"] in wanted)
        return sorted({f"{task['dag_id']} {_name(task)}" if len(states) > 1 else _name(task) for task in found})

    running = names("running", "up_for_retry")
    if running:
        return f"; now {_some(running)}"
    waiting = names("queued", "scheduled", "deferred", "restarting", "up_for_reschedule") or names(None)
    waiting = waiting or sorted(dag_id for dag_id, state in states.items() if state not in _FINISHED)
    return f"; waiting for {_some(waiting)}" if waiting else ""


def _some(names: list[str]) -> str:
    """Return the first names of a list, and how many more there are."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _failure(api: Api, dag_id: str, run_id: str) -> str:
    lines = [f"{dag_id} failed ({airflow.UI_URL}/dags/{dag_id}/runs/{run_id})"]
    for task in api.task_instances(dag_id, run_id):
        if task["state"] == "failed":
            lines.append(f"  task {_name(task)}:")
            lines += [f"    {line}" for line in api.error_of(task).splitlines()]
    return "\n".join(lines)


def _name(task: dict[str, Any]) -> str:
    label = task.get("rendered_map_index")
    return f"{task['task_id']}[{label}]" if label else str(task["task_id"])


def _seconds(tasks: list[dict[str, Any]]) -> float:
    """Return the seconds from the first start to the last end among tasks."""
    starts = [datetime.fromisoformat(task["start_date"]) for task in tasks if task["start_date"]]
    ends = [datetime.fromisoformat(task["end_date"]) for task in tasks if task["end_date"]]
    return (max(ends) - min(starts)).total_seconds() if starts and ends else 0.0
