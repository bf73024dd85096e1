"""Mode `key`: changes are found whatever the keys are, and few changes without a second scan."""

from __future__ import annotations

import pytest

from tests.transfer.conftest import execute, move, rows, texts


@pytest.mark.parametrize("keys", [(0, 2**63 // 5), (-(2**63), -(2**63) + 1), (-(2**63), 2**63 - 1)])
def test_keys_at_the_ends_of_bigint_are_compared(keys: tuple[int, int], source_uri: str, target_uri: str) -> None:
    execute(
        source_uri, "create table t (id bigint primary key, v text)", *(f"insert into t values ({k})" for k in keys)
    )
    move(source_uri, target_uri)
    execute(source_uri, "update t set v = 'new' where id = (select max(id) from t)")
    assert move(source_uri, target_uri)["public.t"].mode == "key"
    assert texts(source_uri, "t") == texts(target_uri, "t")


@pytest.mark.parametrize(
    ("name", "in_target", "expected"),
    [
        ("t", "alter table t alter low set (n_distinct = 50)", 1),  # as if misjudged
        ("bounds", "analyze bounds", 1),  # named as an alias in the statement
        ("t", "alter table t drop constraint t_pkey; create index on t using hash (low)", 2),
    ],
)
def test_few_changes_are_found_by_the_key_without_a_second_scan(
    name: str, in_target: str, expected: int, source_uri: str, target_uri: str
) -> None:
    def scans() -> int:
        [(number,)] = rows(source_uri, f"select seq_scan from pg_stat_user_tables where relname = '{name}'")
        return int(number)

    execute(
        source_uri,
        f"create table {name} (low integer primary key, high text)",
        f"insert into {name} select i from generate_series(-21000, 21000, 7) i",
    )
    move(source_uri, target_uri)
    execute(target_uri, in_target, f"analyze {name}")
    changes = [
        f"update {name} set high = 'new' where low in (-21000, 0)",
        f"delete from {name} where low in (-7, 7, 21000)",
        f"insert into {name} values (-21001), (-6), (5)",
    ]
    execute(source_uri, *changes)
    before = scans()
    moved = move(source_uri, target_uri, verify=False)[f"public.{name}"]
    assert (moved.mode, moved.rows_changed, scans() - before) == ("key", 10, expected)
    assert texts(source_uri, name) == texts(target_uri, name)
