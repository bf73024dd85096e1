from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent
from cosmos.constants import DbtResourceType

from include import settings
from include.errors import SettingError
from include.orchestration.cosmos import ModelTrigger, TargetProfile, _tests_by_model
from include.orchestration.defaults import connection_uri

MODEL = "model.warehouse.my_mart"


def test_dbt_in_airflow_reads_every_parameter_of_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "postgresql://me:p%40ss@[::1]/shop?sslmode=verify-full&sslrootcert=%2Fca.pem&connect_timeout=7"
    monkeypatch.setenv("AIRFLOW_CONN_TARGET_DB", uri)
    path = settings.DBT_PROJECT / "profiles.yml"
    with TargetProfile("warehouse", "target_db", profiles_yml_filepath=path).ensure_profile() as (used, variables):
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
    assert _tests_by_model(nodes) == {"staging": ["alone"], "mart": ["chain", "apart"], "other_mart": ["apart"]}


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
        assert event.payload == {"status": "failed", "reason": reason}


def test_failed_data_test_fails_the_task_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = {"_status": {"status": "success"}, "_tests_status": "fail"}
    assert isinstance(asyncio.run(outcome(monkeypatch, reports, "running")), TaskFailedEvent)


def test_skipped_model_is_a_skipped_task(monkeypatch: pytest.MonkeyPatch) -> None:
    event = asyncio.run(outcome(monkeypatch, {"_status": {"status": "skipped"}}, "running"))
    assert isinstance(event, TaskSkippedEvent)
