"""Several tables at once: one failure stops no other table, an interrupt stops all."""

from __future__ import annotations

import time

import pytest
from psycopg import sql

from include.transfer import TransferError, TransferResult, plan
from include.transfer.modes import full
from include.transfer.run import run_transfer
from include.transfer.table_pair import TablePair
from tests.transfer.conftest import execute, move, rows


def test_a_failure_is_recorded_and_stops_no_other_table(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create table t (v int)", "create table u (v int)", "insert into t values (1)")
    move(source_uri, target_uri)
    execute(source_uri, "alter table t alter v type date using null")
    [t, u] = sorted(plan(source_uri, target_uri), key=lambda p: p.source)
    outcomes = dict(run_transfer(source_uri, target_uri, [t, u], run_id="one", jobs=2))
    assert isinstance(outcomes[t], TransferError) and isinstance(outcomes[u], TransferResult)
    recorded = "select target, verdict, error is null from transfer.runs where run_id = 'one' order by 1"
    assert rows(target_uri, recorded) == [("public.t", "failed", False), ("public.u", "counted", True)]
    assert rows(target_uri, "select v from t") == [(1,)]


def test_an_interrupted_run_does_not_wait_for_the_tables_under_way(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create view endless as select pg_sleep(60)::text as v", "create table other (v int)")
    [endless, other] = sorted(plan(source_uri, target_uri, views=True), key=lambda p: p.source)

    def interrupt(*_: object) -> None:
        time.sleep(0.05)
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_transfer(source_uri, target_uri, [endless, other], run_id="i", jobs=2, done=interrupt)
    assert time.monotonic() - started < 30
    assert rows(target_uri, "select target from transfer.runs where error is null") == [("public.other",)]


def test_a_bug_met_by_one_table_is_raised_when_the_others_are_done(
    source_uri: str, target_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(source_uri, "create table t (v int)", "create table u (v int)", "create table w (v int)")
    plans = sorted(plan(source_uri, target_uri), key=lambda p: p.source)
    load = full.load

    def load_with_a_bug(pair: TablePair, where: sql.Composable | None) -> full.Loaded:
        if pair.name.table == "t":
            raise KeyError("ann@example.com")
        return load(pair, where)

    monkeypatch.setattr(full, "load", load_with_a_bug)
    with pytest.raises(KeyError) as raised:
        run_transfer(source_uri, target_uri, plans, run_id="bug", jobs=1)
    assert "load_with_a_bug" in [entry.name for entry in raised.traceback]
    recorded = rows(target_uri, "select target, verdict, error from transfer.runs where run_id = 'bug' order by 1")
    assert [row[:2] for row in recorded] == [
        ("public.t", "failed"),
        ("public.u", "counted"),
        ("public.w", "counted"),
    ]
    assert "KeyError" in recorded[0][2] and "example.com" not in recorded[0][2]
