"""Values that differ have different hashes, those that SQL calls equal too."""

from __future__ import annotations

import re

import pytest

from include.transfer import row_hash as row_hash_module
from include.transfer.catalog import describe, find_table
from include.transfer.model import TableName
from include.transfer.row_hash import row_hash
from include.transfer.session import connect
from tests.transfer.conftest import execute, move, rows, texts
from tests.transfer.type_samples import make_typed_tables


@pytest.mark.parametrize("versions", ["18 to 18", "16 to 18"])
def test_a_value_that_only_looks_different_is_found(
    versions: str, source_uri: str, target_uri: str, old_uri: str
) -> None:
    """1.0 and 1.00 are equal to SQL, like a day and 24 hours, and still they are not the same value."""
    source = old_uri if versions.startswith("16") else source_uri
    tables = make_typed_tables(source)
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


def test_the_hash_is_the_one_that_the_module_shows(source_uri: str) -> None:
    execute(source_uri, "create table t (id integer not null, big bigint not null, name text, price real)")
    with connect(source_uri, "source") as source:
        oid = find_table(source, TableName("public", "t"))
        assert oid is not None
        hashed = row_hash(describe(source, [oid], "", 180000)[oid].columns, 180000).as_string(source)
    shown = (row_hash_module.__doc__ or "").partition("it is\n")[2].partition("Because")[0]
    without_comments = "".join(line.partition("--")[0] for line in shown.splitlines())
    assert re.sub(r"\s", "", hashed) == re.sub(r"\s", "", without_comments)
