"""Rows that a snapshot can no longer show are an error, never deletions."""

from __future__ import annotations

import pytest

from include.transfer import TransferError, held_snapshot, plan, transfer_table
from tests.transfer.conftest import execute, move, rows, texts


@pytest.mark.parametrize(
    "statement",
    [
        "truncate t_1; insert into t values (1, 'new')",
        "alter table t alter v type text using v || '!'",
        "alter table t detach partition t_1",
        "drop table t_1",
        "create table new (like t); insert into new select * from t; alter table t rename to old;"
        " alter table new rename to t",
    ],
)
def test_rows_that_the_snapshot_no_longer_shows_are_not_taken_for_deleted(
    statement: str, source_uri: str, target_uri: str
) -> None:
    execute(
        source_uri,
        "create table t (id int, v text) partition by range (id)",
        "create table t_1 partition of t for values from (0) to (50)",
        "create table t_2 partition of t default",
        "insert into t select i, 'old' from generate_series(1, 99) i",
    )
    move(source_uri, target_uri)
    with held_snapshot(source_uri) as snapshot:
        [t] = plan(source_uri, target_uri)
        execute(source_uri, statement)
        with pytest.raises(TransferError, match=r"t: public.t.* since the snapshot .*: start the run again"):
            transfer_table(source_uri, target_uri, t, run_id="late", snapshot=snapshot)
    assert rows(target_uri, "select count(*) from t where v = 'old'") == [(99,)]
    move(source_uri, target_uri, include=["public.t"])
    assert texts(source_uri, "t") == texts(target_uri, "t")


def test_a_key_dropped_since_the_snapshot_is_an_error_that_says_so(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create table t (id int primary key)")
    with held_snapshot(source_uri) as snapshot:
        [t] = plan(source_uri, target_uri)
        execute(source_uri, "alter table t drop constraint t_pkey")
        with pytest.raises(TransferError, match="its definition was changed in the source since the snapshot"):
            transfer_table(source_uri, target_uri, t, run_id="late", snapshot=snapshot)


def test_a_table_that_was_rewritten_without_a_loss_is_read_at_the_snapshot(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create table t (id int primary key)", "insert into t values (1), (2)")
    execute(source_uri, "create table empty (id int)", "vacuum empty")
    with held_snapshot(source_uri) as snapshot:
        [empty, t] = sorted(plan(source_uri, target_uri), key=lambda p: p.source)
        execute(source_uri, "delete from t where id = 1", "vacuum full t", "cluster t using t_pkey", "truncate empty")
        assert transfer_table(source_uri, target_uri, empty, run_id="packed", snapshot=snapshot).rows == 0
        assert transfer_table(source_uri, target_uri, t, run_id="packed", snapshot=snapshot).rows == 2
