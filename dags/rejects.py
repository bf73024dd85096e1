"""The `replay_rejects` DAG: judge rejected rows again, load those that are valid now, and start the warehouse."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, AssetAlias, Metadata, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from include.contracts import read_all, select
from include.orchestration.assets import landed_asset
from include.orchestration.defaults import DEFAULT_ARGS, connection_uri
from include.orchestration.rejects import DOC, replay_datasets

REPLAYED = AssetAlias("replayed rejects")


def make_dag() -> None:
    """Register the DAG."""
    with DAG(
        dag_id="replay_rejects",
        description="Loads rejected rows that are valid by now, after the contract or the row was mended",
        doc_md=DOC,
        schedule=None,
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULT_ARGS,
        tags=["landing"],
        params={
            "datasets": Param([], type="array", items={"type": "string"}, description="All where none is named"),
            "path": Param(None, type=["null", "string"], description="Only of this file"),
            "code": Param(None, type=["null", "string"], description="Only with this code"),
        },
    ):

        @task(outlets=[REPLAYED])
        def replay() -> Any:
            """Judge the rejected rows of the chosen datasets again, and say of which tables new rows are there."""
            params = get_current_context()["params"]
            contracts = select(params["datasets"], read_all()).readable
            loaded = replay_datasets(contracts, connection_uri("source_db"), path=params["path"], code=params["code"])
            if not loaded:
                raise AirflowSkipException(
                    "no rejected row is valid by now, so there is nothing for the warehouse to do"
                )
            for contract, result in loaded:
                yield Metadata(landed_asset(contract), {"replayed": result.loaded}, alias=REPLAYED)

        replay()


if any(contract.is_landed for contract in read_all().readable):  # else nothing can be rejected
    make_dag()
