from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from airflow.sdk import DAG, RetryAction
from airflow.triggers.base import TaskSkippedEvent, TaskSuccessEvent
from cosmos.constants import DbtResourceType
from cosmos.exceptions import CosmosDbtRunError

from include import settings
from include.errors import FinalError, SettingError
from include.orchestration.cosmos import (
    ModelTask,
    ModelTrigger,
    TargetProfile,
    _report_event,
    build_group,
)
from include.orchestration.defaults import DEFAULT_ARGS, RETRY_POLICY, connection_uri
from include.orchestration.verdict import (
    PROJECT_ERROR,
    DataTestFailedError,
    DbtModelError,
    Verdict,
    assign_tests,
    verdict_on,
)
from tests.transform.conftest import Project
from tests.transform.test_build import VISITS_TABLE

MODEL = "model.warehouse.my_mart"


def test_dbt_in_airflow_reads_every_parameter_of_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "postgresql://me:p%40ss@[::1]/shop?sslmode=verify-full&sslrootcert=%2Fca.pem&connect_timeout=7"
    monkeypatch.setenv("AIRFLOW_CONN_TARGET_DB", uri)
    path = settings.DBT_PROJECT / "profiles.yml"
    with TargetProfile("warehouse", "prod", profiles_yml_filepath=path).ensure_profile() as (used, variables):
        assert used == path
    given = {"HOST": "::1", "PORT": "5432", "USER": "me", "PASSWORD": "p@ss", "NAME": "shop"}
    assert variables.items() >= {f"TARGET_DB_{name}": value for name, value in given.items()}.items()
    assert (
        variables.items() >= {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/ca.pem", "PGCONNECT_TIMEOUT": "7"}.items()
    )


def test_connection_that_libpq_cannot_read_fails_a_task_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TARGET_DB", "postgresql://me:SECRET@db/shop?cursor=dict")
    with pytest.raises(SettingError, match="the connection target_db is not a URI that libpq reads") as caught:
        connection_uri("target_db")
    assert "SECRET" not in str(caught.value)


def node(kind: DbtResourceType, *reads: str) -> Any:
    return SimpleNamespace(resource_type=kind, depends_on=list(reads))


def test_test_counts_for_the_last_model_it_reads() -> None:
    model, test = DbtResourceType.MODEL, DbtResourceType.TEST
    nodes = {
        "staging": node(model, "source.elsewhere"),
        "orders": node(model, "staging"),
        "mart": node(model, "orders"),
        "other_mart": node(model, "orders"),
        "alone": node(test, "staging"),
        "chain": node(test, "staging", "mart"),
        "apart": node(test, "mart", "other_mart", "orders"),
    }
    assert assign_tests(nodes) == {"staging": ["alone"], "mart": ["chain", "apart"], "other_mart": ["apart"]}


async def outcome(
    monkeypatch: pytest.MonkeyPatch,
    reports: dict[str, Any],
    producer: str,
    *,
    has_tests: bool = True,
    tries: int = 1,
) -> Any:
    """What the trigger yields when dbt has reported this and the producer is in that state."""
    trigger = ModelTrigger(MODEL, has_tests, "dbt.producer")
    trigger.task_instance = SimpleNamespace(  # type: ignore[assignment]
        dag_id="warehouse", task_id="dbt.my_mart", run_id="one", try_number=tries, task=None
    )

    async def report(key: str) -> Any:
        return reports.get(key.removeprefix(MODEL.replace(".", "__")))

    async def state() -> str:
        return producer

    monkeypatch.setattr(trigger, "_report", report)
    monkeypatch.setattr(trigger, "_producer_state", state)
    return await anext(trigger.run())


@pytest.mark.parametrize(
    ("reports", "producer", "has_tests", "tries", "reason"),
    [
        ({"_status": {"status": "success"}, "_tests_status": "pass"}, "running", True, 1, None),
        ({"_status": {"status": "success"}}, "running", False, 1, None),
        ({"_status": {"status": "error"}}, "running", True, 1, "node_failed"),
        ({}, "failed", True, 1, "producer_failed"),
        ({"_status": {"status": "success"}}, "failed", True, 1, "producer_failed"),
        ({"_status": {"status": "error"}}, "failed", True, 2, "producer_skipped"),
    ],
)
def test_task_ends_as_the_model_and_its_tests_did(
    monkeypatch: pytest.MonkeyPatch,
    reports: dict[str, Any],
    producer: str,
    has_tests: bool,
    tries: int,
    reason: str | None,
) -> None:
    event = asyncio.run(outcome(monkeypatch, reports, producer, has_tests=has_tests, tries=tries))
    if reason is None:
        assert isinstance(event, TaskSuccessEvent)
    else:
        assert event.payload.items() >= {"status": "failed", "reason": reason}.items()


def resume(payload: dict[str, Any], alone: Exception | None = None) -> None:
    """What the task does in a worker with what its trigger has yielded; `alone` is raised when it builds its model."""
    with DAG("resumed"):
        task = ModelTask(
            task_id="my_mart",
            profile_config=TargetProfile(
                "warehouse", "prod", profiles_yml_filepath=settings.DBT_PROJECT / "profiles.yml"
            ),
            project_dir=str(settings.DBT_PROJECT),
            extra_context={"dbt_node_config": {"unique_id": MODEL}},
        )

    def build(**_: Any) -> None:
        if alone:
            raise alone

    task._fallback_to_non_watcher_run = build
    task.execute_complete({"ti": SimpleNamespace(xcom_pull=lambda *_, **__: None, try_number=2)}, payload)


def test_failed_data_test_fails_the_task_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = {"_status": {"status": "success"}, "_tests_status": "fail"}
    event = asyncio.run(outcome(monkeypatch, reports, "running"))
    with pytest.raises(DataTestFailedError, match="the log of dbt_producer_watcher says which"):
        resume(event.payload)


BROKEN = "Compilation Error in model my_mart (models/a.sql)\n  This model has an enforced contract that failed."
AWAY = "Database Error in model my_mart (models/my_mart.sql)\n  server closed the connection unexpectedly"


@pytest.mark.parametrize(
    "reports",
    [
        {"_status": {"status": "error", "message": BROKEN}},
        {PROJECT_ERROR: BROKEN},
    ],
)
def test_compile_or_contract_error_fails_the_task_for_good_with_the_message_of_dbt(
    monkeypatch: pytest.MonkeyPatch, reports: dict[str, Any]
) -> None:
    event = asyncio.run(outcome(monkeypatch, reports, "failed"))
    with pytest.raises(DbtModelError, match="This model has an enforced contract that failed") as caught:
        resume(event.payload)
    assert RETRY_POLICY.evaluate(caught.value, 1, 2).action is RetryAction.FAIL


def test_error_of_the_database_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    event = asyncio.run(outcome(monkeypatch, {"_status": {"status": "error"}}, "failed"))
    with pytest.raises(Exception, match="failed") as caught:
        resume(event.payload)
    assert not isinstance(caught.value, FinalError)
    again = asyncio.run(outcome(monkeypatch, {"_status": {"status": "error"}}, "failed", tries=2))
    with pytest.raises(CosmosDbtRunError) as caught:
        resume(again.payload, CosmosDbtRunError(f"dbt invocation completed with errors: my_mart: {AWAY}"))
    assert RETRY_POLICY.evaluate(caught.value, 1, 2).action is RetryAction.DEFAULT


def test_model_that_is_built_alone_and_does_not_compile_fails_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    event = asyncio.run(outcome(monkeypatch, {}, "failed", tries=2))
    for text in (f"completed with errors: my_mart: {BROKEN}", f"did not complete with unhandled error: {BROKEN}"):
        with pytest.raises(DbtModelError):
            resume(event.payload, CosmosDbtRunError(f"dbt invocation {text}"))
    resume(event.payload)


def test_mended_project_is_built_when_the_task_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    event = asyncio.run(outcome(monkeypatch, {PROJECT_ERROR: BROKEN}, "failed", tries=2))
    assert event.payload["reason"] == "producer_skipped"


class Reports:
    """What the producer pushes, by key."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}
        self.history: list[tuple[str, Any]] = []

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value
        self.history.append((key, value))

    def read(self, output: str) -> None:
        producer = SimpleNamespace(_upstream_failure_skipped_ids=set(), tests_per_model={}, test_results_per_model={})
        for line in output.splitlines():
            _report_event(line, {"context": {"ti": self}}, producer=producer)  # type: ignore[arg-type]

    def verdict(self, model: str) -> Verdict:
        status = self.pushed.get(f"model__warehouse__{model}_status")
        return verdict_on(
            status, None, has_tests=False, ended=True, retried=False, project_error=self.pushed.get(PROJECT_ERROR)
        )


def test_reports_of_a_real_dbt_say_which_errors_are_final(tmp_path: Path, target_uri: str) -> None:
    project = Project(tmp_path)
    project.model_new("web.visits", "contract")
    models = project.dbt / "models" / "marts" / "web"
    text, yml = (models / "contract.sql").read_text(), (models / "contract.yml").read_text().partition("unit_tests")[0]
    broken = {
        "contract": text.replace("kind,", "kind || 'x' as sort,"),
        "compile": text.replace("from visits", "from visits {% if execute %}{{ ref(this.name ~ 's') }}{% endif %}"),
        "types": text.replace("visit_id,", "'x'::text as visit_id,"),
        "database": text.replace("visit_id,", "visit_id / 0 as visit_id,"),
        "good": text,
    }
    for name, model in broken.items():
        (models / f"{name}.sql").write_text(model)
        (models / f"{name}.yml").write_text(yml.replace("name: contract", f"name: {name}"))
    with psycopg.connect(target_uri) as connection:
        connection.execute(VISITS_TABLE)
    flags = ["build", "--select=+marts", "--log-format=json", "--log-level=debug"]

    reports = Reports()
    reports.read(project.run_dbt(*flags, uri=target_uri).stdout)
    assert {name: reports.verdict(name) for name in broken} == {
        "contract": Verdict.FAIL_FOR_GOOD,
        "compile": Verdict.FAIL_FOR_GOOD,
        "types": Verdict.FAIL_FOR_GOOD,
        "database": Verdict.FAIL,
        "good": Verdict.SUCCEED,
    }
    assert "enforced contract that failed" in reports.pushed["model__warehouse__contract_status"]["message"]
    final = [value for key, value in reports.history if key == "model__warehouse__contract_status"]
    assert all("message" in value for value in final), "a task that reads the first report would not know the reason"
    assert "message" not in reports.pushed["model__warehouse__database_status"], "it may hold values of rows"

    (models / "good.sql").write_text(text.replace("stg_web__visits", "stg_web__visitors"))
    unread = Reports()
    unread.read(project.run_dbt(*flags, uri=target_uri).stdout)
    assert unread.verdict("good") is Verdict.FAIL_FOR_GOOD
    assert "depends on a node named 'stg_web__visitors'" in unread.pushed[PROJECT_ERROR]

    (models / "good.sql").write_text(text)
    away = Reports()
    away.read(project.run_dbt(*flags).stdout)
    assert away.verdict("good") is Verdict.FAIL_WITH_PRODUCER


def test_task_of_a_model_has_the_owner_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path)
    project.model_new("web.visits", "visits_by_number")
    model = project.dbt / "models" / "marts" / "web" / "nobodys.sql"
    model.write_text("{{ config(contract={'enforced': false}) }} select 1 as one")
    assert project.run_dbt("parse").returncode == 0
    monkeypatch.setattr(settings, "DBT_PROJECT", project.dbt)
    monkeypatch.setattr(settings, "DBT_MANIFEST", project.scratch / "manifest.json")
    with DAG("owned", default_args=DEFAULT_ARGS):
        tasks = {task.task_id.removeprefix("dbt."): task.owner for task in build_group("dbt").iter_tasks()}
    assert tasks.pop("stg_web__visits") == tasks.pop("visits_by_number") == "Web: {{ data }}"
    assert "nobodys" in tasks and set(tasks.values()) == {DEFAULT_ARGS["owner"]}


def test_skipped_model_is_a_skipped_task(monkeypatch: pytest.MonkeyPatch) -> None:
    event = asyncio.run(outcome(monkeypatch, {"_status": {"status": "skipped"}}, "running"))
    assert isinstance(event, TaskSkippedEvent)
