"""What the DAG files share: defaults, ids, assets and connections; `dbt` renders the dbt project as tasks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, Connection, ExceptionRetryPolicy, RetryAction, RetryRule

from include import settings
from include.contracts import Contract
from include.errors import FinalError

# Airflow asks an error's type. A FinalError fails its task at once, whatever is left of its tries, and every other
# error is tried again: a TransientError because it may pass, a bug because nobody knows.
RETRY_POLICY = ExceptionRetryPolicy([RetryRule(FinalError, RetryAction.FAIL, reason="trying again would not help")])

DEFAULT_ARGS: dict[str, Any] = {
    "owner": "data-platform",
    "retry_policy": RETRY_POLICY,
    "retries": 2,
    "retry_delay": timedelta(seconds=settings.RETRY_SECONDS),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
}


def landing_dag_id(contract: Contract) -> str:
    """Return the id of the DAG that lands a dataset."""
    return f"land_{contract.source}_{contract.table}"


def landed_asset(contract: Contract) -> Asset:
    """Return the asset that says: new rows stand in this dataset's table of source_db."""
    table = f"{contract.source}/{contract.table}"
    name = f"source_db.{contract.source}.{contract.table}"
    return Asset(name=name, uri=f"postgres://source_db/source_db/{table}", group="landed")


def connection_uri(name: str) -> str:
    """Return the libpq URI of an Airflow connection, wherever Airflow keeps it; for use inside tasks only.

    The environment (AIRFLOW_CONN_<NAME>) wins over the connections of the UI. Raises AirflowNotFoundException, and
    SettingError for what libpq can't read, such as an extra that is no parameter of it.
    """
    return settings.checked_uri(Connection.get(name).get_uri(), f"the connection {name}")
