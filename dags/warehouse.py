"""The `warehouse` DAG: move the source tables to the target, build the dbt project there, summarise the marts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Metadata, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from include import transfer, transform
from include.contracts import read_all, source_tables
from include.orchestration.assets import MARTS, RAW, landed_asset
from include.orchestration.cosmos import build_group
from include.orchestration.defaults import DEFAULT_ARGS, connection_uri
from include.orchestration.warehouse import (
    DOC,
    check_all_moved,
    ensure_landing_tables,
    is_superfluous,
    plan_tables,
    wait_until_idle,
    warehouse_schedule,
)

contracts = read_all()
landed = [contract for contract in contracts.readable if contract.is_landed]
landed_assets = [landed_asset(contract) for contract in landed]
ALL_TABLES = source_tables(contracts.every)

with DAG(
    dag_id="warehouse",
    description="Moves the source tables to the target and builds the marts",
    doc_md=DOC,
    schedule=warehouse_schedule(landed_assets),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["warehouse", "transfer", "dbt"],
    params={
        "tables": Param(ALL_TABLES, type="array", items={"type": "string"}),
        "full": Param(False, type="boolean", description="Move every row, also where changes alone would do"),
        "verify": Param(False, type="boolean", description="Compare checksums of every column as well as row counts"),
    },
):

    @task(inlets=[MARTS, *landed_assets])
    def plan_transfer(landing_dags: list[str]) -> list[dict[str, Any]]:
        """List the tables to move, once the landing that is under way has ended (for at most ten minutes)."""
        context = get_current_context()
        ti, params, events = context["ti"], context["params"], context["inlet_events"]
        wait_until_idle(lambda: any(ti.get_dr_count(dag_id=dag, states=["running"]) for dag in landing_dags))
        # The newest events count, not those of this run, which lack what came while it waited for the run before it.
        newest = [event for asset in landed_assets for event in events[asset].ascending(False).limit(1)]
        built = [event.extra.get("read_after") for event in events[MARTS].ascending(False).limit(1)]
        landed_at, read_after = [event.timestamp for event in newest], next(iter(built), None)
        if is_superfluous(context["dag_run"].run_type, landed_at, read_after):
            raise AirflowSkipException("the rows that started this run are in the marts already")
        is_whole = params["tables"] == ALL_TABLES
        if is_whole:
            ti.xcom_push("read_after", datetime.now(UTC).isoformat())
        source, target = connection_uri("source_db"), connection_uri("target_db")
        for sentence in [contract.problem for contract in contracts.broken] + ensure_landing_tables(landed, source):
            print(f"{sentence}\n  the other tables travel, and this one as it is")
        planned = plan_tables(source, target, params["tables"], full=params["full"], may_be_none=is_whole)
        if not planned:
            raise AirflowSkipException("source_db has no table to move yet")
        return planned

    @task(priority_weight=1000)
    def hold_snapshot(plans: list[dict[str, Any]]) -> int:
        """Hold one snapshot of the source open until every table has been read at it."""
        tables = [transfer.TablePlan.from_json(plan) for plan in plans]
        run_id = get_current_context()["run_id"]
        return transfer.hold_snapshot(connection_uri("source_db"), connection_uri("target_db"), run_id, tables)

    @task(pool="transfer", map_index_template="{{ table }}", execution_timeout=timedelta(hours=6))
    def transfer_table(plan: dict[str, Any]) -> dict[str, Any]:
        """Move one table, whole or not at all."""
        context = get_current_context()
        table = transfer.TablePlan.from_json(plan)
        context["table"] = table.source
        source, target, run_id = connection_uri("source_db"), connection_uri("target_db"), context["run_id"]
        snapshot = transfer.shared_snapshot(target, run_id, table)
        verify = context["params"]["verify"]
        result = transfer.transfer_table(source, target, table, run_id=run_id, snapshot=snapshot, verify=verify)
        return result.to_json()

    @task(outlets=[RAW], trigger_rule="none_skipped")  # also after a failure, or the snapshot would be held on
    def transferred() -> Any:
        """Release the snapshot, and say that every table has been moved, or which one has not."""
        context = get_current_context()
        transfer.release_snapshot(connection_uri("target_db"), context["run_id"])
        results = [result for result in context["ti"].xcom_pull(task_ids=["transfer_table"]) if result]
        yield Metadata(RAW, check_all_moved(context["ti"].xcom_pull(task_ids="plan_transfer"), results))

    @task(outlets=[MARTS])
    def summary() -> Any:
        """Count the rows of each mart."""
        marts = transform.summary(connection_uri("target_db"))
        print(marts)
        read_after = get_current_context()["ti"].xcom_pull(task_ids="plan_transfer", key="read_after")
        yield Metadata(MARTS, {"rows": {row["mart"]: row["rows"] for row in marts.rows}, "read_after": read_after})

    @task
    def dbt_docs() -> None:
        """Make the dbt docs that the UI shows, where the project has changed since they were made."""
        if transform.docs_are_stale() and transform.make_docs(connection_uri("target_db")):
            raise transform.DbtRunError("dbt could not make its docs: its messages stand above")

    plans = plan_transfer([contract.pipeline for contract in landed])
    hold_snapshot(plans)
    transfer_table.expand(plan=plans) >> transferred() >> build_group("dbt") >> [summary(), dbt_docs()]
