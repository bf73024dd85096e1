"""What becomes of a model's task, by what dbt has reported of the model and of its tests."""

from __future__ import annotations

import re
from enum import StrEnum, auto
from typing import Any

from cosmos.constants import DbtResourceType
from cosmos.dbt.graph import DbtNode

from include.errors import FinalError
from include.orchestration import cosmos_private as private

PROJECT_ERROR = "project_error"  # key of the producer's report that dbt can't read the project and builds no model
MESSAGE_LENGTH = 4000  # characters of a message of dbt that go into a report
# How dbt's messages begin that are about the project's files and not about the database: a broken reference, YAML that
# is none, a mart whose columns are not those of its contract.
_FINAL = re.compile(r"(^|[:\n]\s*)(Compilation|Parsing|Validation) Error\b")


class DataTestFailedError(FinalError):
    """A data test of a model failed. The same rows would fail it again."""


class DbtModelError(FinalError):
    """dbt can't compile a model, or its columns break its contract. The same files would fail again."""


class Verdict(StrEnum):
    """What a model's task does, by what the producer has reported so far."""

    WAIT = auto()
    SUCCEED = auto()
    SKIP = auto()
    FAIL_DATA_TEST = auto()  # for good: the same rows would fail it again
    FAIL_FOR_GOOD = auto()  # dbt can't compile the model or read the project: the same files would fail again
    FAIL = auto()
    FAIL_WITH_PRODUCER = auto()
    BUILD_ALONE = auto()  # a retry after the producer has ended


def is_final(message: str | None) -> bool:
    """Return whether a message of dbt is about the project's files, so that trying again does not help."""
    return bool(message and _FINAL.search(message))


def verdict_on(
    status: dict[str, Any] | None,
    tests: str | None,
    *,
    has_tests: bool,
    ended: bool,
    retried: bool,
    project_error: str | None = None,
) -> Verdict:
    """Return the verdict on a model, from what the producer has reported of the model and of its tests.

    `ended`: the producer has ended, so no further report will come. `retried`: this is not the task's first try.
    `project_error`: why dbt can't read the project.
    """
    if ended and retried:
        return Verdict.BUILD_ALONE
    model = status["status"] if status else None
    if private.is_skipped(model):
        return Verdict.SKIP
    if model and not private.is_success(model):
        return Verdict.FAIL_FOR_GOOD if is_final((status or {}).get("message")) else Verdict.FAIL
    if model and (not has_tests or private.is_success(tests)):
        return Verdict.SUCCEED
    if model and tests:
        return Verdict.FAIL_DATA_TEST
    if project_error:
        return Verdict.FAIL_FOR_GOOD
    return Verdict.FAIL_WITH_PRODUCER if ended else Verdict.WAIT


def assign_tests(nodes: dict[str, DbtNode]) -> dict[str, list[str]]:
    """Return the tests of each model. A test that reads several models belongs to the last of them alone."""
    # Otherwise an early model's task, and all that follow it, would wait for a test that needs the late one.

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
