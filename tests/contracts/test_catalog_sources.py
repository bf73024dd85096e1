"""dbt knows the tables of a source: those with a contract by it, the others by the target's catalog."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import psycopg
import pytest
import yaml

from include import settings
from include.transform import profile_variables
from tests.contracts.conftest import Application

PROJECT = settings.PROJECT / "dbt"


def dbt(application: Application, *arguments: str) -> str:
    """Run dbt on a project of the generated sources alone; return what it printed."""
    for name in ("dbt_project.yml", "profiles.yml", "macros", "tests/generic"):
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        if not (application.dbt / name).exists():
            (application.dbt / name).parent.mkdir(exist_ok=True)
            copy(PROJECT / name, application.dbt / name)
    done = subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", *arguments, "--profiles-dir=.", "--profile=warehouse", "--target=prod"],
        cwd=application.dbt,
        env={**os.environ, **profile_variables(application.target_uri), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def sources_of_manifest(application: Application) -> dict[str, dict[str, Any]]:
    manifest = json.loads((application.dbt / "target/manifest.json").read_text())
    return {f"{each['source_name']}.{each['name']}": each for each in manifest["sources"].values()}


def files(application: Application) -> dict[str, str]:
    folder = application.dbt / "models/staging"
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.glob("*/*.yml"))}


def transfer(application: Application) -> None:
    """Move what the reader may read, as the warehouse DAG does: by the patterns of the contracts."""
    application.warehouse("transfer", "--tables=app.*", "--tables=App Data.*", "--exclude=app.secret")


def test_drafted_tables_travel_and_dbt_finds_that_they_keep_their_contracts(application: Application) -> None:
    application.warehouse("contract", "new", "--table", "app.*", "--table", "App Data.*")
    application.fill_todos()
    application.warehouse("contract", "sources", "--write")
    transfer(application)
    assert "PASS=7 WARN=0 ERROR=0" in dbt(application, "build")
    found = sources_of_manifest(application)
    assert len(found) == 7
    assert found["raw_app_data.order_lines_2"]["relation_name"].endswith('"raw_App Data"."Order Lines"')
    assert found["raw_app.orders"]["description"] == "Orders, one row per line. {{ env_var('HOME') }}"
    with psycopg.connect(application.target_uri) as connection:
        connection.execute('alter table "raw_App Data"."Order Lines" alter "user" drop not null')
        connection.execute('update "raw_App Data"."Order Lines" set "user" = null')
    with pytest.raises(AssertionError, match="ERROR=1"):
        dbt(application, "build")


def test_tables_without_a_contract_become_sources_beside_those_that_have_one(application: Application) -> None:
    application.warehouse("contract", "new", "--table", "app.events")
    transfer(application)
    with psycopg.connect(application.target_uri) as connection:
        connection.execute("create view raw_app.seen as select 1; create table public.other (id int)")
        connection.execute("create table raw_app.parts (id int) partition by list (id)")
        connection.execute("create table raw_app.parts_1 partition of raw_app.parts for values in (1)")
    application.warehouse("contract", "sources", "--write")
    assert list(files(application)) == ["app/_app__sources.yml"]
    out, _ = application.warehouse("contract", "sources", "--write", "--from-catalog")
    assert out.count("written: ") == 2
    written = files(application)
    assert list(written) == [
        "app/_app__catalog_sources.yml",
        "app/_app__sources.yml",
        "app_data/_app_data__catalog_sources.yml",
    ]
    (source,) = yaml.safe_load(written["app/_app__catalog_sources.yml"])["sources"]
    orders, _ = source["tables"]
    assert (source["name"], source["schema"], orders["name"]) == ("raw_app", "raw_app", "orders")
    assert {"name": "country", "description": "Where it goes: {{ '{' }}% raw %}."} in orders["columns"]
    assert orders["columns"][0] == {"name": "id"}
    dbt(application, "parse")
    found = sources_of_manifest(application)
    assert sorted(found) == [
        "raw_app.events",
        "raw_app.orders",
        "raw_app.parts",
        "raw_app_data.order_lines",
        "raw_app_data.order_lines_2",
        "raw_app_data.order_lines_3",
        "raw_app_data.table",
    ]
    assert found["raw_app.orders"]["description"] == "Orders, one row per line. {{ env_var('HOME') }}"
    assert found["raw_app_data.order_lines_2"]["columns"].keys() >= {"o'clock", "a {{ b }}"}
    assert application.warehouse("contract", "sources", "--write", "--from-catalog") == ("", "")


def test_files_of_the_catalog_are_no_drift(application: Application) -> None:
    application.warehouse("contract", "new", "--table", "app.events")
    application.fill_todos()
    transfer(application)
    application.warehouse("contract", "sources", "--write", "--from-catalog")
    with psycopg.connect(application.target_uri) as connection:
        connection.execute("alter table raw_app.orders add later int")
        connection.execute("create table raw_app.later (id int)")
    assert application.warehouse("contract", "sources") == ("", "")
    assert application.warehouse("contract", "check")[1] == ""
    out, err = application.warehouse("contract", "sources", "--from-catalog", code=1)
    assert out == f"differs: {application.dbt}/models/staging/app/_app__catalog_sources.yml\n"
    assert err == "run `warehouse contract sources --write --from-catalog`\n"


def test_table_that_gets_a_contract_leaves_the_file_of_the_catalog(application: Application) -> None:
    transfer(application)
    application.warehouse("contract", "sources", "--write", "--from-catalog")
    before = files(application)
    application.warehouse("contract", "new", "--table", "app.events", "--table", "App Data.*")
    out, _ = application.warehouse("contract", "sources", code=1)
    assert out.count("differs: ") == 4
    out, _ = application.warehouse("contract", "sources", "--write")
    assert "removed: " in out and out.count("written: ") == 3
    after = files(application)
    assert list(after) == ["app/_app__catalog_sources.yml", "app/_app__sources.yml", "app_data/_app_data__sources.yml"]
    dbt(application, "parse")
    for file in application.contracts.glob("*/*.yaml"):
        file.unlink()
    application.warehouse("contract", "sources", "--write", "--from-catalog")
    assert files(application) == before


def test_demo_that_is_switched_off_keeps_its_sources_and_is_not_described_twice(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    application.warehouse("contract", "new", "--table", "app.*")
    application.fill_todos()
    for file in application.contracts.glob("*/*.yaml"):
        file.write_text(file.read_text().replace("tags:\n", "tags:\n- demo\n"))
    application.warehouse("contract", "sources", "--write")
    transfer(application)
    before = files(application)
    monkeypatch.setattr(settings, "WITH_DEMO", False)
    assert application.warehouse("contract", "sources") == ("", "")
    application.execute("drop table app.events")
    assert application.warehouse("contract", "check") == ("0 contracts are in order\n", "")
    application.warehouse("contract", "sources", "--write", "--from-catalog")
    added = files(application).keys() - before.keys()
    assert added == {"app_data/_app_data__catalog_sources.yml"}


def test_file_that_a_person_wrote_is_neither_removed_nor_overwritten(application: Application) -> None:
    own = application.dbt / "models/staging/app/_app__catalog_sources.yml"
    for file in (own, own.with_name("_own__sources.yml")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("version: 2\nsources: []\n")
    application.warehouse("contract", "sources", "--write", "--from-catalog")
    transfer(application)
    _, err = application.warehouse("contract", "sources", "--write", "--from-catalog", code=1)
    assert err == f"{own}: was not generated, and is not overwritten: give it another name\n"
    assert set(files(application).values()) == {"version: 2\nsources: []\n"}


def test_target_that_cannot_be_reached_is_one_sentence(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TARGET_DB", "postgresql://me:secret@127.0.0.1:1/shop")
    _, err = application.warehouse("contract", "sources", "--write", "--from-catalog", code=1)
    assert err.startswith("target_db: can't connect") and "check that the server runs" in err and "secret" not in err
    assert files(application) == {}
