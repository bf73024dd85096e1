"""A table whose columns changed is followed, or the error says what to run."""

from __future__ import annotations

import re

import pytest

from include.transfer import TransferError, plan, transfer_table
from tests.transfer.conftest import execute, move, rows


def test_changed_columns_are_followed_or_say_what_to_run(source_uri: str, target_uri: str) -> None:
    execute(
        source_uri,
        "create table t (id int primary key, a int not null, b varchar(5), gone text not null)",
        "insert into t values (1, 1, 'x', 'old')",
        "create table other (id int primary key)",
    )
    move(source_uri, target_uri)
    execute(
        source_uri,
        "alter table t add column new timestamptz default '2020-01-01', alter column a type bigint, drop column gone,"
        " alter column b type text",
        "alter table t alter column a drop not null",
        "insert into t values (2, null, 'longer than five')",
    )
    done = move(source_uri, target_uri)["public.t"]
    assert any("new is new" in note for note in done.notes)
    assert any("widened from integer to bigint" in note for note in done.notes)
    assert any("gone was dropped" in note for note in done.notes)
    assert rows(target_uri, "select id, a, b, gone, extract(year from new)::int from t order by 1") == [
        (1, 1, "x", None, 2020),
        (2, None, "longer than five", None, 2020),
    ]
    assert move(source_uri, target_uri)["public.t"].mode == "key"  # the change is made once

    execute(source_uri, "alter table t rename column b to c")
    by_name = {p.source: p for p in plan(source_uri, target_uri)}
    with pytest.raises(TransferError, match=re.escape('alter table "public"."t" rename column "b" to "c"')):
        transfer_table(source_uri, target_uri, by_name["public.t"], run_id="rename")
    assert transfer_table(source_uri, target_uri, by_name["public.other"], run_id="rename").verdict == "counted"
    execute(target_uri, "alter table t rename column b to c")
    move(source_uri, target_uri)

    execute(source_uri, "alter table t alter column c type date using null")
    with pytest.raises(TransferError, match="can't follow by itself: run in the target"):
        move(source_uri, target_uri)
    assert rows(target_uri, "select c from t where id = 2") == [("longer than five",)]
