"""The dbt project as a whole, built by dbt in a real database: its marts' numbers, against expectations made by hand.

The rules one by one have their unit tests in the project itself, beside the models; the first build here runs them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from include.settings import DBT_PROJECT
from include.stack.local.postgres import PostgresServer

LANDED = (
    '_file text collate "C" not null, _line bigint not null, _loaded_at timestamptz not null default now(), '
    "_xid xid8 not null default pg_current_xact_id()"
)
RAW_TABLES = f"""
create schema raw_retail;
create table raw_retail.customers (
    id text, first_name text, last_name text, email text, date_of_birth date, phone_number text, segment text,
    address text, city text, country text, postcode text, last_change date, {LANDED});
create table raw_retail.products (
    sku integer, name text, price numeric, category text, popularity double precision, {LANDED});
create table raw_retail.transactions (
    transaction_id text, transaction_time timestamptz, customer_id text, delivery_address text, delivery_postcode text,
    delivery_city text, delivery_country text, products jsonb, total_cost numeric, {LANDED});
create table raw_retail.erasure_requests (customer_id text, email text, {LANDED});
create schema raw_services;
create table raw_services.events (
    event_id bigint, event_type text, professional_id_anonymized bigint, created_at timestamptz, meta_data text,
    {LANDED});
"""
PRODUCT = {"price": "2.50", "popularity": 0.5}
CUSTOMER = {
    "first_name": "Ann",
    "last_name": "Lee",
    "email": "ann@example.com",
    "address": "1 Quay",
    "city": "Harbour",
    "country": "Ireland",
    "postcode": "Q1",
    "last_change": "2020-01-01",
}
SALES_DAILY = "select day, country, orders, items, revenue from marts.sales_daily order by day, country"
Line = tuple[int, int, str]  # sku, quantity, price


class Warehouse:
    """A target database with raw tables, to which rows are landed and in which dbt builds."""

    def __init__(self, uri: str, scratch: Path) -> None:
        self.connection = psycopg.connect(uri, autocommit=True)
        self.scratch = scratch
        names = {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password", "NAME": "dbname"}
        server = conninfo_to_dict(uri)
        self.variables = {f"TARGET_DB_{name}": str(server[key]) for name, key in names.items()}

    def land(self, table: str, *rows: dict[str, Any]) -> None:
        """Append rows in one transaction, as one file."""
        with self.connection.transaction():
            for number, row in enumerate(rows, start=1):
                full = row | {"_file": "date=2020-01-01/hour=00/rows.json", "_line": number}
                self.connection.execute(
                    sql.SQL("insert into {} ({}) values ({})").format(
                        sql.Identifier(*table.split(".")),
                        sql.SQL(", ").join(map(sql.Identifier, full)),
                        sql.SQL(", ").join(map(sql.Literal, full.values())),
                    )
                )

    def order(self, number: str, at: str, customer: str, country: str, *lines: Line, cost: str | None = None) -> None:
        """Land a transaction; it costs what its lines cost unless `cost` says something else."""
        amounts = [quantity * Decimal(price) for _, quantity, price in lines]
        products = ", ".join(
            f'{{"sku": {sku}, "quantity": {quantity}, "price": {price}, "total": {amount}}}'
            for (sku, quantity, price), amount in zip(lines, amounts, strict=True)
        )
        row = {
            "transaction_id": number,
            "transaction_time": at,
            "customer_id": customer,
            "delivery_address": "1 Quay",
            "delivery_postcode": "Q1",
            "delivery_city": "Harbour",
            "delivery_country": country,
            "products": f"[{products}]",
            "total_cost": Decimal(cost) if cost else sum(amounts),
        }
        self.land("raw_retail.transactions", row)

    def event(self, number: int, professional: int, event_type: str, at: str) -> None:
        row = {"event_id": number, "professional_id_anonymized": professional, "created_at": at}
        self.land("raw_services.events", row | {"event_type": event_type})

    def build(self, *flags: str, project: Path = DBT_PROJECT) -> subprocess.CompletedProcess[str]:
        return run_dbt("build", *flags, project=project, scratch=self.scratch, variables=self.variables)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()


def run_dbt(
    *args: str, project: Path = DBT_PROJECT, scratch: Path, variables: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    folders = {"project-dir": project, "profiles-dir": project, "target-path": scratch / "target", "log-path": scratch}
    command = [str(Path(sys.executable).with_name("dbt")), *args, "--target=prod", "--no-use-colors"]
    return subprocess.run(
        command + [f"--{option}={folder}" for option, folder in folders.items()],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def copy_project(folder: Path) -> Path:
    return Path(shutil.copytree(DBT_PROJECT, folder / "dbt", ignore=shutil.ignore_patterns("target", "logs")))


@pytest.fixture
def warehouse(target_uri: str, tmp_path: Path) -> Iterator[Warehouse]:
    """Raw tables before anything landed."""
    warehouse = Warehouse(target_uri, tmp_path)
    warehouse.connection.execute(RAW_TABLES)
    yield warehouse
    warehouse.connection.close()


@pytest.fixture(scope="module")
def small_shop(target_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database where dbt has built: two customers, two products, five orders, two of them held back."""
    with psycopg.connect(target_server.uri(), autocommit=True) as connection:
        connection.execute("create database small_shop")
    shop = Warehouse(target_server.uri("small_shop"), tmp_path_factory.mktemp("small_shop"))
    shop.connection.execute(RAW_TABLES)
    shop.land("raw_retail.customers", CUSTOMER | {"id": "007", "segment": "old"}, CUSTOMER | {"id": "12"})
    shop.land("raw_retail.customers", CUSTOMER | {"id": "007", "segment": "health", "country": "Malta"})
    shop.land("raw_retail.products", PRODUCT | {"sku": 1, "name": "soap", "category": "beauty"})
    shop.land("raw_retail.products", PRODUCT | {"sku": 2, "name": "ball", "category": "sports"})
    shop.order("a", "2020-01-01 23:59:59.9+00", "007", "Malta", (1, 2, "2.50"), (2, 1, "10.00"))
    shop.order("b", "2020-01-02 00:00:00+00", "007", "Malta", (1, 1, "2.00"), (1, 3, "2.50"))
    shop.order("c", "2020-01-02 12:00:00+00", "007", "Ireland", (2, 1, "0.01"))
    shop.order("no customer", "2020-01-02 13:00:00+00", "99", "Ireland", (1, 1, "2.50"))
    shop.order("no product", "2020-01-02 14:00:00+00", "007", "Ireland", (1, 1, "2.50"), (3, 4, "5.00"))
    shop.event(1, 1, "created_account", "2020-01-30 08:00+00")
    shop.event(2, 1, "became_able_to_propose", "2020-01-31 23:59+00")
    shop.event(3, 2, "became_able_to_propose", "2020-01-31 09:00+00")
    shop.event(4, 2, "became_unable_to_propose", "2020-01-31 10:00+00")
    shop.event(5, 3, "became_able_to_propose", "2020-02-02 00:00+00")
    shop.event(6, 1, "created_account", "2020-02-03 08:00+00")
    done = shop.build("--exclude-resource-type=unit_test")
    assert done.returncode == 0, done.stdout
    shop.connection.close()
    return "small_shop"


@pytest.fixture
def shop(small_shop: str, target_server: PostgresServer, tmp_path: Path) -> Iterator[Warehouse]:
    """A copy of the small shop, to change."""
    with psycopg.connect(target_server.uri(), autocommit=True) as connection:
        connection.execute(sql.SQL("create database shop template {}").format(sql.Identifier(small_shop)))
        shop = Warehouse(target_server.uri("shop"), tmp_path)
        yield shop
        shop.connection.close()
        connection.execute("drop database shop with (force)")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What dbt knows of the project after a parse in which every warning is an error; needs no database."""
    scratch = tmp_path_factory.mktemp("parse")
    done = run_dbt("--warn-error", "parse", scratch=scratch, variables={"TARGET_DB_PORT": "1"})
    assert done.returncode == 0, done.stdout
    manifest: dict[str, Any] = json.loads((scratch / "target" / "manifest.json").read_text(encoding="utf-8"))
    return manifest


def models(manifest: dict[str, Any], schema: str | None = None) -> list[dict[str, Any]]:
    nodes = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    return [node for node in nodes if schema in (None, node["schema"])]


def test_project_parses_without_warning_database_or_telemetry(manifest: dict[str, Any]) -> None:
    assert manifest["metadata"]["project_name"] == "warehouse"
    assert manifest["metadata"]["send_anonymous_usage_stats"] is False


def test_every_mart_has_an_enforced_contract_and_a_primary_key(manifest: dict[str, Any]) -> None:
    marts = models(manifest, "marts")
    assert {"sales_daily", "customer_value", "availability_snapshot"} <= {mart["name"] for mart in marts}
    for mart in marts:
        assert mart["contract"]["enforced"], mart["name"]
        assert "primary_key" in [constraint["type"] for constraint in mart["constraints"]], mart["name"]


def test_every_model_says_its_grain_and_every_column_what_it_holds(manifest: dict[str, Any], shop: Warehouse) -> None:
    columns = shop.rows("select table_schema, table_name, column_name from information_schema.columns")
    for model in models(manifest):
        built = {column for *table, column in columns if table == [model["schema"], model["name"]]}
        described = {name for name, column in model["columns"].items() if column["description"]}
        assert built == described, model["name"]
        assert model["description"].startswith("One row per "), model["name"]


def test_first_build_on_empty_raw_tables_passes_with_all_unit_tests(warehouse: Warehouse) -> None:
    done = warehouse.build()
    assert "WARN=0 ERROR=0 SKIP=0" in done.stdout, done.stdout
    schemas = warehouse.rows("select nspname from pg_namespace where nspname !~ '^(pg|raw)_' order by nspname")
    assert [name for (name,) in schemas] == ["information_schema", "intermediate", "marts", "public", "staging"]
    for mart in ("sales_daily", "customer_value", "product_sales", "orders_held_back", "availability_snapshot"):
        assert warehouse.rows(f"select count(*) from marts.{mart}") == [(0,)]


def test_source_table_that_has_not_arrived_fails_no_test(warehouse: Warehouse, tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    source = {"name": "later", "data_tests": [{"rows_satisfy": {"arguments": {"conditions": {"known": "id > 0"}}}}]}
    text = json.dumps({"version": 2, "sources": [{"name": "raw_later", "tables": [source]}]})
    (project / "models" / "later.yml").write_text(text, encoding="utf-8")
    assert "PASS=1 WARN=0 ERROR=0" in warehouse.build("--select=source:raw_later", project=project).stdout
    warehouse.connection.execute("create schema raw_later; create table raw_later.later as select -1 as id")
    assert "PASS=0 WARN=0 ERROR=1" in warehouse.build("--select=source:raw_later", project=project).stdout


def test_marts_hold_the_numbers_of_a_small_shop(shop: Warehouse) -> None:
    first, second = date(2020, 1, 1), date(2020, 1, 2)
    assert shop.rows(SALES_DAILY) == [
        (first, "Malta", 1, 3, Decimal("15.00")),
        (second, "Ireland", 1, 1, Decimal("0.01")),
        (second, "Malta", 1, 4, Decimal("9.50")),
    ]
    assert shop.rows("select * from marts.product_sales order by day, sku") == [
        (first, 1, "soap", "beauty", 1, 2, Decimal("5.00")),
        (first, 2, "ball", "sports", 1, 1, Decimal("10.00")),
        (second, 1, "soap", "beauty", 1, 4, Decimal("9.50")),
        (second, 2, "ball", "sports", 1, 1, Decimal("0.01")),
    ]
    assert shop.rows("select * from marts.customer_value order by customer_id") == [
        (
            *("007", "Malta", "health"),
            *(datetime(2020, 1, 1, 23, 59, 59, 900000, UTC), datetime(2020, 1, 2, 12, tzinfo=UTC)),
            *(3, 8, Decimal("24.51"), Decimal("8.17")),
        ),
        ("12", "Ireland", None, None, None, 0, 0, Decimal(0), None),
    ]
    assert shop.rows(
        "select order_id, reason, missing_skus, revenue from marts.orders_held_back order by order_id"
    ) == [
        ("no customer", "customer missing", None, Decimal("2.50")),
        ("no product", "product missing", [3], Decimal("22.50")),
    ]
    assert shop.rows("select day, active_professionals from marts.availability_snapshot order by day") == [
        (date(2020, 1, 30), 0),
        (date(2020, 1, 31), 1),
        (date(2020, 2, 1), 1),
        (date(2020, 2, 2), 2),
        (date(2020, 2, 3), 2),
    ]


def test_held_back_orders_come_in_by_themselves_and_a_new_version_replaces_the_old(shop: Warehouse) -> None:
    shop.land("raw_retail.customers", CUSTOMER | {"id": "99"})
    shop.land("raw_retail.products", PRODUCT | {"sku": 3, "name": "tea", "category": "food"})
    shop.order("a", "2020-01-01 23:59:59.9+00", "007", "Ireland", (1, 1, "2.50"))
    done = shop.build("--exclude-resource-type=unit_test")
    assert done.returncode == 0, done.stdout
    assert shop.rows(SALES_DAILY) == [
        (date(2020, 1, 1), "Ireland", 1, 1, Decimal("2.50")),
        (date(2020, 1, 2), "Ireland", 3, 7, Decimal("25.01")),
        (date(2020, 1, 2), "Malta", 1, 4, Decimal("9.50")),
    ]
    assert shop.rows("select * from marts.orders_held_back") == []


def test_mart_that_does_not_add_up_leaves_the_last_good_one(shop: Warehouse, tmp_path: Path) -> None:
    good = shop.rows(SALES_DAILY)
    shop.order("d", "2020-01-03 12:00:00+00", "12", "Ireland", (1, 1, "2.50"))
    broken = copy_project(tmp_path)
    model = broken / "models" / "marts" / "sales" / "sales_daily.sql"
    text = model.read_text(encoding="utf-8")
    model.write_text(text.replace("    group by", "    and country <> 'Malta' group by"), encoding="utf-8")

    done = shop.build("--exclude-resource-type=unit_test", project=broken)
    assert done.returncode == 1
    assert "marts.sales_daily adds up to (2,2,2.51), what it was made from to (4,9,27.01)" in done.stdout
    assert shop.rows(SALES_DAILY) == good
    assert shop.rows("select tablename from pg_tables where tablename like '%dbt%'") == []


def test_failed_test_upstream_leaves_the_last_good_marts(shop: Warehouse) -> None:
    good = shop.rows(SALES_DAILY)
    shop.order("d", "2020-01-03 12:00:00+00", "12", "Ireland", (1, 1, "2.50"), cost="2.60")
    done = shop.build("--exclude-resource-type=unit_test")
    assert done.returncode == 1
    assert "FAIL 1 orders_are_whole" in done.stdout, done.stdout
    assert shop.rows(SALES_DAILY) == good
