"""The dbt project as Airflow tasks: one `dbt build`, and one task per model that shows how it and its tests fared.

Cosmos' watcher mode runs a single dbt process (the producer) and gives each model a sensor. Out of the box each sensor,
and each test task beside it, takes a worker slot twice, to defer and to resume, and to start a worker costs more than
to build a small model: the demo's models took 23 to 33 s on two cores, take 6 with this, and 4 with a bare `dbt build`.
So here

- the first models' tasks start in the triggerer, wait there for the model and its tests, and end there
  (`start_from_trigger` and `TaskSuccessEvent`, both of Airflow 3);
- a later model's task, which dbt has often built by the time its turn comes, looks in a worker first, because a way
  through the triggerer takes two or three seconds, and waits in the triggerer only if it must;
- a failure goes to a worker, which fails the task with dbt's message, or on a retry builds that one model again;
- the producer reports the end of each model and of its tests, and not every event of every node.

What is private to Cosmos stands in `include.orchestration.cosmos_private`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from airflow.sdk import TaskGroup
from airflow.sdk.exceptions import AirflowSkipException
from airflow.triggers.base import (
    BaseTrigger,
    StartTriggerArgs,
    TaskSkippedEvent,
    TaskSuccessEvent,
    TriggerEvent,
)
from asgiref.sync import sync_to_async
from cosmos import (
    DbtTaskGroup,
    ExecutionConfig,
    ExecutionMode,
    ProfileConfig,
    ProjectConfig,
    RenderConfig,
)
from cosmos.constants import DbtResourceType, InvocationMode, LoadMode
from cosmos.dbt.graph import DbtNode
from cosmos.operators.watcher import DbtProducerWatcherOperator, DbtRunWatcherOperator

from include import settings
from include.orchestration import cosmos_private as private
from include.orchestration.defaults import connection_uri
from include.orchestration.verdict import (
    MESSAGE_LENGTH,
    PROJECT_ERROR,
    DataTestFailedError,
    DbtModelError,
    Verdict,
    assign_tests,
    is_final,
    verdict_on,
)
from include.transform import profile_variables, target_variables

POLL = timedelta(seconds=1)


def build_group(group_id: str) -> TaskGroup:
    """Return a task group that builds the whole dbt project on the connection target_db, one task per model."""
    group = DbtTaskGroup(
        group_id=group_id,
        project_config=ProjectConfig(
            dbt_project_path=settings.DBT_PROJECT,
            manifest_path=settings.DBT_MANIFEST,
            project_name="warehouse",
            install_dbt_deps=False,
        ),
        profile_config=TargetProfile(
            profile_name="warehouse",
            target_name=settings.WAREHOUSE_TARGET,
            profiles_yml_filepath=settings.DBT_PROJECT / "profiles.yml",
        ),
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode.WATCHER,
            invocation_mode=InvocationMode.DBT_RUNNER,
            # The models' own tasks retry, one by one. Unit tests check the SQL, not the data: `make test` runs them.
            setup_operator_args={"retries": 0, "dbt_cmd_flags": ["--exclude-resource-type", "unit_test"]},
        ),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            node_converters=dict.fromkeys((DbtResourceType.MODEL, DbtResourceType.SNAPSHOT), _one_task),
            emit_datasets=False,
        ),
    )
    tests = assign_tests(group.dbt_graph.filtered_nodes)
    for task in group.iter_tasks():
        if isinstance(task, DbtProducerWatcherOperator):
            private.report_events(task, functools.partial(_report_event, producer=task), tests)
        elif isinstance(task, ModelTask):
            task.has_tests = task.model_unique_id in tests
            if not any(isinstance(upstream, ModelTask) for upstream in task.upstream_list):
                task.start_in_triggerer()
    return group


class TargetProfile(ProfileConfig):
    """dbt/profiles.yml, filled from the Airflow connection target_db when a task runs.

    Cosmos' own profile for Postgres loses a URI's parameters, except sslmode, and demands a port.
    """

    @contextlib.contextmanager
    def ensure_profile(self, *args: Any, **kwargs: Any) -> Iterator[tuple[Path, dict[str, str]]]:
        with super().ensure_profile(*args, **kwargs) as (path, variables):
            yield path, {**variables, **profile_variables(connection_uri("target_db")), **target_variables()}


class ModelTask(DbtRunWatcherOperator):
    """A model with its tests. A retry runs `dbt build` of that model alone."""

    base_cmd: ClassVar[list[str]] = ["build"]
    has_tests: bool = False

    def start_in_triggerer(self) -> None:
        """Wait for the producer's report without a worker from the start."""
        self.start_from_trigger = True
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=f"{ModelTrigger.__module__}.{ModelTrigger.__qualname__}",
            trigger_kwargs=self._trigger_arguments(),
            next_method="execute_complete",
            next_kwargs=None,
            timeout=None,
        )

    def execute(self, context: Any, **_: Any) -> None:
        """Act on what the producer has reported; where that is nothing yet, wait for it in the triggerer."""
        ti, node = context["ti"], self.model_unique_id
        status = ti.xcom_pull(self.producer_task_id, key=private.status_key(node))
        project_error = ti.xcom_pull(self.producer_task_id, key=PROJECT_ERROR)
        verdict = verdict_on(
            status,
            ti.xcom_pull(self.producer_task_id, key=private.tests_status_key(node)) if self.has_tests else None,
            has_tests=self.has_tests,
            ended=private.has_ended(private.producer_state(self, context)),
            retried=ti.try_number > 1,
            project_error=project_error,
        )
        if verdict is Verdict.WAIT:
            self.defer(trigger=ModelTrigger(**self._trigger_arguments()), method_name="execute_complete")
        elif verdict is Verdict.SKIP:
            raise AirflowSkipException(f"dbt skipped {node}")
        elif verdict is Verdict.SUCCEED:
            self.log.info("%s is built and tested; the log of %s has dbt's own words", node, self.producer_task_id)
        else:
            self.execute_complete(context, _failure(verdict, status, project_error))

    def execute_complete(self, context: Any, event: dict[str, Any]) -> None:
        """Fail the task, or build the model alone. Raises DbtModelError and DataTestFailedError, which are final."""
        node, verdict = self.model_unique_id, event.get("verdict")
        if verdict == Verdict.FAIL_DATA_TEST:
            raise DataTestFailedError(f"a data test of {node} failed: the log of {self.producer_task_id} says which")
        broken = f"{node} can't be built until its files are mended"
        if verdict == Verdict.FAIL_FOR_GOOD:
            raise DbtModelError(f"{broken}: {event['message']}")
        try:
            super().execute_complete(context, event)
        except Exception as error:
            if is_final(str(error)):  # found when the model was built alone
                raise DbtModelError(f"{broken}: {error}") from error
            raise

    def _trigger_arguments(self) -> dict[str, Any]:
        return {"node": self.model_unique_id, "has_tests": self.has_tests, "producer": self.producer_task_id}


# What Cosmos' own sensor does in a worker after its trigger has ended.
_FAILURES = {
    Verdict.FAIL: private.NODE_FAILED,
    Verdict.FAIL_DATA_TEST: private.NODE_FAILED,
    Verdict.FAIL_FOR_GOOD: private.NODE_FAILED,
    Verdict.FAIL_WITH_PRODUCER: private.PRODUCER_FAILED,
    Verdict.BUILD_ALONE: private.BUILD_THIS_NODE,
}


def _failure(verdict: Verdict, status: dict[str, Any] | None, project_error: str | None) -> dict[str, Any]:
    """Return what a worker needs to fail a task, or to build its model alone."""
    message = (status or {}).get("message") or project_error
    return {**_FAILURES[verdict], "verdict": verdict.value, "message": message}


def _one_task(*, dag: Any, task_group: Any, node: DbtNode, task_args: dict[str, Any], **_: Any) -> ModelTask:
    # Cosmos gives a task the owner that its model names in config.meta, but not one that a converter makes.
    owner = {"owner": node.owner} if node.owner else {}
    return ModelTask(
        task_id=node.name,
        dag=dag,
        task_group=task_group,
        extra_context={"dbt_node_config": node.context_dict},
        **{**task_args, **owner},
    )


def _report_event(line: str, extra_kwargs: dict[str, Any], *, producer: DbtProducerWatcherOperator) -> None:
    """Log one event of dbt and, when it ends a model or the last test of one, report that to the model's task."""
    event = json.loads(line)
    if event["info"].get("level") != "debug":
        private.log_event(event)
    data, ti = event.get("data", {}), extra_kwargs["context"]["ti"]
    if event["info"].get("name") == "MainEncounteredError" and is_final(data.get("exc")):
        ti.xcom_push(key=PROJECT_ERROR, value=data["exc"][:MESSAGE_LENGTH])
    node = data.get("node_info", {})
    name = node.get("unique_id")
    status = private.status_of(event, name, node.get("node_status"), producer)
    if not private.is_terminal(status):
        return
    if node.get("resource_type") == "test":
        private.report_test(name, status, producer, ti)
    elif node.get("resource_type") in ("model", "snapshot"):
        if node.get("node_status") == "error" and "run_result" not in data:
            return  # the model's task would act at once, and the event with dbt's message comes next
        report = {"status": status, "outlet_uris": []}
        message = data.get("run_result", {}).get("message")
        if is_final(message):  # what a database says may hold values of rows, and stays in the log
            report["message"] = message[:MESSAGE_LENGTH]
        ti.xcom_push(key=private.status_key(name), value=report)


class ModelTrigger(BaseTrigger):
    """Wait in the triggerer until the producer has reported a dbt node and its tests."""

    def __init__(self, node: str, has_tests: bool, producer: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.node = node
        self.has_tests = has_tests
        self.producer = producer

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("node", "has_tests", "producer")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: the task's success or skip, or what a worker needs to fail it or to build the model."""
        while True:
            # The state is read before the reports: one that is missing after the producer has ended won't come.
            ended = private.has_ended(await self._producer_state())
            status = await self._report(private.status_key(self.node))
            project_error = await self._report(PROJECT_ERROR) if ended else None
            verdict = verdict_on(
                status,
                await self._report(private.tests_status_key(self.node)) if self.has_tests else None,
                has_tests=self.has_tests,
                ended=ended,
                retried=self._ti.try_number > 1,
                project_error=project_error,
            )
            if verdict is not Verdict.WAIT:
                break
            await asyncio.sleep(POLL.total_seconds())
        if verdict is Verdict.SUCCEED:
            self.log.info("%s is built and tested; the log of %s has dbt's own words", self.node, self.producer)
            yield TaskSuccessEvent()
        elif verdict is Verdict.SKIP:
            yield TaskSkippedEvent()
        else:
            # Also for a final failure: Airflow tries a task again that fails in the triggerer, whatever its reason.
            yield TriggerEvent(_failure(verdict, status, project_error))  # type: ignore[no-untyped-call]

    @property
    def _ti(self) -> Any:
        return self.task_instance

    async def _report(self, key: str) -> Any:
        from airflow.sdk.execution_time.xcom import XCom

        ti = self._ti
        return await sync_to_async(XCom.get_one)(
            run_id=ti.run_id, key=key, task_id=self.producer, dag_id=ti.dag_id, map_index=-1
        )

    async def _producer_state(self) -> str | None:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        ti = self._ti
        states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
            dag_id=ti.dag_id, task_ids=[self.producer], run_ids=[ti.run_id]
        )
        state = states.get(ti.run_id, {}).get(self.producer)
        return None if state is None else str(state)
