"""Every type and shape that a table can have arrives as it was, between servers of one version and of two."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.transfer.catalog import describe, find_table
from include.transfer.model import TableName
from include.transfer.row_hash import row_hash
from include.transfer.session import connect
from tests.transfer.conftest import execute, move, rows, texts

TYPES = {
    "smallint": ["-32768", "32767", "0"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "real": ["'NaN'", "'Infinity'", "'-Infinity'", "'-0'", "1.1", "3.4028235e38", "1e-45"],
    "double precision": ["'NaN'", "'Infinity'", "'-0'", "0.1", "1.7976931348623157e308", "5e-324"],
    "numeric": ["'NaN'", "'Infinity'", "'-Infinity'", "1.0", "1.00", "0", "0.000", f"{'9' * 1000}.{'1' * 1000}"],
    "numeric(12,2)": ["'NaN'", "-9999999999.99", "0.10"],
    "money": ["'-92233720368547758.08'", "'12.34'"],
    "text": ["''", "'a\nb\tc\\\\d\r'", "'\\N'", "'\\.'", "'emoji 😀 é ß'", "repeat('x', 1000000)", "' '"],
    "varchar(5)": ["''", "'abc'", "'  '"],
    "char(5)": ["''", "'abc'", "' x'"],
    "bpchar": ["'abc  '", "'abc'", "''"],
    "name": ["'n'", "repeat('é', 31)"],
    '"char"': ["'a'", "''"],
    "bytea": ["''", "'\\x00ff0a5c'", "decode(repeat('00', 100000), 'hex')"],
    "boolean": ["true", "false"],
    "date": ["'infinity'", "'-infinity'", "'4713-01-01 BC'", "'5874897-12-31'", "'2000-02-29'"],
    "timestamp": ["'infinity'", "'-infinity'", "'4713-01-01 BC'", "'294276-12-31 23:59:59.999999'"],
    "timestamptz": ["'infinity'", "'294276-12-31 23:59:59.999999Z'", "'0044-03-15 12:00:00+01 BC'"],
    "timestamp(0)": ["'2000-01-01 00:00:01'"],
    "time": ["'24:00:00'", "'00:00:00.000001'"],
    "timetz": ["'00:00+15:59'", "'24:00-15:59'", "'10:00+01'", "'09:00+00'"],
    "interval": [
        "'1 day'",
        "'24 hours'",
        "'-178000000 years'",
        "'1 mon -1 day 00:00:00.000001'",
        "'30 days'",
        "'1 mon'",
    ],
    "uuid": ["'00112233-4455-6677-8899-aabbccddeeff'"],
    "json": ['\'{"a":  1, "a": 2}\'', "'\"\\u0000\"'", "'null'"],
    "jsonb": ["'{\"a\": 1.0}'", "'{\"a\": 1.00}'", "'null'", "'[]'"],
    "inet": ["'10.0.0.1/8'", "'::1'", "'10.0.0.1'"],
    "cidr": ["'10.0.0.0/8'", "'::/0'"],
    "macaddr": ["'08:00:2b:01:02:03'"],
    "macaddr8": ["'08:00:2b:01:02:03:04:05'"],
    "bit(3)": ["B'101'", "B'000'"],
    "varbit": ["B''", "B'1'", "B'10'"],
    "point": ["'(1,NaN)'", "'(-0,0)'"],
    "polygon": ["'((0,0),(1,1),(1,0))'"],
    "circle": ["'<(0,0),1.1>'"],
    "tsvector": ["'a:1A fat:2 cat'"],
    "tsquery": ["'a & !b'"],
    "xid8": ["'18446744073709551615'"],
    "pg_lsn": ["'16/B374D848'"],
    "regclass": ["'pg_class'"],
    "oid": ["4294967295"],
    "jsonpath": ["'$.a[*] ? (@ > 1)'"],
    "integer[]": ["'{}'", "'{1,NULL,-3}'", "'[0:1]={1,2}'", "'{{1,2},{3,4}}'"],
    "text[]": ["""'{"","NULL",NULL,"a,b","c\\"d"}'"""],
    "numeric[]": ["'{1.0}'", "'{1.00}'", "'{NaN}'"],
    "timestamptz[]": ["'{infinity,\"0044-03-15 12:00:00+00 BC\"}'"],
    "int4range": ["'empty'", "'[1,5)'", "'(,)'"],
    "numrange": ["'[1.0,1.00]'", "'[1.00,1.0]'"],
    "tstzmultirange": ["'{[2000-01-01 00:00Z,2000-01-02 00:00Z),[2001-01-01 00:00Z,infinity)}'"],
    "shop.mood": ["'sad'", "'odd ''one'''"],
    "shop.mood[]": ["'{sad,NULL}'", "'{}'"],
    "shop.positive": ["1", "2.50"],
    "shop.price": ["row(1.50, 'EUR')", "row(null, null)", "row(1.5, 'E\"U,R')"],
    "shop.price[]": ["array[row(1.50, 'EUR')::shop.price]"],
    "shop.span": ["'[1.5,2.5)'", "'empty'"],
    "shop.spans": ["'{[1.5,2.5),[3,4]}'"],
    "shop.moods": ["'{sad,NULL}'", "'{}'"],
    "shop.moods[]": ["array['{sad}'::shop.moods]"],
    "shop.holder": ["row('{sad}', 3, row(1, 'x'))"],
}

DEFINITIONS = (
    "create schema shop",
    "create type shop.mood as enum ('sad', 'ok', 'odd ''one''')",
    "create domain shop.moods as shop.mood[]",
    "create domain shop.positive as numeric(8,2) not null check (value > 0)",
    "create type shop.price as (amount numeric, currency text)",
    "create type shop.span as range (subtype = float8, multirange_type_name = shop.spans)",
    "create type shop.holder as (moods shop.mood[], n shop.positive, p shop.price)",
)


def _typed_tables(uri: str) -> list[str]:
    """Make a table a type: a key, a column of the type, a column of it that may be NULL and is."""
    execute(uri, *DEFINITIONS)
    tables = []
    for number, (kind, values) in enumerate(TYPES.items()):
        table = f"shop.t{number}"
        values = ", ".join(f"({place}, ({value})::{kind})" for place, value in enumerate(values))
        nothing = "" if "positive" in kind else f", nothing {kind}"
        execute(
            uri,
            f"create table {table} (id integer primary key, value {kind}{nothing})",
            f"insert into {table} values {values}",
        )
        tables.append(table)
    return tables


@pytest.mark.parametrize("versions", ["18 to 18", "16 to 18", "18 to 16"])
def test_every_type_arrives_as_it_was(versions: str, source_uri: str, target_uri: str, old_uri: str) -> None:
    source = old_uri if versions.startswith("16") else source_uri
    target = old_uri if versions.endswith("16") else target_uri
    tables = _typed_tables(source)
    assert {result.verdict for result in move(source, target).values()} == {"verified"}
    kinds = (
        "select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull from pg_attribute a"
        " join pg_class c on c.oid = a.attrelid where c.relnamespace = 'shop'::regnamespace and c.relkind = 'r'"
        " and a.attnum > 0 order by 1, a.attnum"
    )
    assert rows(source, kinds) == rows(target, kinds)
    for table in tables:
        assert texts(source, table) == texts(target, table), table


@pytest.mark.parametrize("versions", ["18 to 18", "16 to 18"])
def test_a_value_that_only_looks_different_is_found(
    versions: str, source_uri: str, target_uri: str, old_uri: str
) -> None:
    """1.0 and 1.00 are equal to SQL, like a day and 24 hours, and still they are not the same value."""
    source = old_uri if versions.startswith("16") else source_uri
    tables = _typed_tables(source)
    move(source, target_uri)
    for table in tables:  # every value goes to another key, those that SQL calls equal too
        execute(
            source,
            f"create temp table old as select * from {table}; update {table} set value ="
            f" (select o.value from old o where o.id = ({table}.id + 1) % (select count(*) from old))",
        )
    done = move(source, target_uri)
    for table in tables:
        assert texts(source, table) == texts(target_uri, table), (table, done[table])
        assert done[table].mode == "key"


def test_values_that_fold_to_the_same_32_bits_are_told_apart(source_uri: str, target_uri: str) -> None:
    """The hash functions of bigint and of times see the upper half of a value XOR its lower half."""
    for table, null in (("sure", "not null"), ("maybe", "")):
        execute(source_uri, f"create table {table} (id int primary key, big bigint {null}, at timestamptz {null})")
        execute(source_uri, f"insert into {table} values (1, 1, '2000-01-01 00:00+00'), (2, 1, '2000-01-01 00:00+00')")
    move(source_uri, target_uri)
    for table in ("sure", "maybe"):
        execute(source_uri, f"update {table} set big = 1::bigint << 32 where id = 1")
        execute(source_uri, f"update {table} set at = '2000-01-01 01:11:34.967297+00' where id = 2")
    done = move(source_uri, target_uri)
    for table in ("sure", "maybe"):
        assert texts(source_uri, table) == texts(target_uri, table)
        assert (done[f"public.{table}"].mode, done[f"public.{table}"].rows_changed) == ("key", 4)


@pytest.mark.parametrize("columns", ["id int not null, v bigint", "id int, v bigint", "id timestamp, v text"])
def test_no_two_rows_of_many_have_the_same_hash(columns: str, source_uri: str) -> None:
    """Of 400,000 hashes 32 bits wide, about 18 would meet."""
    execute(source_uri, f"create table t ({columns})")
    value = "i" if columns.startswith("id int") else "timestamp '2000-01-01' + i * interval '1 s'"
    execute(source_uri, f"insert into t select {value}, i % 7 from generate_series(1, 400000) i")
    with connect(source_uri, "source") as source:
        oid = find_table(source, TableName("public", "t"))
        assert oid is not None
        hashed = row_hash(describe(source, [oid], "", 180000)[oid].columns, 180000).as_string(source)
    assert rows(source_uri, f"select count(distinct {hashed}) from t") == [(400_000,)]


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


@st.composite
def _tables(draw: st.DrawFn) -> tuple[list[str], list[dict[int, list[str]]]]:
    """Draw column types, and three states of a table with those columns: key -> values."""
    kinds = draw(st.lists(st.sampled_from([k for k in TYPES if "positive" not in k]), min_size=1, max_size=12))
    values = st.tuples(*(st.sampled_from(["null", *TYPES[kind]]) for kind in kinds)).map(list)
    states = st.dictionaries(st.integers(-(2**63), 2**63 - 1), values, max_size=30)
    return kinds, draw(st.lists(states, min_size=3, max_size=3))


@settings(
    max_examples=int(os.environ.get("TRANSFER_EXAMPLES", "12")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    table=_tables(), key=st.sampled_from(["primary key (id)", "primary key (half, id)", "unique nulls distinct (id)"])
)
def test_whatever_a_table_holds_the_target_holds_the_same(
    source_uri: str, target_uri: str, table: tuple[list[str], list[dict[int, list[str]]]], key: str
) -> None:
    kinds, states = table
    for uri in (source_uri, target_uri):
        execute(uri, "drop schema if exists shop cascade", "drop schema if exists transfer cascade")
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(kinds))
    execute(source_uri, *DEFINITIONS, f"create table shop.t (id bigint not null, half text, {columns}, {key})")
    for state in states:
        execute(source_uri, "delete from shop.t")
        for number, values in state.items():
            typed = ", ".join(f"({value})::{kind}" for value, kind in zip(values, kinds, strict=True))
            execute(source_uri, f"insert into shop.t values ({number}, '{number % 2}', {typed})")
        move(source_uri, target_uri)
        assert texts(source_uri, "shop.t") == texts(target_uri, "shop.t")


@pytest.mark.e2e
def test_the_metadata_database_of_airflow_moves_whole(source_uri: str, target_uri: str, tmp_path: Path) -> None:
    uri = source_uri.replace("postgresql://", "postgresql+psycopg2://")
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": uri}
    program = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(program, env=environment, check=True, capture_output=True, timeout=300)
    execute(source_uri, "insert into variable (key, val, is_encrypted) values ('k', 'v', false)")
    for _ in range(2):
        done = move(source_uri, target_uri)
        assert len(done) > 40 and {result.verdict for result in done.values()} == {"verified"}
    assert texts(source_uri, "variable") == texts(target_uri, "variable")
