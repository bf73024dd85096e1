"""Refreshed tables have planner statistics: the source's, or those of ANALYZE."""

from __future__ import annotations

import pytest

from include.stack.local.postgres import PostgresServer
from include.transfer import statistics
from include.transfer.catalog import describe, list_tables
from include.transfer.session import connect
from tests.transfer.conftest import execute, move, rows


@pytest.mark.parametrize("size", [0, 10**9])
def test_a_refreshed_table_has_the_statistics_of_its_rows(
    size: int, source_uri: str, target_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_WORTH_IT", size)  # the source's from 0 bytes on, or ANALYZE
    execute(
        source_uri,
        """create table "Some Table" as select i as id, i % 5 as "a ""b", array[i % 3] as list,"""
        " int4range(i, i + 9) as span, null::text as nothing, repeat('x''{}', i % 7) as v"
        " from generate_series(1, 5000) i",
        'analyze "Some Table"',
    )
    entries = (
        "select count(*), min(n_distinct) filter (where attname = 'id'), max(n_distinct) filter (where attname = 'v'),"
        " min(most_common_freqs[1]) filter (where attname = 'a \"b') from pg_stats where {} = '{}' and {} inherited"
    )
    move(source_uri, target_uri)
    [of_source] = rows(source_uri, entries.format("tablename", "Some Table", "not"))
    assert of_source[:3] == (6, -1, 7)
    assert rows(target_uri, entries.format("tablename", "Some Table", "not")) == [of_source]
    move(source_uri, target_uri, full=True)
    assert rows(target_uri, entries.format("tablename", "Some Table", "")) == [of_source]
    assert rows(target_uri, entries.format("schemaname", "transfer", "not")) == [of_source]
    execute(source_uri, """insert into "Some Table" (id, v) select i, 'new' || i from generate_series(1, 4000) i""")
    move(source_uri, target_uri, full=True)  # what the source knows is stale now
    [found] = rows(target_uri, entries.format("schemaname", "transfer", "not"))
    assert found[0] == 6 and found[2] < 0


def test_statistics_that_the_source_can_not_have_are_gathered(
    source_uri: str, target_server: PostgresServer, target_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_WORTH_IT", 0)
    execute(
        source_uri, "create table t as select i % 99 as a, i % 99 as b, 'x' || i as v from generate_series(1, 9999) i"
    )
    execute(source_uri, "create table u (v text)", "insert into u select 'V' || i from generate_series(1, 9999) i")
    execute(source_uri, "create index of_lower on u (lower(v))", "analyze t", "analyze u")
    move(source_uri, target_uri)
    assert rows(target_uri, "select count(*) from pg_stats where tablename = 'of_lower'") == [(1,)]
    execute(target_uri, "create statistics pairs (ndistinct) on a, b from t")
    move(source_uri, target_uri, full=True)
    pairs = "select stxdndistinct::text from pg_statistic_ext_data where stxdinherit"
    assert rows(target_uri, pairs) == [('{"1, 2": 99}',)]
    execute(target_uri, "create database sorted template template0 locale_provider builtin builtin_locale 'C.UTF-8'")
    sorted_uri = target_server.uri("sorted")
    try:
        moved = move(source_uri, sorted_uri)
        assert moved["public.t"].mode == "full"
        with connect(source_uri, "source") as source, connect(sorted_uri, "target") as target:
            [oid] = [oid for oid, name, _ in list_tables(source) if name.table == "t"]
            t = describe(source, [oid], "", 180000)[oid]
            assert statistics.read(source, target, t) is None  # text lies in another order
        assert rows(sorted_uri, "select count(*) from pg_stats where tablename = 't'") == [(3,)]
    finally:
        execute(target_uri, "drop database sorted with (force)")
