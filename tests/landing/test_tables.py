"""A dataset's table is made from its contract, follows it, and says what it can't follow."""

from __future__ import annotations

import re

import psycopg
import pytest

from include.contracts import ContractError
from include.landing import ensure_table, ensure_tables, land, ledger
from tests.landing.conftest import SHOP, THINGS, Place, write_contract

NEW_COLUMN = "          - {name: colour, logicalType: string, physicalType: text, description: Colour.}\n"


def test_a_table_follows_a_contract_with_a_new_column_that_may_be_null(things: Place) -> None:
    things.put("one", [{"id": 1, "label": "a"}])
    things.land()
    things.contract = write_contract(things.folder, THINGS + NEW_COLUMN)
    things.put("two", [{"id": 2, "colour": "red"}])
    things.land()
    current = things.query("select id, colour from toys.things_current order by id")
    assert current == [(1, None), (2, "red")]


@pytest.mark.parametrize(
    ("kind", "spelled"),
    [
        ("string", "varchar(9)"),
        ("number", "numeric(6,2)"),
        ("number", "numeric(6, 2)"),
        ("timestamp", "timestamptz"),
        ("number", "double precision"),
    ],
)
def test_a_table_is_as_its_contract_says_however_the_type_is_spelled(things: Place, kind: str, spelled: str) -> None:
    column = NEW_COLUMN.replace("string", kind).replace("text", f'"{spelled}"')
    things.contract = write_contract(things.folder, THINGS + column)
    for _ in range(2):  # the second run compares the table that the first one made
        ensure_table(things.contract, things.uri)


@pytest.mark.parametrize(
    ("old", "new", "statement"),
    [
        ("\n", "\n", 'alter table "toys"."things" add column "colour" text'),
        ("label, logicalType: string, physicalType: text", "label, logicalType: string, physicalType: varchar(9)",
         r'alter table "toys"."things" alter column "label" type varchar\(9\)'),
        ("name: label,", "name: colour, primaryKey: true, primaryKeyPosition: 2,", 'add column "colour" text'),
        ("name: label", "name: title", 'alter table "toys"."things" drop column "label"'),
        ("name: label", "name: label, physicalName: Order By", 'drop column "label"'),
    ],
    ids=["required column", "other type", "column of the key", "column gone", "odd name"],
)  # fmt: skip
def test_a_contract_that_the_table_can_not_follow_is_rejected_with_the_statement_to_run(
    things: Place, old: str, new: str, statement: str
) -> None:
    things.put("one", [{"id": 1, "label": "a"}])
    things.land()
    text = THINGS.replace(old, new)
    if old == "\n":
        text += NEW_COLUMN.replace("name: colour,", "name: colour, required: true,")
    things.contract = write_contract(things.folder, text)
    things.put("two", [{"id": 2}])
    with pytest.raises(ContractError, match=statement) as caught:
        things.land()
    assert things.query("select count(*) from toys.things") == [(1,)]
    with psycopg.connect(things.uri) as connection:
        for said in re.findall("`(.*?)`", str(caught.value)):
            connection.execute(said)
    things.land_anyway()
    columns = "select column_name from information_schema.columns where table_name = '{}' order by ordinal_position"
    assert things.query(columns.format("things")) == things.query(columns.format("things_current"))


ADDED = [
    f"alter table landing.{table} drop column {column}"
    for table, (_, columns, _) in ledger.TABLES.items()
    for column, type_ in columns.items()
    if "not null" not in type_ or "default" in type_
]

OLDER = [*(f"drop table landing.{table}" for table in ledger.TABLES), *ADDED, "drop schema landing cascade"]

OLDER += ["drop view toys.things_current", "drop index toys.things_hash_record_extended_idx"]


@pytest.mark.parametrize("statement", OLDER)
def test_a_database_of_an_older_version_is_brought_up_to_date_by_the_next_run(things: Place, statement: str) -> None:
    things.put("one", [{"id": 1}, {"id": "x"}])
    things.land()
    made = "select table_schema, table_name, column_name, data_type from information_schema.columns order by 1, 2, 3"
    indexes = "select indexdef from pg_indexes where schemaname in ('landing', 'toys') order by 1"
    before = things.query(made), things.query(indexes)
    with psycopg.connect(things.uri) as connection:
        connection.execute(statement)
    assert (things.query(made), things.query(indexes)) != before
    things.put("two", [{"id": 2}, {"id": "y"}])
    assert things.land().rows_loaded == 1
    assert (things.query(made), things.query(indexes)) == before
    assert things.query("select id from toys.things_current order by id") == [(1,), (2,)]


def test_a_contract_with_another_key_gives_the_table_its_index_and_view(things: Place) -> None:
    things.put("one", [{"id": 1, "label": "a"}, {"id": 1, "label": "b"}])
    things.land()
    key = "label, logicalType: string, physicalType: text, primaryKey: true, primaryKeyPosition: 2"
    text = THINGS.replace("label, logicalType: string, physicalType: text", key)
    things.contract = write_contract(things.folder, text)
    things.put("two", [{"id": 1, "label": "a", "secret": "a@example.com"}])
    assert things.land().rows_loaded == 1
    assert things.query("select id, label, secret from toys.things_current order by label") == [
        (1, "a", "a@example.com"),
        (1, "b", None),
    ]
    (index,) = things.query("select indexdef from pg_indexes where schemaname = 'toys'")
    assert "ROW(id, label)" in index[0]


def test_two_runs_may_create_the_tables_at_once(source_uri: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ensure_tables(SHOP.values(), source_uri), range(16)))
    assert land(SHOP["shop.wares"], [], source_uri=source_uri).files == ()
