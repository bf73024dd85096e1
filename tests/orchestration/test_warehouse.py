"""What the warehouse DAG decides, without Airflow."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial

import psycopg
import pytest
from airflow.sdk import AssetAny
from airflow.serialization.definitions.assets import SerializedAssetAny
from airflow.timetables.assets import AssetOrTimeSchedule

from include import settings, transfer
from include.cli import main
from include.contracts import read_contracts, source_tables
from include.errors import FinalError, SettingError
from include.orchestration.assets import landed_asset
from include.orchestration.warehouse import (
    NothingToMoveError,
    NotMovedError,
    check_all_moved,
    ensure_landing_tables,
    is_superfluous,
    plan_tables,
    wait_until_idle,
    warehouse_schedule,
)
from tests.landing.conftest import SHOP

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_run_is_superfluous_only_when_every_landing_is_older_than_the_read_of_the_last_build() -> None:
    earlier, later = NOON - timedelta(seconds=1), NOON + timedelta(seconds=1)
    is_done = partial(is_superfluous, "asset_triggered")
    assert is_done([earlier, earlier], NOON.isoformat())
    assert not is_done([earlier, later], NOON.isoformat())
    assert not is_done([NOON], NOON.isoformat()), "rows may have landed at that very moment"
    assert not is_done([earlier], None), "nothing was built yet"
    assert not is_done([], NOON.isoformat()), "nothing has landed"


@pytest.mark.parametrize("run_type", ["manual", "scheduled", "backfill"])
def test_run_that_landing_did_not_start_is_never_superfluous(run_type: str) -> None:
    assert not is_superfluous(run_type, [NOON - timedelta(seconds=1)], NOON.isoformat())


def test_wait_ends_with_the_work_or_with_its_time() -> None:
    answers = iter([True, True, False])
    wait_until_idle(lambda: next(answers), seconds=10, pause=0)
    assert list(answers) == []
    asked: list[None] = []
    wait_until_idle(lambda: not asked.append(None), seconds=0.05, pause=0.01)
    assert len(asked) > 1


def test_plan_moves_the_tables_asked_for_to_the_raw_schemas(
    source_uri: str, target_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(source_uri) as connection:
        connection.execute("create schema toys")
        connection.execute("create table toys.things (id int primary key)")
        connection.execute("create table toys.others (id int primary key)")
    plans = plan_tables(source_uri, target_uri, ["toys.th*"], full=False)
    assert [(plan["source"], plan["target"]) for plan in plans] == [
        ("toys.things", f"{settings.RAW_PREFIX}toys.things")
    ]
    assert "toys.things: full refresh: not moved before" in capsys.readouterr().out
    (full,) = plan_tables(source_uri, target_uri, ["toys.th*"], full=True)
    assert full["forced"]


def test_plan_follows_the_modes_of_the_setting(
    source_uri: str, target_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(source_uri) as connection:
        connection.execute("create schema toys")
        for name in ("things", "others"):
            connection.execute(f"create table toys.{name} (id int primary key)".encode())
    for plan in transfer.plan(source_uri, target_uri, schema_prefix=settings.RAW_PREFIX):
        transfer.transfer_table(source_uri, target_uri, plan, run_id="one")
    monkeypatch.setattr(settings, "TRANSFER_MODES", "toys.things=full")
    plans = plan_tables(source_uri, target_uri, ["*"], full=False)
    assert {plan["source"]: plan["mode"] for plan in plans} == {"toys.others": "key", "toys.things": "full"}


def test_patterns_that_match_no_table_are_an_error_with_the_patterns(source_uri: str, target_uri: str) -> None:
    with pytest.raises(NothingToMoveError, match=r"no table of source_db matches toys\.\*, nope\.\*") as caught:
        plan_tables(source_uri, target_uri, ["toys.*", "nope.*"], full=False)
    assert isinstance(caught.value, FinalError)


def test_new_project_without_a_table_has_nothing_to_move_and_that_is_no_error(source_uri: str, target_uri: str) -> None:
    assert plan_tables(source_uri, target_uri, ["*"], full=False, may_be_none=True) == []


def test_landings_own_tables_and_excluded_ones_never_travel(
    source_uri: str, target_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(source_uri) as connection:
        for schema in ("landing", "toys"):
            connection.execute(f"create schema {schema}".encode())
            connection.execute(f"create table {schema}.files (id int)".encode())
        connection.execute("create table toys.log_a (id int)")
    monkeypatch.setattr(settings, "NEVER_MOVED", [*settings.NEVER_MOVED, "toys.log_*"])
    plans = plan_tables(source_uri, target_uri, ["*"], full=False)
    assert [plan["source"] for plan in plans] == ["toys.files"]


def test_command_line_moves_the_tables_that_the_dag_does(
    source_uri: str, target_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(source_uri) as connection:
        for schema in ("landing", "others", "toys"):
            connection.execute(f"create schema {schema}".encode())
            connection.execute(f"create table {schema}.files (id int)".encode())
    monkeypatch.setattr(settings, "TRANSFER_TABLES", ["landing.*", "toys.*"])
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", source_uri)
    monkeypatch.setenv("AIRFLOW_CONN_TARGET_DB", target_uri)
    (planned,) = plan_tables(source_uri, target_uri, source_tables(read_contracts()), full=False)
    capsys.readouterr()
    assert main(["transfer", "--plan"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert (
        [row.split()[:2] for row in rows]
        == [[planned["source"], planned["target"]]]
        == [["toys.files", f"{settings.RAW_PREFIX}toys.files"]]
    )


def test_nothing_is_written_to_a_source_in_which_nothing_lands(source_uri: str) -> None:
    ensure_landing_tables([], source_uri)
    with psycopg.connect(source_uri) as connection:
        assert connection.execute("select to_regnamespace('landing')").fetchone() == (None,)


def test_warehouse_runs_on_landings_on_a_schedule_or_on_both(monkeypatch: pytest.MonkeyPatch) -> None:
    asset = landed_asset(SHOP["shop.people"])
    another = landed_asset(SHOP["shop.orders"])
    landings = warehouse_schedule([asset, another], "")
    assert isinstance(landings, AssetAny) and list(landings.objects) == [asset, another]
    both = warehouse_schedule([asset, another], "0 6 * * *")
    assert isinstance(both, AssetOrTimeSchedule) and "0 6 * * *" in str(both.timetable.serialize())
    either = both.asset_condition
    assert isinstance(either, SerializedAssetAny)
    assert [each.name for each in either.objects] == [asset.name, another.name]  # type: ignore[attr-defined]
    monkeypatch.setattr(settings, "WAREHOUSE_TIMEZONE", "Europe/Brussels")
    alone = warehouse_schedule([], "0 6 * * 1-5")
    assert (alone._expression, str(alone._timezone)) == ("0 6 * * 1-5", "Europe/Brussels")
    assert warehouse_schedule([], "")._expression == "0 3 * * *", "daily, or tables of applications would never travel"


def test_settings_of_schedules_and_retries_count() -> None:
    code = (
        "from include.orchestration import defaults, landing, warehouse\n"
        "print(*warehouse.warehouse_schedule([]).serialize().values())\n"
        "print(landing.landing_schedule('5 4 * * *').serialize()['run_immediately'])\n"
        "print(defaults.DEFAULT_ARGS['retry_delay'].total_seconds())\n"
    )
    own = {"WAREHOUSE_SCHEDULE": "0 6 * * 1-5", "WAREHOUSE_TIMEZONE": "Europe/Brussels", "RETRY_SECONDS": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=settings.PROJECT,
        env={**os.environ, **own, "FIRST_RUN": "immediately"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    schedule, at_once, delay = done.stdout.splitlines()[-3:]
    assert schedule.startswith("0 6 * * 1-5 Europe/Brussels") and (at_once, delay) == ("True", "7.0")


@pytest.mark.parametrize(("cron", "zone"), [("61 * * * *", "UTC"), ("never", "UTC"), ("0 6 * * *", "Mars/Olympus")])
def test_schedule_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, cron: str, zone: str) -> None:
    monkeypatch.setattr(settings, "WAREHOUSE_TIMEZONE", zone)
    with pytest.raises(
        SettingError, match=f"WAREHOUSE_SCHEDULE={re.escape(repr(cron))} in WAREHOUSE_TIMEZONE='{zone}'"
    ):
        warehouse_schedule([], cron)


def moved(source: str, rows: int) -> dict[str, object]:
    return {"source": source, "mode": "key", "rows": rows, "rows_changed": 1, "bytes": 10, "seconds": 0.1}


def test_tables_that_were_not_moved_fail_the_run_by_name() -> None:
    plans = [{"source": "toys.a"}, {"source": "toys.b"}]
    assert check_all_moved(plans, [moved("toys.a", 2), moved("toys.b", 3)]) == {
        "tables": 2,
        "rows": 5,
        "rows_changed": 2,
        "bytes": 20,
    }
    with pytest.raises(NotMovedError, match=r"not moved, and left as they were: toys\.b"):
        check_all_moved(plans, [moved("toys.a", 2)])
    with pytest.raises(NotMovedError, match="there was no plan"):
        check_all_moved(None, [])
