"""One Airflow DAG a dataset: find its new files, then land them under its contract, a batch a task."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, Metadata, dag, task
from airflow.sdk.exceptions import AirflowSkipException
from airflow.timetables.trigger import CronTriggerTimetable

from include import landing, settings
from include.orchestration import DEFAULT_ARGS, connection_uri, landed_asset_uri, landing_dag_id


def make_dag(contract: landing.Contract) -> Any:
    rows = Asset(
        name=f"source_db.{contract.source}.{contract.table}",
        uri=landed_asset_uri(contract.source, contract.table),
        group="landed",
    )

    @dag(
        dag_id=landing_dag_id(contract.source, contract.table),
        description=f"Lands {contract.name} in source_db, valid rows only",
        doc_md=landing.describe(contract),
        schedule=CronTriggerTimetable(contract.schedule, timezone="UTC", run_immediately=settings.RUN_AT_FIRST_START),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULT_ARGS,
        tags=["landing", contract.source],
    )
    def pipeline() -> None:
        @task
        def find_files() -> list[list[str]]:
            """List the files that wait under the landing root, in batches."""
            landing.ensure_tables([contract], connection_uri("source_db"))
            return landing.batches(landing.pending_files(contract))

        @task(outlets=[rows], map_index_template="{{ batch }}")
        def land(files: list[str]) -> Any:
            """Validate, load and archive one batch; rows that break the contract go to landing.rejects."""
            from airflow.sdk import get_current_context

            get_current_context()["batch"] = landing.batch_name(files)
            result = landing.land(contract, files, source_uri=connection_uri("source_db"))
            if not result.rows_loaded:
                raise AirflowSkipException("no new row in these files, so nothing for the warehouse to do")
            yield Metadata(rows, result.to_json())

        land.expand(files=find_files())

    return pipeline()


for each in landing.contracts():
    if each.is_landed:
        make_dag(each)
