"""Mode `full`: a table that is loaded in several ranges is one table, whole or not there."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from include.transfer import TransferError, TransferRefusedError, plan, transfer_table
from include.transfer.modes import full
from include.transfer.move import Move, move_table
from include.transfer.session import connect
from tests.transfer.conftest import execute, move, rows, texts


def test_a_table_in_several_ranges_stays_one_table(
    source_uri: str, target_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full, "_LEAST_RANGE", 64 * 1024)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    execute(
        source_uri,
        "create table item (id bigint primary key, name text)",
        "insert into item select i, repeat('n', 50) from generate_series(1, 20000) i",
        "create table landed (id bigint, _xid xid8 default pg_current_xact_id())",
        "insert into landed select i from generate_series(1, 20000) i",
    )
    for number in range(4):
        done = move(source_uri, target_uri, full=number == 2)
        by_now = ("full", "full") if number in (0, 2) else ("key", "append")
        assert (done["public.item"].mode, done["public.landed"].mode) == by_now
        children = "select count(*) from pg_inherits where inhparent = 'item'::regclass"
        assert rows(target_uri, children) == [(3,)]
        for table in ("item", "landed"):
            assert texts(source_uri, table) == texts(target_uri, table)
        execute(
            source_uri,
            "update item set name = 'changed' where id % 100 = 3",
            "delete from item where id % 100 = 4",
            f"insert into item select i, 'new' from generate_series({30000 + number * 100}, {30050 + number * 100}) i",
            "insert into landed select i from generate_series(1, 10) i",
        )


def test_a_table_that_is_rewritten_between_two_ranges_does_not_arrive_torn(
    source_uri: str, target_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full, "_LEAST_RANGE", 64 * 1024)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(full, "ThreadPoolExecutor", lambda _: ThreadPoolExecutor(1))  # one range after the other
    execute(
        source_uri,
        "create table item (id bigint primary key, name text)",
        "insert into item select i, repeat('n', 50) from generate_series(1, 20000) i",
        "delete from item where id <= 10000 and id % 3 > 0",
        "vacuum item",
    )
    [item] = plan(source_uri, target_uri)
    with (
        psycopg.connect(source_uri, autocommit=True) as waiting,
        connect(source_uri, "source") as source,
        connect(target_uri, "target") as target,
        ThreadPoolExecutor(1) as other,
    ):
        begun = []
        waits = "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s"

        def progress(*_: int) -> None:
            if not begun:  # the first range holds the table, the second one has yet to ask for it
                begun.append(other.submit(waiting.execute, "vacuum full item"))
                while rows(source_uri, waits % waiting.info.backend_pid) != [(True,)]:
                    time.sleep(0.01)

        with pytest.raises(TransferError, match=r"item: VACUUM FULL, CLUSTER or the like .*: run it again"):
            move_table(Move(source, target, item, "torn", progress=progress))
        begun[0].result()
    move(source_uri, target_uri)
    assert texts(source_uri, "item") == texts(target_uri, "item")


def test_the_error_of_the_range_that_failed_is_the_one_that_is_raised(
    source_uri: str, target_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full, "_LEAST_RANGE", 64 * 1024)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    execute(
        source_uri,
        "create table item (id bigint primary key, name text)",
        "insert into item select i, repeat('n', 50) from generate_series(1, 20000) i",
    )

    def fill(source: Any, target: Any, job: Any, into: Any, file_range: Any, *, named: bool) -> Any:
        if "ctid <" not in file_range.as_string():
            raise TransferRefusedError("item: the second range failed for a reason of its own")
        for _ in range(1000):  # the first range goes on until it notices
            job.progress(1, 1)
            time.sleep(0.01)

    monkeypatch.setattr(full, "_fill", fill)
    [item] = plan(source_uri, target_uri)
    with pytest.raises(TransferRefusedError, match="the second range failed for a reason of its own"):
        transfer_table(source_uri, target_uri, item, run_id="ranges")
