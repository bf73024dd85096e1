"""An error's type says whether Airflow tries its task again."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from airflow.sdk import RetryAction
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy

import include
from include.errors import FinalError, TransientError, WarehouseError
from include.orchestration.defaults import DEFAULT_ARGS, RETRY_POLICY


def project_errors() -> list[type[WarehouseError]]:
    for module in pkgutil.walk_packages(include.__path__, "include."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: list[type[WarehouseError]] = []
    waiting = [WarehouseError]
    while waiting:
        found.append(waiting.pop())
        waiting += found[-1].__subclasses__()
    return found


def test_every_error_that_is_raised_is_either_final_or_transient() -> None:
    """A class that is neither only unites others, as TransferError does."""
    for each in project_errors():
        is_final, is_transient = issubclass(each, FinalError), issubclass(each, TransientError)
        assert not (is_final and is_transient), each
        assert is_final or is_transient or each.__subclasses__(), f"{each} is neither final nor transient"


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (FinalError("the contract is wrong"), RetryAction.FAIL),
        (TransientError("the server is away"), RetryAction.DEFAULT),
        (KeyError("a bug"), RetryAction.DEFAULT),
    ],
)
def test_final_errors_alone_use_up_no_tries(error: Exception, action: RetryAction) -> None:
    stored = ExceptionRetryPolicy.deserialize(RETRY_POLICY.serialize())  # as the worker gets it
    assert DEFAULT_ARGS["retry_policy"] is RETRY_POLICY
    assert stored.evaluate(error, 1, 2).action is action
