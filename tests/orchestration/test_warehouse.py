"""What the warehouse DAG decides, without Airflow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from include import settings
from include.contracts import read_contracts, source_tables
from include.errors import FinalError
from include.orchestration.warehouse import (
    NothingToMoveError,
    NotMovedError,
    check_all_moved,
    is_built_already,
    plan_tables,
    wait_until_idle,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_run_is_superfluous_only_when_every_landing_is_older_than_the_read_of_the_last_build() -> None:
    earlier, later = NOON - timedelta(seconds=1), NOON + timedelta(seconds=1)
    assert is_built_already([earlier, earlier], NOON.isoformat())
    assert not is_built_already([earlier, later], NOON.isoformat())
    assert not is_built_already([NOON], NOON.isoformat()), "rows may have landed at that very moment"
    assert not is_built_already([earlier], None), "nothing was built yet"
    assert not is_built_already([], NOON.isoformat()), "nothing has landed"


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


def test_patterns_that_match_no_table_are_an_error_with_the_patterns(source_uri: str, target_uri: str) -> None:
    with pytest.raises(NothingToMoveError, match=r"no table of source_db matches toys\.\*, nope\.\*") as caught:
        plan_tables(source_uri, target_uri, ["toys.*", "nope.*"], full=False)
    assert isinstance(caught.value, FinalError)


def test_project_moves_the_tables_of_every_source_that_has_a_contract() -> None:
    contracts = read_contracts()
    assert source_tables(contracts) == sorted({f"{contract.source}.*" for contract in contracts})
    assert source_tables([]) == []


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
