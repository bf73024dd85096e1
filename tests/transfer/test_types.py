"""Every type arrives as it was, between servers of one version and of two, and follows its source."""

from __future__ import annotations

import os

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.transfer.conftest import execute, move, rows, texts
from tests.transfer.type_samples import DEFINITIONS, TYPES, make_typed_tables


@pytest.mark.parametrize("versions", ["18 to 18", "16 to 18", "18 to 16"])
def test_every_type_arrives_as_it_was(versions: str, source_uri: str, target_uri: str, old_uri: str) -> None:
    source = old_uri if versions.startswith("16") else source_uri
    target = old_uri if versions.endswith("16") else target_uri
    tables = make_typed_tables(source)
    assert {result.verdict for result in move(source, target).values()} == {"verified"}
    kinds = (
        "select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull from pg_attribute a"
        " join pg_class c on c.oid = a.attrelid where c.relnamespace = 'shop'::regnamespace and c.relkind = 'r'"
        " and a.attnum > 0 order by 1, a.attnum"
    )
    assert rows(source, kinds) == rows(target, kinds)
    for table in tables:
        assert texts(source, table) == texts(target, table), table


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


def test_a_domain_follows_when_its_source_asks_less_of_a_value(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create domain amount as int not null check (value > 0) check (value < 10)")
    execute(source_uri, "create table t (id int primary key, v amount)", "insert into t values (1, 1)")
    move(source_uri, target_uri)
    execute(source_uri, "alter domain amount drop constraint amount_check", "alter domain amount drop not null")
    execute(source_uri, "insert into t values (2, -1), (3, null)")
    assert move(source_uri, target_uri)["public.t"].mode == "key"
    assert texts(source_uri, "t") == texts(target_uri, "t")
    with pytest.raises(psycopg.errors.CheckViolation):
        execute(target_uri, "select 10::amount")
