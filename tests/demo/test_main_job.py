"""The main job as `make run` runs it, on a stack of its own: real Postgres servers, a real scheduler, real dbt.

The tests share one stack and run in the order of this file.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from include import settings
from include.stack.demo import make_landing_files
from include.stack.local.postgres import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PORTS = ("SOURCE_DB_PORT", "TARGET_DB_PORT", "AIRFLOW_DB_PORT", "AIRFLOW_UI_PORT", "DEMO_WEB_PORT")
TABLES = """
    select format('%I.%I', schemaname, relname) from pg_stat_user_tables
    where schemaname not in ('transfer', 'landing') order by 1
"""


class Stack:
    """A local stack in a folder and on ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in PORTS}
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "LANDING", "ARCHIVE", "SCHOOLS"))}
        self.environment = {
            **kept,
            **{name: str(port) for name, port in self.ports.items()},
            "LOCAL_ROOT": str(folder),
            "RETRY_SECONDS": "1",
            "RUN_TIMEOUT": "300",
        }
        self.source = f"postgresql://source_db:source_db@127.0.0.1:{self.ports['SOURCE_DB_PORT']}/source_db"
        self.target = f"postgresql://target_db:target_db@127.0.0.1:{self.ports['TARGET_DB_PORT']}/target_db"
        self.ui = f"http://127.0.0.1:{self.ports['AIRFLOW_UI_PORT']}"

    def call(self, verb: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.warehouse("stack", verb, **more)

    def warehouse(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "include", *command],
            cwd=settings.PROJECT,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=900,
        )

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def ask(self, method: str, path: str, **content: Any) -> Any:
        token = httpx.get(f"{self.ui}/auth/token").json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.request(method, f"{self.ui}/api/v2{path}", headers=headers, timeout=30, **content)
        assert answer.is_success, answer.text
        return answer.json()

    def warehouse_run(self, **parameters: Any) -> tuple[str, dict[str, str], str]:
        """Run the warehouse DAG by hand and return its final state, that of its tasks, and the run's id."""
        runs = "/dags/warehouse/dagRuns"
        run = self.ask("POST", runs, json={"logical_date": None, "conf": parameters})["dag_run_id"]
        deadline = time.monotonic() + 180
        while (state := self.get(f"{runs}/{run}")["state"]) not in ("success", "failed"):
            assert time.monotonic() < deadline, f"{run} is {state}"
            time.sleep(0.5)
        tasks = self.get(f"{runs}/{run}/taskInstances?limit=100")["task_instances"]
        return state, {task["task_id"]: task["state"] for task in tasks}, run

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                ours = str(self.folder) in " ".join([*process.cmdline(), *process.environ().values()])
            except psutil.Error:
                continue
            if ours and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    started = Stack(tmp_path_factory.mktemp("stack"))
    yield started
    started.call("stop")


@pytest.fixture(scope="module")
def first_run(stack: Stack) -> subprocess.CompletedProcess[str]:
    done = stack.call("run")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done


def contents(uri: str) -> dict[str, tuple[int, str]]:
    """Rows and a checksum of the rows of every table but the run history."""
    with psycopg.connect(uri) as connection:
        tables = [row[0] for row in connection.execute(TABLES)]
        query = "select count(*), coalesce(md5(string_agg(md5(t::text), '' order by md5(t::text))), '') from {} t"
        return {table: connection.execute(query.format(table)).fetchone() for table in tables}  # type: ignore[misc]


def one(uri: str, query: str) -> Any:
    with psycopg.connect(uri) as connection:
        row = connection.execute(query).fetchone()
        assert row
        return row[0] if len(row) == 1 else row


def test_marts_hold_what_the_demo_files_say(
    stack: Stack, first_run: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    expected = make_landing_files(tmp_path / "again")
    with psycopg.connect(stack.source) as connection:
        landed = {
            row[0]: row[1:]
            for row in connection.execute(
                "select dataset, sum(rows_read), sum(rows_loaded), sum(rows_duplicate), sum(rows_rejected)"
                " from landing.files group by dataset"
            )
        }
    for dataset, counts in expected.items():
        assert landed[dataset] == (counts.rows, counts.loaded, counts.duplicates, counts.rejected), dataset

    lines = [json.loads(line) for line in transactions(tmp_path / "again")]
    held = one(stack.target, "select count(*) from marts.orders_held_back")
    orders, items = one(stack.target, "select sum(orders), sum(items) from marts.sales_daily")
    assert orders + held == len({line["transaction_id"] for line in lines}) > 1000
    held_ids = {
        row[0]
        for row in psycopg.connect(stack.target).execute("select order_id from marts.orders_held_back").fetchall()
    }
    kept = {line["transaction_id"]: line for line in lines if line["transaction_id"] not in held_ids}
    assert items == sum(p["quanitity"] for line in kept.values() for p in line["purchases"]["products"])
    assert one(stack.target, "select count(*) from marts.availability_snapshot") == 30


def transactions(root: Path) -> Iterator[str]:
    """The valid lines of the demo's transactions, by a second and simpler implementation of the rules."""
    import gzip

    for file in sorted(root.rglob("transactions.json*")):
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        for line in data.decode().splitlines():
            try:
                row = json.loads(line)
                products = row["purchases"]["products"]
                total = sum(round(float(p["price"]) * 100) * p["quanitity"] for p in products)
                valid = (
                    total == round(float(row["purchases"]["total_cost"]) * 100)
                    and all(p["quanitity"] > 0 for p in products)
                    and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+", row["transaction_time"])
                    and products
                    and {"transaction_id", "customer_id"} <= row.keys()
                    and None not in row["delivery_address"].values()
                )
            except (ValueError, KeyError, TypeError):
                continue
            if valid:
                yield line


def test_summary_tells_rows_seconds_and_links(stack: Stack, first_run: subprocess.CompletedProcess[str]) -> None:
    for part in ("retail.transactions", "raw_retail.transactions", "sales_daily", "rejected", "total", "make docs"):
        assert part in first_run.stdout
    assert f":{stack.ports['AIRFLOW_UI_PORT']}" in first_run.stdout
    assert re.search(r"landing: .*; (now|waiting for) land_", first_run.stderr), "a wait names its datasets"
    assert "warehouse:" in first_run.stderr


def test_airflow_is_healthy_and_listens_on_loopback_only(
    stack: Stack, first_run: subprocess.CompletedProcess[str]
) -> None:
    health = httpx.get(f"{stack.ui}/api/v2/monitor/health").json()
    assert {part["status"] for part in health.values()} == {"healthy"}
    ports = set(stack.ports.values())
    families = (socket.AF_INET, socket.AF_INET6)
    addresses = {a.address for card in psutil.net_if_addrs().values() for a in card if a.family in families}
    assert {(a, port) for a in addresses for port in ports if answers(a, port)} == {("127.0.0.1", p) for p in ports}


def answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def test_ui_shows_the_connections(stack: Stack, first_run: subprocess.CompletedProcess[str]) -> None:
    shown = {each["connection_id"]: each["port"] for each in stack.get("/connections")["connections"]}
    assert shown == {"source_db": stack.ports["SOURCE_DB_PORT"], "target_db": stack.ports["TARGET_DB_PORT"]}


def test_status_shows_what_runs_and_what_the_marts_hold(
    stack: Stack, first_run: subprocess.CompletedProcess[str]
) -> None:
    shown = stack.warehouse("status")
    assert shown.returncode == 0, shown.stderr
    assert len(re.findall(r"^(?:postgres|airflow) .* running +\d+", shown.stdout, re.M)) == 8
    assert "\nAirflow: metadatabase healthy, scheduler healthy" in shown.stdout
    assert "retail.transactions" in shown.stdout and "sales_daily" in shown.stdout


def test_models_are_tasks_of_the_warehouse(stack: Stack, first_run: subprocess.CompletedProcess[str]) -> None:
    (run,) = stack.get("/dags/warehouse/dagRuns?order_by=run_after&limit=1")["dag_runs"]
    tasks = stack.get(f"/dags/warehouse/dagRuns/{run['dag_run_id']}/taskInstances?limit=100")["task_instances"]
    states = {task["task_id"]: task["state"] for task in tasks}
    for model in ("stg_retail__transactions", "int_orders", "sales_daily", "customer_value", "availability_snapshot"):
        assert states[f"dbt.{model}"] == "success"
    assert run["run_type"] == "asset_triggered"


def test_personal_values_reach_no_log(stack: Stack, first_run: subprocess.CompletedProcess[str]) -> None:
    with psycopg.connect(stack.source) as connection:
        rows = connection.execute("select email, phone_number, address from retail.customers").fetchall()
    values = {value for row in rows for value in row if value}
    assert len(values) > 100
    of_airflow = list((stack.folder / "logs").rglob("*.log"))
    of_databases = list((stack.folder / "databases").rglob("server.log"))
    assert len(of_airflow) > 20 and len(of_databases) == 3, "there are logs to look into"
    for log in (*of_airflow, *of_databases):
        text = log.read_text(errors="replace")
        assert not [value for value in values if value in text], log


def test_second_run_changes_nothing_but_the_run_history(
    stack: Stack, first_run: subprocess.CompletedProcess[str]
) -> None:
    before = contents(stack.source), contents(stack.target)
    again = stack.call("run", TRANSFER_POOL_SLOTS="3")
    assert again.returncode == 0, again.stderr[-3000:]
    assert stack.get("/pools/transfer")["slots"] == 3
    assert (contents(stack.source), contents(stack.target)) == before


def test_failed_data_test_is_named_fails_the_run_and_keeps_the_marts(
    stack: Stack, first_run: subprocess.CompletedProcess[str]
) -> None:
    """The forged row is one that landing would have rejected: its lines do not add up to its total."""
    before = contents(stack.target)
    forged = """
        insert into retail.transactions
            (transaction_id, transaction_time, customer_id, delivery_address, delivery_postcode, delivery_city,
            delivery_country, products, total_cost, _file, _line)
        select 'forged', transaction_time, customer_id, delivery_address, delivery_postcode, delivery_city,
            delivery_country, products, total_cost + 100, 'forged', 1
        from retail.transactions limit 1
    """
    with psycopg.connect(stack.source) as connection:
        connection.execute(forged)
    failed = stack.call("run")
    with psycopg.connect(stack.source) as connection:
        connection.execute("delete from retail.transactions where _file = 'forged'")
    assert failed.returncode == 1
    assert "warehouse failed" in failed.stderr and "orders_are_whole" in failed.stderr
    assert "Traceback" not in failed.stderr
    after = contents(stack.target)
    marts = {table for table in before if table.startswith("marts.")}
    assert {table: after[table] for table in marts} == {table: before[table] for table in marts}
    run = stack.get("/dags/warehouse/dagRuns?order_by=-run_after&limit=1")["dag_runs"][0]
    tasks = stack.get(f"/dags/warehouse/dagRuns/{run['dag_run_id']}/taskInstances?limit=100")["task_instances"]
    states = {task["task_id"]: task["state"] for task in tasks}
    assert states["dbt.stg_retail__transactions"] == "success"
    assert states["dbt.int_orders"] == "failed"
    assert states["summary"] == "upstream_failed"
    mended = stack.call("run")
    assert mended.returncode == 0, mended.stderr[-3000:]
    assert contents(stack.target) == before


def test_run_by_hand_does_what_its_parameters_say(stack: Stack, first_run: subprocess.CompletedProcess[str]) -> None:
    with psycopg.connect(stack.source) as connection:
        connection.execute("create table sales.draft (v int)")
    state, tasks, run = stack.warehouse_run(tables=["sales.*"], full=True, verify=True)
    assert state == "success", tasks
    with psycopg.connect(stack.target) as connection:
        moved = connection.execute(
            "select source, mode, verdict from transfer.runs where run_id = %s", [run]
        ).fetchall()
    assert sorted(moved) == [("sales.draft", "full", "verified"), ("sales.sale", "full", "verified")]
    newest = stack.get("/assets/events?order_by=-timestamp&source_dag_id=warehouse&source_task_id=summary&limit=1")
    assert newest["asset_events"][0]["extra"]["read_after"] is None, "a part of the tables says nothing of the others"
    state, tasks, _ = stack.warehouse_run(tables=["nope.*"])
    assert (state, tasks["plan_transfer"]) == ("failed", "failed")


def test_table_that_fails_fails_the_run_and_lets_the_snapshot_go(
    stack: Stack, first_run: subprocess.CompletedProcess[str]
) -> None:
    with psycopg.connect(stack.source) as connection:
        connection.execute("alter table sales.draft alter v type date using null")
    state, tasks, run = stack.warehouse_run(tables=["sales.*"])
    with psycopg.connect(stack.source) as connection:
        connection.execute("drop table sales.draft")
    assert (state, tasks["transferred"]) == ("failed", "failed")
    assert tasks["hold_snapshot"] == "success"
    assert one(stack.target, f"select count(*) from transfer.runs where run_id = '{run}' and verdict = 'counted'") == 1
    assert one(stack.target, f"select released from transfer.snapshots where run_id = '{run}'")


def test_rows_that_land_while_the_warehouse_is_busy_reach_the_marts(
    stack: Stack, first_run: subprocess.CompletedProcess[str]
) -> None:
    """The first run fails in its landing, and leaves one warehouse run running and another one queued."""
    root = stack.folder / "landing"
    make_landing_files(root, days=1, until=datetime.now(UTC).date() + timedelta(days=1))
    file = root / "retail/date=2020-01-01/hour=00/products.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"sku": "x"}\n' * 40)
    held = stack.call("run")
    assert held.returncode == 1 and "products.json is held whole: 40 of 40 rows are rejected" in held.stderr
    run = stack.get("/dags/land_retail_products/dagRuns?order_by=-run_after&limit=1")["dag_runs"][0]
    tasks = stack.get(f"/dags/land_retail_products/dagRuns/{run['dag_run_id']}/taskInstances")["task_instances"]
    assert {task["try_number"] for task in tasks if task["state"] == "failed"} == {1}, "a held file is a final error"
    file.write_text('{"sku": 4711, "name": "late", "price": "1.00", "category": "c", "popularity": 0.5}\n')
    mended = stack.call("run")
    assert mended.returncode == 0, mended.stderr[-3000:]
    assert one(stack.target, "select product_name from staging.stg_retail__products where sku = 4711") == "late"


def test_stop_leaves_nothing_running_and_data_survive_a_restart(
    stack: Stack, first_run: subprocess.CompletedProcess[str]
) -> None:
    assert stack.processes()
    assert stack.call("stop").returncode == 0
    assert stack.processes() == []
    shown = stack.warehouse("status")
    assert shown.returncode == 0 and "source and target Postgres is stopped" in shown.stdout
    started = stack.call("start")
    assert started.returncode == 0, started.stderr
    assert one(stack.target, "select count(*) from marts.sales_daily") > 0
    assert stack.call("stop").returncode == 0
    assert stack.processes() == []


def test_taken_port_is_named_and_a_half_started_stack_is_cleaned_up(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", stack.ports["TARGET_DB_PORT"])):
        refused = stack.call("start")
    assert refused.returncode == 1
    assert "TARGET_DB_PORT" in refused.stderr and str(stack.ports["TARGET_DB_PORT"]) in refused.stderr
    assert stack.processes() == []
