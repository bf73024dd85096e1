"""The dbt project as Airflow tasks: one `dbt build`, and one task a model that shows how the model and its tests fared.

Cosmos' watcher mode runs a single dbt process (the producer) and gives each model a sensor. As they come, those
sensors and their separate test tasks occupy a worker twice each, to defer and to resume, and starting a worker costs
more than building a small model. Here a first model's task starts in the triggerer, waits there for the model and its
tests, and ends there (`start_from_trigger` and `TaskSuccessEvent`, both of Airflow 3). A later model's task, which dbt
has often built by the time its turn comes, looks in a worker first, because a way through the triggerer takes two
seconds or three; it waits in the triggerer only if it must. A failure is told, and on a retry that one model built
again, in a worker. For the same reason the producer reports the end of each model and of its tests, and not every event
of every node.

What is imported from `cosmos.operators._watcher` is Cosmos' own; requirements.txt pins the version it was read in.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from enum import StrEnum, auto
from pathlib import Path
from typing import Any, ClassVar

from airflow.sdk import TaskGroup
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.triggers.base import (
    BaseTrigger,
    StartTriggerArgs,
    TaskFailedEvent,
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
from cosmos.listeners.dag_run_listener import EventStatus
from cosmos.operators._watcher.aggregation import get_tests_status_xcom_key, push_test_result_or_aggregate
from cosmos.operators._watcher.base import _log_dbt_msg, _rewrite_upstream_failure_skip_status
from cosmos.operators._watcher.state import (
    get_status_xcom_key,
    is_dbt_node_status_skipped,
    is_dbt_node_status_success,
    is_dbt_node_status_terminal,
    is_producer_task_terminated,
)
from cosmos.operators._watcher.triggerer import WatcherEventReason
from cosmos.operators.watcher import DbtProducerWatcherOperator, DbtRunWatcherOperator

from include import settings
from include.build import profile_variables
from include.orchestration import connection_uri

POLL = timedelta(seconds=1)


def build_group(group_id: str) -> TaskGroup:
    """Return a task group that builds the whole dbt project on the connection target_db, a task a model."""
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
            target_name="target_db",
            profiles_yml_filepath=settings.DBT_PROJECT / "profiles.yml",
        ),
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode.WATCHER,
            invocation_mode=InvocationMode.DBT_RUNNER,
            # The models' own tasks retry, one by one. Unit tests judge the SQL, not the data: `make test` runs them.
            setup_operator_args={"retries": 0, "dbt_cmd_flags": ["--exclude-resource-type", "unit_test"]},
        ),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            node_converters=dict.fromkeys((DbtResourceType.MODEL, DbtResourceType.SNAPSHOT), _one_task),
            emit_datasets=False,
        ),
    )
    tests = _tests_by_model(group.dbt_graph.filtered_nodes)
    for task in group.iter_tasks():
        if isinstance(task, DbtProducerWatcherOperator):
            task.tests_per_model = tests
            task._make_parse_callable = functools.partial(functools.partial, _report_event, producer=task)
        elif isinstance(task, ModelTask):
            task.has_tests = task.model_unique_id in tests
            if not any(isinstance(upstream, ModelTask) for upstream in task.upstream_list):
                task.start_in_triggerer()
    return group


class TargetProfile(ProfileConfig):
    """dbt/profiles.yml, filled from the Airflow connection target_db when a task runs.

    Of Cosmos' own profile for Postgres, a URI's parameters but sslmode are lost, and one without a port is refused.
    """

    @contextlib.contextmanager
    def ensure_profile(self, *args: Any, **kwargs: Any) -> Iterator[tuple[Path, dict[str, str]]]:
        with super().ensure_profile(*args, **kwargs) as (path, variables):
            yield path, {**variables, **profile_variables(connection_uri("target_db"))}


class Verdict(StrEnum):
    """What a model's task does, by what the producer has reported so far."""

    WAIT = auto()
    SUCCEED = auto()
    SKIP = auto()
    FAIL_FOR_GOOD = auto()  # a data test failed: the same rows would fail it again
    FAIL = auto()
    FAIL_WITH_PRODUCER = auto()
    BUILD_ALONE = auto()  # a retry after the producer has ended


def judge(status: dict[str, Any] | None, tests: str | None, *, has_tests: bool, over: bool, retried: bool) -> Verdict:
    """Return the verdict on a model from its reported status, that of its tests, and whether the producer is over."""
    if over and retried:
        return Verdict.BUILD_ALONE
    model = status["status"] if status else None
    if is_dbt_node_status_skipped(model):
        return Verdict.SKIP
    if model and not is_dbt_node_status_success(model):
        return Verdict.FAIL
    if model and (not has_tests or is_dbt_node_status_success(tests)):
        return Verdict.SUCCEED
    if model and tests:
        return Verdict.FAIL_FOR_GOOD
    return Verdict.FAIL_WITH_PRODUCER if over else Verdict.WAIT


class ModelTask(DbtRunWatcherOperator):
    """A model with its tests; what a retry runs is `dbt build` of that model alone."""

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
        """Look what the producer has reported; where that is nothing yet, wait for it in the triggerer."""
        ti, node = context["ti"], self.model_unique_id
        verdict = judge(
            ti.xcom_pull(self.producer_task_id, key=get_status_xcom_key(node)),
            ti.xcom_pull(self.producer_task_id, key=get_tests_status_xcom_key(node)) if self.has_tests else None,
            has_tests=self.has_tests,
            over=is_producer_task_terminated(self._get_producer_task_status(context)),
            retried=ti.try_number > 1,
        )
        if verdict is Verdict.WAIT:
            self.defer(trigger=ModelTrigger(**self._trigger_arguments()), method_name="execute_complete")
        elif verdict is Verdict.SKIP:
            raise AirflowSkipException(f"dbt skipped {node}")
        elif verdict is Verdict.FAIL_FOR_GOOD:
            raise AirflowFailException(f"a data test of {node} failed; the log of {self.producer_task_id} says which")
        elif verdict is Verdict.SUCCEED:
            self.log.info("%s is built and tested; the log of %s has dbt's own words", node, self.producer_task_id)
        else:
            self.execute_complete(context, _FAILURES[verdict])

    def _trigger_arguments(self) -> dict[str, Any]:
        return {"node": self.model_unique_id, "has_tests": self.has_tests, "producer": self.producer_task_id}


# What a worker is told, in Cosmos' words; PRODUCER_SKIPPED is its word for: build this node on its own.
_FAILURES = {
    verdict: {"status": EventStatus.FAILED, "reason": reason.value}
    for verdict, reason in (
        (Verdict.FAIL, WatcherEventReason.NODE_FAILED),
        (Verdict.FAIL_WITH_PRODUCER, WatcherEventReason.PRODUCER_FAILED),
        (Verdict.BUILD_ALONE, WatcherEventReason.PRODUCER_SKIPPED),
    )
}


def _one_task(*, dag: Any, task_group: Any, node: DbtNode, task_args: dict[str, Any], **_: Any) -> ModelTask:
    return ModelTask(
        task_id=node.name,
        dag=dag,
        task_group=task_group,
        extra_context={"dbt_node_config": node.context_dict},
        **task_args,
    )


def _tests_by_model(nodes: dict[str, DbtNode]) -> dict[str, list[str]]:
    """Return the tests of each model. A test that reads several models counts for the last of them alone.

    Otherwise an early model's task, and all that follow it, would wait for a test that needs the late one.
    """

    def ancestors(name: str) -> set[str]:
        above = set(nodes[name].depends_on) & nodes.keys()
        return above.union(*map(ancestors, above))

    found: dict[str, list[str]] = {}
    for name, node in nodes.items():
        if node.resource_type == DbtResourceType.TEST:
            read = [parent for parent in node.depends_on if parent in nodes]
            early = set().union(*map(ancestors, read))
            for model in set(read) - early:
                found.setdefault(model, []).append(name)
    return found


def _report_event(line: str, extra_kwargs: dict[str, Any], *, producer: DbtProducerWatcherOperator) -> None:
    """Log one event of dbt and, when it ends a model or the last test of one, tell that model's task."""
    event = json.loads(line)
    if event["info"].get("level") != "debug":
        _log_dbt_msg(event)
    node = event.get("data", {}).get("node_info", {})
    name = node.get("unique_id")
    status = _rewrite_upstream_failure_skip_status(
        event, name, node.get("node_status"), producer._upstream_failure_skipped_ids
    )
    if not is_dbt_node_status_terminal(status):
        return
    ti = extra_kwargs["context"]["ti"]
    if node.get("resource_type") == "test":
        push_test_result_or_aggregate(name, status, producer.tests_per_model, producer.test_results_per_model, ti)
    elif node.get("resource_type") in ("model", "snapshot"):
        ti.xcom_push(key=get_status_xcom_key(name), value={"status": status, "outlet_uris": []})


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
        """Yield one event: the task's success or skip, or else what a worker needs to fail it or build it again."""
        while True:
            # The producer's state is read first: a report that is missing after the producer has ended won't come.
            over = is_producer_task_terminated(await self._producer_state())
            verdict = judge(
                await self._report(get_status_xcom_key(self.node)),
                await self._report(get_tests_status_xcom_key(self.node)) if self.has_tests else None,
                has_tests=self.has_tests,
                over=over,
                retried=self._ti.try_number > 1,
            )
            if verdict is not Verdict.WAIT:
                break
            await asyncio.sleep(POLL.total_seconds())
        if verdict is Verdict.SUCCEED:
            self.log.info("%s is built and tested; the log of %s has dbt's own words", self.node, self.producer)
            yield TaskSuccessEvent()
        elif verdict is Verdict.SKIP:
            yield TaskSkippedEvent()
        elif verdict is Verdict.FAIL_FOR_GOOD:
            self.log.error("A data test of %s failed; the log of %s says which", self.node, self.producer)
            yield TaskFailedEvent()
        else:
            yield TriggerEvent(_FAILURES[verdict])  # type: ignore[no-untyped-call]

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
