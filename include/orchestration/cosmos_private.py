"""Everything that the project uses of Cosmos and that Cosmos does not promise to keep.

requirements.txt pins the version that this was written for. A test names each name that another version lacks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from cosmos.listeners.dag_run_listener import EventStatus
from cosmos.operators._watcher.aggregation import get_tests_status_xcom_key as tests_status_key
from cosmos.operators._watcher.aggregation import push_test_result_or_aggregate
from cosmos.operators._watcher.base import _log_dbt_msg as log_event
from cosmos.operators._watcher.base import _rewrite_upstream_failure_skip_status
from cosmos.operators._watcher.state import get_status_xcom_key as status_key
from cosmos.operators._watcher.state import is_dbt_node_status_skipped as is_skipped
from cosmos.operators._watcher.state import is_dbt_node_status_success as is_success
from cosmos.operators._watcher.state import is_dbt_node_status_terminal as is_terminal
from cosmos.operators._watcher.state import is_producer_task_terminated as has_ended
from cosmos.operators._watcher.triggerer import WatcherEventReason
from cosmos.operators.watcher import DbtProducerWatcherOperator, DbtRunWatcherOperator

__all__ = [
    "ATTRIBUTES",
    "BUILD_THIS_NODE",
    "NODE_FAILED",
    "PRODUCER_FAILED",
    "has_ended",
    "is_skipped",
    "is_success",
    "is_terminal",
    "log_event",
    "producer_state",
    "report_events",
    "report_test",
    "status_key",
    "status_of",
    "tests_status_key",
]

# Attributes and methods of Cosmos' operators that are read, set or overridden here and in `cosmos`.
ATTRIBUTES: dict[type, tuple[str, ...]] = {
    DbtProducerWatcherOperator: (
        "_make_parse_callable",
        "_upstream_failure_skipped_ids",
        "tests_per_model",
        "test_results_per_model",
    ),
    DbtRunWatcherOperator: (
        "_get_producer_task_status",
        "execute_complete",
        "model_unique_id",
        "producer_task_id",
    ),
}

# Events that Cosmos' sensor understands when it resumes in a worker. Its word for "build this node by yourself" is that
# the producer was skipped.
NODE_FAILED, PRODUCER_FAILED, BUILD_THIS_NODE = (
    {"status": EventStatus.FAILED, "reason": reason.value}
    for reason in (
        WatcherEventReason.NODE_FAILED,
        WatcherEventReason.PRODUCER_FAILED,
        WatcherEventReason.PRODUCER_SKIPPED,
    )
)


def report_events(
    producer: DbtProducerWatcherOperator, report: Callable[..., None], tests: dict[str, list[str]]
) -> None:
    """Have the producer call report(line, extra_kwargs) for every event of dbt; `tests` are those of each model."""
    producer.tests_per_model = tests
    producer._make_parse_callable = functools.partial(functools.partial, report)


def report_test(name: str, status: str, producer: DbtProducerWatcherOperator, ti: Any) -> None:
    """Count a test that has ended, and push its model's verdict once that model's last test has."""
    push_test_result_or_aggregate(name, status, producer.tests_per_model, producer.test_results_per_model, ti)


def status_of(event: dict[str, Any], name: str, status: str, producer: DbtProducerWatcherOperator) -> Any:
    """Return a node's status. A skip because of a failure further up is not the skip of a model that is unchanged."""
    return _rewrite_upstream_failure_skip_status(event, name, status, producer._upstream_failure_skipped_ids)


def producer_state(task: DbtRunWatcherOperator, context: Any) -> Any:
    """Return the state of the producer's task, as a worker sees it."""
    return task._get_producer_task_status(context)
