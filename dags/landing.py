"""One Airflow DAG per dataset: find its new files, then land them under its contract, one task per batch.

An error at import would take every DAG of this file away, so a contract that can't be read gets a DAG as well: its one
task fails with the sentence that says what is wrong.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Metadata, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from include import landing
from include.contracts import BrokenContract, Contract, ContractError, read_all, select
from include.orchestration.assets import landed_asset
from include.orchestration.defaults import DEFAULT_ARGS, connection_uri
from include.orchestration.landing import (
    check_all_landed,
    dag_page,
    find_batches,
    has_news,
    land_batch,
    landing_schedule,
)


def make_dag(contract: Contract) -> None:
    """Register the DAG that lands one dataset."""
    rows = landed_asset(contract)

    @dag(
        dag_id=contract.pipeline,
        description=f"Lands {contract.name} in source_db: valid rows in the table, the others in landing.rejects",
        doc_md=dag_page(contract),
        schedule=landing_schedule(contract.schedule),
        catchup=False,
        max_active_runs=1,
        default_args={**DEFAULT_ARGS, "owner": contract.owner},
        tags=["landing", contract.source],
    )
    def pipeline() -> None:
        @task
        def find_files() -> list[list[str]]:
            """Fetch what a URL has new, and list the files that wait below the landing root, in batches."""
            return find_batches(contract, connection_uri("source_db"))

        # One batch after the other: of two versions of a row, the later file's has to be the newer.
        @task(outlets=[rows], map_index_template="{{ batch }}", max_active_tis_per_dagrun=1)
        def land(files: list[str]) -> Any:
            """Validate, load and archive one batch; rows that break the contract go to landing.rejects."""
            context = get_current_context()
            context["batch"] = landing.batch_name(files)
            result = land_batch(contract, files, connection_uri("source_db"))
            context["ti"].xcom_push("not_landed", list(result.errors))
            if not has_news(result, context["ti"].try_number):
                raise AirflowSkipException("these files held no new row, so there is nothing for the warehouse to do")
            yield Metadata(rows, result.to_json())

        @task(trigger_rule="none_failed_min_one_success")
        def report_held_files() -> None:
            """Fail, with the reasons, when files could not be landed. The others' rows have started the warehouse."""
            check_all_landed(get_current_context()["ti"].xcom_pull(task_ids=["land"], key="not_landed"))

        land.expand(files=find_files()) >> report_held_files()

    pipeline()


def make_failing_dag(contract: BrokenContract) -> None:
    """Register the DAG of a dataset whose contract can't be read: each of its runs fails and says why."""

    @dag(
        dag_id=contract.pipeline,
        description=f"Lands nothing: the contract of {contract.name} can't be read",
        doc_md=f"### {contract.name}\nNothing lands until the contract is mended:\n\n{contract.problem}",
        schedule=landing_schedule(contract.schedule),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULT_ARGS,
        tags=["landing", "broken contract"],
    )
    def pipeline() -> None:
        @task
        def read_contract() -> None:
            """Fail with what is wrong with the contract."""
            raise ContractError(contract.problem)

        read_contract()

    pipeline()


contracts = select([], read_all())
for each in contracts.readable:
    make_dag(each)
for broken in contracts.broken:
    make_failing_dag(broken)
