"""What every task starts from: owner, retries and the connections that Airflow keeps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Connection, ExceptionRetryPolicy, RetryAction, RetryRule

from include import settings
from include.contracts import DEFAULT_OWNER
from include.errors import FinalError

# Airflow asks an error's type. A FinalError fails its task at once, whatever is left of its tries, and every other
# error is tried again: a TransientError because it may pass, a bug because nobody knows.
RETRY_POLICY = ExceptionRetryPolicy([RetryRule(FinalError, RetryAction.FAIL, reason="trying again would not help")])

DEFAULT_ARGS: dict[str, Any] = {
    "owner": DEFAULT_OWNER,  # a dataset's DAG and a model have their own
    "retry_policy": RETRY_POLICY,
    "retries": 2,
    "retry_delay": timedelta(seconds=settings.RETRY_SECONDS),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
}


def connection_uri(name: str) -> str:
    """Return the libpq URI of an Airflow connection, wherever Airflow keeps it; for use inside tasks only.

    The environment (AIRFLOW_CONN_<NAME>) wins over the connections of the UI. Raises AirflowNotFoundException, and
    SettingError for what libpq can't read, such as an extra that is no parameter of it.
    """
    return settings.checked_uri(Connection.get(name).get_uri(), f"the connection {name}")


def connection_password(name: str) -> str:
    """Return the password of an Airflow connection, wherever Airflow keeps it; for use inside tasks only.

    Airflow hides it in the task's log from then on. Raises AirflowNotFoundException.
    """
    return Connection.get(name).password or ""
