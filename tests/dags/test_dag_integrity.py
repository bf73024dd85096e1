"""Every DAG file imports, and every DAG keeps the habits that the people who run it rely on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from include import settings
from include.contracts import read_contracts

FILES = sorted((settings.PROJECT / "dags").glob("*.py"))


@pytest.fixture(scope="session")
def dagbag(manifest: None) -> DagBag:
    return DagBag(str(settings.PROJECT / "dags"))


LANDED = [contract for contract in read_contracts() if contract.is_landed]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_file_imports_and_holds_dags(dagbag: DagBag, file: Path) -> None:
    assert {name: error for name, error in dagbag.import_errors.items() if name.endswith(file.name)} == {}
    found = [dag.dag_id for dag in dagbag.dags.values() if Path(dag.fileloc).name == file.name]
    assert found or (file.name in ("landing.py", "rejects.py") and not LANDED)


def test_there_is_a_dag_for_each_landed_contract_beside_the_warehouse(dagbag: DagBag) -> None:
    assert {contract.pipeline for contract in LANDED} | {"warehouse"} <= set(dagbag.dag_ids)
    assert ("replay_rejects" in dagbag.dag_ids) == bool(LANDED)


def test_every_dag_is_documented_owned_and_safe_to_repeat(dagbag: DagBag) -> None:
    for dag in dagbag.dags.values():
        assert dag.description and dag.doc_md and dag.tags, dag.dag_id
        assert dag.catchup is False, dag.dag_id
        assert dag.max_active_runs == 1, dag.dag_id
        for task in dag.tasks:
            assert task.owner != "airflow", f"{dag.dag_id}.{task.task_id}"
            assert task.retry_policy is not None, f"{dag.dag_id}.{task.task_id}: its final errors would be tried again"
            if not task.task_id.startswith("dbt."):  # one dbt build, whose models retry one by one
                assert task.retries >= 1, f"{dag.dag_id}.{task.task_id}"


def test_a_failed_table_or_batch_does_not_stop_what_must_follow(dagbag: DagBag) -> None:
    """The snapshot would be held open, or files that were left would not be told."""
    tasks = dagbag.dags["warehouse"].task_dict
    assert tasks["transferred"].trigger_rule == "none_skipped"
    assert tasks["transferred"].upstream_task_ids == {"transfer_table"}
    assert tasks["transfer_table"].pool == "transfer", "the setting of the pool would do nothing"
    for contract in LANDED:
        tasks = dagbag.dags[contract.pipeline].task_dict
        assert tasks["report_held_files"].trigger_rule == "none_failed_min_one_success"
        assert tasks["land"].max_active_tis_per_dagrun == 1, "of two versions, that of the later file is the newer"


def test_landing_belongs_to_the_team_of_the_contract(dagbag: DagBag) -> None:
    for contract in LANDED:
        dag = dagbag.dags[contract.pipeline]
        assert {task.owner for task in dag.tasks} == {contract.owner}, dag.dag_id


def test_every_model_is_a_task_and_the_first_ones_start_in_the_triggerer(dagbag: DagBag) -> None:
    models = {path.stem for path in (settings.DBT_PROJECT / "models").rglob("*.sql")}
    if not settings.WITH_DEMO and settings.HAS_DEMO:
        pytest.skip("the demo's models are not built here")
    tasks = {task.task_id.removeprefix("dbt."): task for task in dagbag.dags["warehouse"].tasks}
    assert models <= set(tasks)
    assert {model for model in models if tasks[model].start_from_trigger} == {m for m in models if m.startswith("stg_")}
    assert all(tasks[model].retries >= 1 for model in models)


def test_parsing_reads_no_database(manifest: None) -> None:
    """The DAG files parse in an environment where every connection leads nowhere."""
    nowhere = "postgresql://nobody:nothing@127.0.0.1:1/none"
    code = (
        "from airflow.dag_processing.dagbag import DagBag; bag = DagBag('dags');"
        "assert not bag.import_errors, bag.import_errors; assert 'warehouse' in bag.dags"
    )
    environment = {**os.environ, "AIRFLOW_CONN_SOURCE_DB": nowhere, "AIRFLOW_CONN_TARGET_DB": nowhere}
    environment |= {"WAREHOUSE_DEMO": "on" if settings.WITH_DEMO else "off"}  # the manifest was made so
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.PROJECT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
