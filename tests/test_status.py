from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest

from include import settings, transfer
from include.landing import ledger
from include.status import report, summaries
from include.transform import project
from tests.landing.conftest import CONTRACTS


@pytest.fixture(autouse=True)
def dbt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dbt project that has not been parsed, and no contract."""
    (tmp_path / "dbt" / "models" / "marts").mkdir(parents=True)
    monkeypatch.setattr(settings, "CONTRACTS", tmp_path / "contracts")
    monkeypatch.setattr(settings, "DBT_PROJECT", tmp_path / "dbt")
    monkeypatch.setattr(settings, "DBT_MANIFEST", tmp_path / "target" / "manifest.json")
    monkeypatch.setattr(settings, "TRANSFER_TABLES", ["app.*"])
    monkeypatch.setattr(settings, "NEVER_MOVED", ["landing.*", "app.log"])
    return tmp_path / "dbt"


def execute(uri: str, *statements: str) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_empty_databases_are_reported_as_such(source_uri: str, target_uri: str) -> None:
    text = report(source_uri, target_uri)
    assert text.splitlines() == ["landed: nothing yet", "", "transferred: nothing yet", "", "marts: nothing yet"]


def test_marts_that_a_model_builds_are_counted_and_others_named(
    source_uri: str, target_uri: str, dbt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(target_uri, "create schema marts", "create table marts.old as select 1")
    execute(target_uri, 'create table marts."Odd name" as select generate_series(1, 3)')
    (dbt / "models" / "marts" / "Odd name.sql").write_text("select 1")
    execute(target_uri, "create table marts.rates as select 1")
    (dbt / "seeds").mkdir()
    (dbt / "seeds" / "rates.csv").write_text("rate\n1\n")
    (dbt / "target" / "compiled").mkdir(parents=True)
    (dbt / "target" / "compiled" / "old.sql").write_text("select 1")
    *_, marts = summaries(source_uri, target_uri)
    assert (marts.title, marts.rows) == ("marts", [{"mart": "Odd name", "rows": 3}, {"mart": "rates", "rows": 1}])
    assert str(marts).endswith("built by no model any more, and still in target_db: marts.old")
    model = '{{"resource_type": "model", "schema": "{}", "alias": "{}"}}'.format
    settings.DBT_MANIFEST.parent.mkdir()
    settings.DBT_MANIFEST.write_text(
        f'{{"nodes": {{"a": {model("marts", "old")}, "b": {model("staging", "Odd name")}}}}}'
    )
    monkeypatch.setattr(project, "_made_with", lambda: settings.DBT_MANIFEST)
    monkeypatch.setattr(project, "_parse_settings", settings.DBT_MANIFEST.read_text)
    *_, marts = summaries(source_uri, target_uri)
    assert marts.rows == [{"mart": "old", "rows": 1}], "what dbt has parsed counts, aliases too"


def test_tables_that_travel_no_more_are_named_and_not_counted(
    source_uri: str, target_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = ("app.orders", "app.log", "demo.sale", "demo.gone", "app.dropped")
    execute(
        source_uri, "create schema app", "create schema demo", *(f"create table {name} (id int)" for name in tables)
    )
    plans = transfer.plan(source_uri, target_uri, schema_prefix="raw_")
    for plan in plans:
        transfer.transfer_table(source_uri, target_uri, plan, run_id="one")
    execute(source_uri, "drop table app.dropped")
    execute(target_uri, "drop table raw_demo.gone cascade")
    _, transferred, _ = summaries(source_uri, target_uri)
    assert [row["source"] for row in transferred.rows] == ["app.orders"]
    assert transferred.note == (
        "not moved from source_db any more, and still in target_db: raw_app.dropped, raw_app.log, raw_demo.sale"
    )


def test_table_of_a_broken_contract_counts_as_before(
    source_uri: str, target_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "TRANSFER_TABLES", [])
    for name in ("orders", "lines"):
        file = settings.CONTRACTS / name / "x.yaml"
        file.parent.mkdir(parents=True)
        shutil.copy(CONTRACTS / "shop" / "wares.yaml", file)
        execute(source_uri, f"create schema {name}", f"create table {name}.x (id int)")
    (settings.CONTRACTS / "lines" / "x.yaml").write_text("schema: [")
    for plan in transfer.plan(source_uri, target_uri, schema_prefix="raw_"):
        transfer.transfer_table(source_uri, target_uri, plan, run_id="one")
    with psycopg.connect(source_uri, autocommit=True) as connection:
        ledger.create_tables(connection)
        connection.execute("insert into landing.files values ('lines.x', 'a.json', 'f00', 'landed')")
    landed, transferred, _ = summaries(source_uri, target_uri)
    assert [row["source"] for row in transferred.rows] == ["lines.x", "orders.x"] and not transferred.note
    assert [row["dataset"] for row in landed.rows] == ["lines.x"] and not landed.note


def test_datasets_without_a_contract_are_named_and_not_counted(source_uri: str, target_uri: str) -> None:
    with psycopg.connect(source_uri, autocommit=True) as connection:
        ledger.create_tables(connection)
        connection.execute("insert into landing.files values ('shop.old', 'a.json', 'f00', 'landed')")
    landed, *_ = summaries(source_uri, target_uri)
    assert landed.rows == [] and str(landed) == "landed: nothing yet\nlanded by no contract any more: shop.old"
    counted = ledger.summary(source_uri, ["shop.old"])
    assert counted.rows and not counted.note


def test_table_that_its_application_writes_by_now_is_not_counted_as_landed(source_uri: str, target_uri: str) -> None:
    (settings.CONTRACTS / "app").mkdir(parents=True)
    shutil.copy(CONTRACTS / "app" / "account.yaml", settings.CONTRACTS / "app")
    with psycopg.connect(source_uri, autocommit=True) as connection:
        ledger.create_tables(connection)
        connection.execute("insert into landing.files values ('app.account', 'a.json', 'f00', 'landed')")
    landed, *_ = summaries(source_uri, target_uri)
    assert landed.rows == [] and landed.note == "landed by no contract any more: app.account"


def test_status_needs_no_right_to_write(source_uri: str, target_uri: str) -> None:
    before = report(source_uri, target_uri)
    read_only = "?options=-c%20default_transaction_read_only%3Don"
    assert report(source_uri + read_only, target_uri + read_only) == before
