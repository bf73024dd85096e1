"""Tables of every shape get the same definition in the target, or a note of what it can't have."""

from __future__ import annotations

import psycopg
import pytest

from tests.transfer.conftest import execute, move, rows, texts

SHAPES = {
    "public.empty": ["create table empty (id int primary key, v text)"],
    "public.no_columns": ["create table no_columns ()", "insert into no_columns default values"] * 1,
    "public.no_key": ["create table no_key (v text)", "insert into no_key values ('a'), ('a'), (null), ('')"],
    "public.wide": [
        "do $$ begin execute 'create table wide (' || (select string_agg(format('c%s smallint', i), ', ')"
        " from generate_series(1, 1600) i) || ')'; end $$",
        "insert into wide (c1, c1600) values (1, 2), (null, 3)",
    ],
    '"Odd ""name"" é😀"."ta.ble $1 %s"': [
        'create schema "Odd ""name"" é😀"',
        'create table "Odd ""name"" é😀"."ta.ble $1 %s"'
        ' ("select" int primary key, "a""b\\c" text, "%(x)s" int, "é" text)',
        """insert into "Odd ""name"" é😀"."ta.ble $1 %s" values (1, 'x', 2, 'y')""",
    ],
    f"public.{'n' * 63}": [
        f"create table {'n' * 63} ({'c' * 63} int primary key)",
        f"insert into {'n' * 63} values (1)",
    ],
    "public.parted": [
        "create table parted (id int, day date, v text, primary key (id, day)) partition by range (day)",
        "create table parted_1 partition of parted for values from ('2020-01-01') to ('2020-02-01')",
        "create table parted_2 partition of parted default",
        "insert into parted select i, date '2020-01-01' + i, 'v' || i from generate_series(1, 60) i",
    ],
    "public.parent": [
        "create table parent (id int primary key, v text)",
        "create table child (extra text) inherits (parent)",
        "insert into parent values (1, 'p')",
        "insert into child values (1, 'c', 'x')",
    ],
    "public.serials": [
        "create table serials (id serial primary key, other int generated always as identity, v text)",
        "insert into serials (v) select 'x' from generate_series(1, 7)",
        "delete from serials where id = 7",
    ],
    "public.numbered": [
        "create domain number as int",
        "create table numbered (id number primary key, a numeric, b text, c smallint)",
        *(f"create sequence numbers_{c} start 70000 owned by numbered.{c}" for c in ("id", "a", "b", "c")),
        "alter table numbered alter id set default nextval('numbers_id'), alter a set default nextval('numbers_a'),"
        " alter b set default 'B-' || nextval('numbers_b')",
        "insert into numbered (c) values (nextval('numbers_c') - 69999)",
    ],
    "public.inner_one": [
        "create table inner_one (a int primary key, b text not null)",
        "insert into inner_one values (1, 'x')",
        "create table outer_one as select i as id, t as one, array[t, t] as several from inner_one t,"
        " generate_series(1, 300) i",
    ],
    "public.sorted": [
        "create collation own (provider = libc, locale = 'C')",
        "create table sorted (id text collate own primary key)",
        "insert into sorted values ('a')",
    ],
    "public.generated": [
        "create table generated (id int primary key, twice int generated always as (id * 2) stored)",
        "insert into generated select i from generate_series(1, 5) i",
    ],
    "public.unchecked": [
        "create table unchecked (id int primary key, v int)",
        "insert into unchecked values (1, -1)",
        "alter table unchecked add constraint above check (v > 0) not valid",
    ],
    "public.indexed": [
        "create function odd(int) returns int immutable language sql as 'select $1 % 2'",
        "create table indexed (id int primary key, a int default 3, b text collate \"C\" not null default 'x'"
        " check (b <> ''), c timestamptz default now(), d int check (odd(d) = 1), unique (a, b),"
        " unique (d, id) include (c))",
        "create index on indexed (lower(b) desc nulls last) include (a) where a > 0",
        "create index on indexed (odd(a))",
        "comment on table indexed is 'it''s a table'",
        "comment on column indexed.b is 'and a column'",
        "insert into indexed (id, d) values (1, 1)",
    ],
}


@pytest.mark.parametrize("versions", ["18 to 18", "16 to 18", "18 to 16"])
def test_every_shape_arrives(versions: str, source_uri: str, target_uri: str, old_uri: str) -> None:
    source = old_uri if versions.startswith("16") else source_uri
    target = old_uri if versions.endswith("16") else target_uri
    execute(source, *(statement for statements in SHAPES.values() for statement in statements))
    for _ in range(2):  # first in full, then whatever each table offers
        done = move(source, target)
        assert set(SHAPES) <= set(done) and "public.parted_1" not in done
        for table in SHAPES:
            if table != "public.no_columns":
                assert texts(source, table) == texts(target, table), table
        assert rows(target, "select count(*) from no_columns") == [(1,)]
        execute(
            source,
            "insert into serials (v) values ('later')",
            """update "Odd ""name"" é😀"."ta.ble $1 %s" set "%(x)s" = 7""",
        )
    move(source, target)
    execute(target, "insert into serials (v) values ('written in the target')")
    assert rows(target, "select max(id) from serials") == [(10,)]
    indexes = "select indexdef from pg_indexes where tablename = 'indexed' and indexdef not like '%odd%' order by 1"
    assert rows(source, indexes) == rows(target, indexes)
    comments = "select obj_description('indexed'::regclass), col_description('indexed'::regclass, 3)"
    assert rows(source, comments) == rows(target, comments)
    assert any("odd" in note for note in done["public.indexed"].notes) or done["public.indexed"].mode == "key"
    with pytest.raises(psycopg.errors.CheckViolation):
        execute(target, "insert into indexed (id, b) values (2, '')")


def test_a_key_that_the_target_can_not_have_is_left_out_with_a_note(source_uri: str, old_uri: str) -> None:
    execute(
        source_uri,
        "create table t (id int4range, valid daterange, v text, primary key (id, valid without overlaps))",
        "insert into t values ('[1,2)', '[2020-01-01,2021-01-01)', 'x')",
    )
    for _ in range(3):
        [done] = move(source_uri, old_uri).values()
        assert done.mode == "full" or not done.notes
        assert done.mode == "key" or "key t_pkey left out" in str(done.notes)
        assert texts(source_uri, "t") == texts(old_uri, "t")
        execute(source_uri, "update t set v = v || 'x'")


def test_names_of_keys_and_indexes_may_be_taken_in_the_target(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create table t (id int primary key, v int check (v > 0))", "create index on t (v)")
    move(source_uri, target_uri)
    execute(target_uri, "alter table t rename to t_of_last_year")
    move(source_uri, target_uri)
    assert rows(target_uri, "select count(*) from pg_index where indrelid = 't'::regclass") == [(2,)]


def test_what_only_the_newest_servers_have_arrives(source_uri: str, target_uri: str) -> None:
    execute(
        source_uri,
        "create table computed (id int primary key, twice int generated always as (id * 2) virtual)",
        "insert into computed select generate_series(1, 5)",
        "create table unchecked (id int primary key, v int check (v > 0) not enforced, w int)",
        "insert into unchecked values (1, -1, null)",
        "alter table unchecked add constraint there not null w not valid",
    )
    for _ in range(2):
        move(source_uri, target_uri)
        for table in ("computed", "unchecked"):
            assert texts(source_uri, table) == texts(target_uri, table)
        execute(
            source_uri,
            "update computed set id = 50 where id = 5",
            "insert into unchecked select max(id) + 1, -2, 1 from unchecked",
        )
