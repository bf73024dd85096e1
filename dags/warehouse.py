"""The `warehouse` DAG: move the source tables to the target, build the dbt project there, say what came of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetAny, Metadata, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include import build, landing, settings, status, transfer
from include.contracts import read_contracts
from include.orchestration import DEFAULT_ARGS, connection_uri, landed_asset, landing_dag_id
from include.orchestration.dbt import build_group

DOC = """
### Warehouse

Runs when a landing DAG has loaded new rows, or by hand.

1. **plan_transfer** waits for landing that is going on, then lists the tables and how each one will travel.
2. **transfer** moves one table a task from source_db to `raw_<source>` in target_db; each swaps in whole or not at all.
3. **dbt** builds staging, intermediate and marts; a task a model, its tests included.
4. **summary** counts what stands in each mart; **dbt_docs** refreshes the docs in the UI after a change of the project.

Triggered by hand it takes `tables` (patterns such as `retail.*`), `full` (move every row again) and `verify` (compare
checksums of every column as well as row counts).
"""

contracts = read_contracts()
landed = [contract for contract in contracts if contract.is_landed]
landed_assets = [landed_asset(contract) for contract in landed]
ALL_TABLES = sorted({f"{contract.source}.*" for contract in contracts})
raw = Asset(name="target_db.raw", uri="postgres://target_db/target_db/raw/all", group="warehouse")
marts = Asset(name="target_db.marts", uri="postgres://target_db/target_db/marts/all", group="warehouse")

with DAG(
    dag_id="warehouse",
    description="Moves the source tables to the target and builds the marts",
    doc_md=DOC,
    schedule=AssetAny(*landed_assets),
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

    @task(inlets=[marts, *landed_assets])
    def plan_transfer(landing_dags: list[str]) -> list[dict[str, Any]]:
        """List the tables to move, once the landing that is under way has ended (for at most ten minutes)."""
        context = get_current_context()
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and any(
            context["ti"].get_dr_count(dag_id=dag_id, states=["running"]) for dag_id in landing_dags
        ):
            time.sleep(1)
        # Landing DAGs end one after the other, and the run that the first of them started has waited for the others.
        # The newest events count, not this run's own, which lack those that came while it waited for the run before it.
        events = context["inlet_events"]
        landings = [event.timestamp for asset in landed_assets for event in events[asset].ascending(False).limit(1)]
        built = list(events[marts].ascending(False).limit(1))
        read_after = built[0].extra.get("read_after") if built else None
        is_triggered = context["dag_run"].run_type == "asset_triggered"
        if is_triggered and read_after and max(landings) < datetime.fromisoformat(read_after):
            raise AirflowSkipException("the rows that started this run are in the marts already")
        if context["params"]["tables"] == ALL_TABLES:
            context["ti"].xcom_push("read_after", datetime.now(UTC).isoformat())
        landing.ensure_tables(landed, connection_uri("source_db"))
        plans = transfer.plan(
            connection_uri("source_db"),
            connection_uri("target_db"),
            include=context["params"]["tables"],
            full=context["params"]["full"],
            schema_prefix="raw_",
            modes=transfer.read_modes(settings.TRANSFER_MODES),
        )
        if not plans:
            raise AirflowFailException(f"no table of source_db matches {', '.join(context['params']['tables'])}")
        for plan in plans:
            print(f"{plan.source}: {plan.reason}")
        return [plan.to_json() for plan in plans]

    @task(priority_weight=1000)
    def hold_snapshot(plans: list[dict[str, Any]]) -> int:
        """Hold one moment of the source open until every table has been read at it."""
        return transfer.hold_snapshot(
            connection_uri("source_db"),
            connection_uri("target_db"),
            get_current_context()["run_id"],
            [transfer.TablePlan.from_json(plan) for plan in plans],
        )

    @task(pool="transfer", map_index_template="{{ table }}", execution_timeout=timedelta(hours=6))
    def transfer_table(plan: dict[str, Any]) -> dict[str, Any]:
        """Move one table, whole or not at all."""
        context = get_current_context()
        table = transfer.TablePlan.from_json(plan)
        context["table"] = table.source
        target, run_id = connection_uri("target_db"), context["run_id"]
        result = transfer.transfer_table(
            connection_uri("source_db"),
            target,
            table,
            run_id=run_id,
            snapshot=transfer.shared_snapshot(target, run_id, table),
            verify=context["params"]["verify"],
        )
        return result.to_json()

    @task(outlets=[raw], trigger_rule="none_skipped")  # also after a failure, or the moment would be held on
    def transferred() -> Any:
        """Let go of the moment, and say that every table is across, or which one is not."""
        context = get_current_context()
        transfer.release_snapshot(connection_uri("target_db"), context["run_id"])
        plans = context["ti"].xcom_pull(task_ids="plan_transfer")
        results = [result for result in context["ti"].xcom_pull(task_ids=["transfer_table"]) if result]
        if plans is None:
            raise AirflowFailException("there was no plan: see the log of plan_transfer")
        missing = {plan["source"] for plan in plans} - {result["source"] for result in results}
        if missing:
            raise AirflowFailException(
                f"not across, and left as they were: {', '.join(sorted(missing))}; see their logs"
            )
        print(status.format_table(["source", "mode", "rows", "rows_changed", "seconds", "verdict"], results))
        counts = {name: sum(result[name] for result in results) for name in ("rows", "rows_changed", "bytes")}
        yield Metadata(raw, {"tables": len(results), **counts})

    @task(outlets=[marts])
    def summary() -> Any:
        """Count the rows of each mart."""
        rows = status.count_marts(connection_uri("target_db"))
        print(status.format_table(["mart", "rows"], [{"mart": name, "rows": count} for name, count in rows.items()]))
        read_after = get_current_context()["ti"].xcom_pull(task_ids="plan_transfer", key="read_after")
        yield Metadata(marts, {"rows": rows, "read_after": read_after})

    @task
    def dbt_docs() -> None:
        """Make the dbt docs that the UI shows, where the project has changed since they were made."""
        if build.docs_are_stale() and build.make_docs(connection_uri("target_db")):
            raise build.DbtRunError("dbt could not make its docs; its messages stand above")

    plans = plan_transfer([landing_dag_id(contract) for contract in landed])
    hold_snapshot(plans)
    transfer_table.expand(plan=plans) >> transferred() >> build_group("dbt") >> [summary(), dbt_docs()]
