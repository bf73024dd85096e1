"""What the DAG files share: defaults, assets, connections, and the dbt project rendered as tasks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from include import settings

OWNER = "data-platform"

DEFAULT_ARGS: dict[str, Any] = {
    "owner": OWNER,
    "retries": 2,
    "retry_delay": timedelta(seconds=float(settings.setting("RETRY_SECONDS", "20"))),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
}


def landing_dag_id(source: str, table: str) -> str:
    """Return the id of the DAG that lands a dataset."""
    return f"land_{source}_{table}"


def landed_asset_uri(source: str, table: str) -> str:
    """Return the URI of the asset that says: new rows stand in this table of source_db."""
    return f"postgres://source_db/source_db/{source}/{table}"


def connection_uri(name: str) -> str:
    """Return the libpq URI of an Airflow connection, wherever Airflow keeps it; for use inside tasks only.

    The environment (AIRFLOW_CONN_<NAME>) wins over the connections of the UI. Raises AirflowNotFoundException.
    """
    from airflow.sdk import Connection

    return "postgresql://" + Connection.get(name).get_uri().partition("://")[2]
