"""The assets that connect the pipelines: an event of one says that new rows stand somewhere."""

from __future__ import annotations

from airflow.sdk import Asset

from include.contracts import Contract

RAW = Asset(name="target_db.raw", uri="postgres://target_db/target_db/raw/all", group="warehouse")
MARTS = Asset(name="target_db.marts", uri="postgres://target_db/target_db/marts/all", group="warehouse")


def landed_asset(contract: Contract) -> Asset:
    """Return the asset of a dataset's table in source_db. An event says that new rows have landed there."""
    table = f"{contract.source}/{contract.table}"
    name = f"source_db.{contract.source}.{contract.table}"
    return Asset(name=name, uri=f"postgres://source_db/source_db/{table}", group="landed")
