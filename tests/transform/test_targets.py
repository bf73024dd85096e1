"""One clone builds in several targets of one database, and none of them touches the tables of another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from include import settings
from include.errors import SettingError
from include.stack.local import airflow
from include.transform.targets import plain_name, schema_of
from tests.transform.conftest import Project
from tests.transform.test_build import VISITS_TABLE

ODD = "Ann.O'Neil@Example; drop schema marts"
LONG = "feature/" + "a-very-long-branch-name-" * 4


@pytest.mark.parametrize(
    ("target", "given", "schema"),
    [
        ("prod", "", "marts"),
        ("prod", "ann", "marts"),
        ("dev", "ann", "dbt_ann_marts"),
        ("dev", ODD, "dbt_ann_o_neil_example_drop_schema_marts_marts"),
        ("ci", "4711/2", "ci_4711_2_marts"),
    ],
)
def test_schema_of_a_target_has_its_prefix(
    monkeypatch: pytest.MonkeyPatch, target: str, given: str, schema: str
) -> None:
    monkeypatch.setenv("DBT_SCHEMA_PREFIX", given)
    assert schema_of("marts", target) == schema


def test_developer_without_a_setting_is_the_login_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "Bea")
    assert schema_of("staging", "dev") == "dbt_bea_staging"


def test_ci_without_an_id_is_an_error_that_names_the_variable() -> None:
    with pytest.raises(SettingError, match="DBT_SCHEMA_PREFIX: the target ci needs an id"):
        schema_of("marts", "ci")


def test_long_prefixes_stay_apart_within_what_postgres_keeps_of_a_name() -> None:
    names = {f"{plain_name(LONG + end)}_intermediate" for end in ("", "1", "2")}
    assert len(names) == 3 and all(len(name) <= 63 for name in names)
    assert plain_name(plain_name(LONG)) == plain_name(LONG)


def schemas(project: Project) -> dict[str, str]:
    """The schemas of models and sources as dbt knows them after a parse, by name."""
    manifest: dict[str, Any] = json.loads((project.scratch / "manifest.json").read_text())
    nodes = [*manifest["nodes"].values(), *manifest["sources"].values()]
    return {node["name"]: node["schema"] for node in nodes if node["resource_type"] in ("model", "source")}


@pytest.mark.parametrize(
    ("flags", "target", "given"),
    [
        ([], "dev", ODD),  # by hand, without --target
        (["--target=ci"], "ci", LONG),
    ],
)
def test_dbt_has_the_same_rule(
    project: Project, monkeypatch: pytest.MonkeyPatch, flags: list[str], target: str, given: str
) -> None:
    monkeypatch.setenv("DBT_SCHEMA_PREFIX", given)
    project.model_new("web.visits", "visits_by_number")
    done = project.run_dbt("parse", *flags, target=None)
    assert done.returncode == 0, done.stdout
    found = schemas(project)
    assert found["visits_by_number"] == schema_of("marts", target) != "marts"
    assert found["stg_web__visits"] == schema_of("staging", target)
    assert found["visits"] == "raw_web"


def test_dev_build_leaves_the_marts_of_prod_as_they_are(project: Project, target_uri: str) -> None:
    project.model_new("web.visits", "visits_by_number")
    visits = "select count(*) from {}.visits_by_number"
    with psycopg.connect(target_uri, autocommit=True) as connection:
        connection.execute(VISITS_TABLE)
        assert project.warehouse("build", "--select=+visits_by_number", uri=target_uri).returncode == 0
        identity = connection.execute("select 'marts.visits_by_number'::regclass::oid").fetchone()
        connection.execute("insert into raw_web.visits (visit_id, at, kind) values (2, '2026-01-02', 'robot')")

        dotenv = project.scratch.with_suffix(".env")  # here and not in the environment, where dbt would see it anyway
        dotenv.write_text("DBT_SCHEMA_PREFIX=Ann\n")
        done = project.warehouse(
            "build", "--target=dev", "--select=+visits_by_number", uri=target_uri, DOTENV=str(dotenv)
        )
        assert done.returncode == 0, done.stdout
        assert (project.dbt / "target/dev/manifest.json").is_file(), "prod keeps what it has parsed"
        assert connection.execute(visits.format("marts")).fetchone() == (1,)
        assert connection.execute("select 'marts.visits_by_number'::regclass::oid").fetchone() == identity
        assert connection.execute(visits.format("dbt_ann_marts")).fetchone() == (2,)
        staging = connection.execute("select pg_get_viewdef('dbt_ann_staging.stg_web__visits'::regclass)").fetchone()
        assert staging and "raw_web.visits" in staging[0]

        dev = {"WAREHOUSE_TARGET": "dev", "DBT_SCHEMA_PREFIX": "Ann", "AIRFLOW_CONN_SOURCE_DB": target_uri}
        status = project.warehouse("status", uri=target_uri, LOCAL_ROOT=str(project.scratch), **dev)
        assert "dbt_ann_marts" in status.stdout, status.stdout + status.stderr


def test_database_in_place_of_a_target_is_refused_and_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    from include.cli import main

    assert main(["build", "--target", "postgresql://me:SECRET@db/shop"]) == 1
    said = capsys.readouterr().err
    assert said == "--target is one of dev, ci, prod; --database names a database\n"


def test_unknown_target_is_one_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "include", "build"],
        cwd=settings.PROJECT,
        env={**os.environ, "WAREHOUSE_TARGET": "production"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == "WAREHOUSE_TARGET: 'production' is none of dev, ci, prod\n"


def test_airflow_builds_in_the_target_that_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WAREHOUSE_TARGET", "dev")
    monkeypatch.setenv("DBT_SCHEMA_PREFIX", "ann")
    given = airflow.own_environment()
    assert (given["WAREHOUSE_TARGET"], given["DBT_SCHEMA_PREFIX"]) == ("dev", "ann")
    code = (
        "from airflow.sdk import DAG\n"
        "from include.orchestration.cosmos import build_group\n"
        "from include.transform import make_manifest\n"
        "make_manifest()\n"
        "with DAG('d'): tasks = list(build_group('dbt').iter_tasks())\n"
        "profiles = [task.profile_config for task in tasks if hasattr(task, 'profile_config')]\n"
        "with profiles[0].ensure_profile() as (_, variables): print(variables['DBT_SCHEMA_PREFIX'])\n"
        "print(*{profile.target_name for profile in profiles})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=settings.PROJECT,
        env={
            **os.environ,
            "AIRFLOW_CONN_TARGET_DB": "postgresql://me@db/shop",
            "DBT_MANIFEST": str(tmp_path / "manifest.json"),
        },
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-2:] == ["ann", "dev"], done.stderr
