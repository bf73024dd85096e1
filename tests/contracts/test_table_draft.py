"""A contract drafted from a table says what the catalog says, and drafting changes nothing in the source."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
import yaml

from include import settings
from include.contracts import read_contract, read_contracts, source_tables, table_draft
from include.contracts.catalog import list_tables, reading
from include.contracts.check import check_file
from include.contracts.names import free_names
from include.names import qualified
from include.postgres import StatementRefusedError
from include.stack.local.postgres import PostgresServer
from include.transfer.model import TableName
from tests.contracts.conftest import Application

# Each row of these catalogs, with the transaction that wrote it and its place.
CATALOGS = ("class", "attribute", "type", "namespace", "constraint", "index", "proc", "description", "authid", "depend")


def catalog(uri: str) -> dict[str, Any]:
    with psycopg.connect(uri) as connection:
        return {
            name: connection.execute(f"select ctid, xmin, tableoid from pg_{name} order by ctid".encode()).fetchall()
            for name in CATALOGS
        }


def properties(application: Application, file: str) -> dict[str, dict[str, Any]]:
    document = yaml.safe_load(application.texts()[file])
    return {each["name"]: each for each in document["schema"][0]["properties"]}


def test_reader_drafts_every_table_of_a_schema_and_writes_nothing_to_the_source(application: Application) -> None:
    before = catalog(application.uri)
    out, err = application.warehouse("contract", "new", "--table", "app.*")
    assert catalog(application.uri) == before
    assert list(application.texts()) == ["app/events.yaml", "app/orders.yaml", "app/secret.yaml"]
    assert all(f"written: {application.contracts}/{name}" in out for name in application.texts())
    assert "warehouse contract check" in out
    assert err.startswith("app.secret: the connection's user may not read it") and err.count("\n") == 1
    for contract in read_contracts(application.contracts):
        assert check_file(contract.file) == [] and not contract.is_landed


def test_catalog_is_read_where_nothing_can_be_written(application: Application) -> None:
    with (
        pytest.raises(StatementRefusedError, match="read-only transaction"),
        reading(application.uri, "source_db") as connection,
    ):
        connection.execute("create table app.written ()")


def test_table_in_a_schema_that_may_not_be_used_is_said_to_be_unreadable(application: Application) -> None:
    application.execute("revoke usage on schema app from reader")
    _, said = application.warehouse("contract", "new", "--table", "app.orders")
    assert "app.orders: the connection's user may not read it" in said


def test_enum_is_not_personal_whatever_it_is_called(application: Application) -> None:
    application.execute("create table app.calls (id int primary key, phone app.state, phone_number text)")
    application.warehouse("contract", "new", "--table", "app.calls")
    properties = yaml.safe_load(application.texts()["app/calls.yaml"])["schema"][0]["properties"]
    assert [each["name"] for each in properties if each.get("classification")] == ["phone_number"]


def test_table_of_an_extension_is_nobodys_dataset(application: Application) -> None:
    application.execute("create table app.of_extension (id int primary key)")
    application.execute("alter extension plpgsql add table app.of_extension")
    application.warehouse("contract", "new", "--table", "app.*")
    assert sorted(application.texts()) == ["app/events.yaml", "app/orders.yaml", "app/secret.yaml"]
    _, said = application.warehouse("contract", "new", "--table", "app.of_extension", code=1)
    assert said.startswith("no table of source_db is meant by --table app.of_extension")


ODDITIES = """
create table app.parent (id int, gone int, line int, note text, size app.state,
    primary key (line, id) include (note));
alter table app.parent drop column gone;
alter type app.state add value 'before all' before 'open';
create table app.child (own int) inherits (app.parent);
create table app.unchecked (id int primary key, late int, early int not null);
alter table app.unchecked add constraint late not null late not valid;
create schema landing create table landing.rejects (id int) create table landing.more (id int);
create schema transfer create table transfer.snapshots (id int);
"""


def test_what_is_rare_in_a_catalog_is_told_as_it_is(application: Application) -> None:
    application.execute(ODDITIES)
    application.warehouse("contract", "new", "--table", "*.*")
    drafted = {contract.name: contract for contract in read_contracts(application.contracts)}
    assert not {contract.schema for contract in drafted.values()} & {"landing", "transfer"}, "tables of this project"
    parent = drafted["app.parent"]
    assert [column.name for column in parent.columns] == ["id", "line", "note", "size"], "one was dropped"
    assert parent.key == ("line", "id"), "what an index includes is no key"
    assert {column.name for column in parent.columns if column.required} == {"id", "line"}
    labels = properties(application, "app/parent.yaml")["size"]["enum"]
    assert [each["value"] for each in labels] == ["before all", "open", "TODO", "it's paid"], "in the order of the type"
    assert [column.name for column in drafted["app.child"].columns][-1] == "own", "an heir is no partition"
    unchecked = {column.name: column.required for column in drafted["app.unchecked"].columns}
    assert unchecked == {"id": True, "late": False, "early": True}, "rows from before the constraint may break it"


def test_contract_of_the_demo_counts_where_the_demo_is_switched_off(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    application.warehouse("contract", "new", "--table", "app.orders")
    file = application.contracts / "app/orders.yaml"
    file.write_text(file.read_text().replace("tags:\n", "tags:\n- demo\n"))
    monkeypatch.setattr(settings, "WITH_DEMO", False)
    assert read_contracts(application.contracts) == []
    out, _ = application.warehouse("contract", "new", "--table", "app.orders")
    assert "app/orders.yaml describes app.orders already, and is left alone" in out


def test_sentence_names_twenty_tables_and_counts_the_others(application: Application) -> None:
    application.execute("".join(f"create table app.t{number:02} (id int);" for number in range(20)))
    _, err = application.warehouse("contract", "new", "--table", "nope.*", code=1)
    assert err.rstrip().endswith("app.t12 and 7 more") and "app.t13" not in err


def test_names_of_a_database_without_an_encoding_are_text(source_server: PostgresServer) -> None:
    with psycopg.connect(source_server.uri(), autocommit=True) as connection:
        connection.execute("create database ascii encoding 'SQL_ASCII' locale 'C' template template0")
    uri = source_server.uri("ascii")
    with psycopg.connect(uri, client_encoding="utf8") as connection:
        connection.execute('create table "Käufe" (id int primary key)')
    with reading(uri, "source_db") as connection:
        assert [table.name for table in list_tables(connection)] == ["Käufe"]


def test_draft_says_of_each_column_what_the_catalog_says(application: Application) -> None:
    application.warehouse("contract", "new", "--table", "app.orders")
    contract = read_contract(application.contracts / "app/orders.yaml")
    assert {column.name: column.type for column in contract.columns} == {
        "id": "bigint",
        "line": "smallint",
        "country": "character(2)",
        "code": "character varying(20)",
        "state": "app.state",
        "kind": 'app."Shipping Kind"',
        "states": "app.state[]",
        "total": "numeric(10,2)",
        "ratio": "numeric",
        "price": "app.price",
        "customer_email": "app.email",
        "birth_date": "date",
        "scores": "app.scores",
        "tags": "text[]",
        "placed_at": "timestamp(3) with time zone",
        "at_local": "timestamp without time zone",
        "at_time": "time without time zone",
        "gift": "boolean",
        "weight": "real",
        "document": "jsonb",
        "period": "tstzrange",
        "raw": "bytea",
        "flag": '"char"',
    }
    assert contract.key == ("line", "id")
    required = {column.name for column in contract.columns if column.required}
    assert required == {
        *("id", "line", "country", "state", "total", "price", "customer_email", "scores", "placed_at"),
    }
    assert {c.name: c.personal for c in contract.columns if c.personal} == {
        "customer_email": "email",
        "birth_date": "birth_date",
    }
    drafted = properties(application, "app/orders.yaml")
    assert {name: each["logicalType"] for name, each in drafted.items()} == {
        **dict.fromkeys(("country", "code", "state", "kind", "customer_email", "period", "raw", "flag"), "string"),
        **dict.fromkeys(("id", "line"), "integer"),
        **dict.fromkeys(("total", "ratio", "weight"), "number"),
        **dict.fromkeys(("states", "scores", "tags"), "array"),
        **dict.fromkeys(("price", "document"), "object"),
        **dict.fromkeys(("placed_at", "at_local"), "timestamp"),
        "birth_date": "date",
        "at_time": "time",
        "gift": "boolean",
    }
    labels = [{"value": "open"}, {"value": "TODO"}, {"value": "it's paid"}]
    assert drafted["state"]["enum"] == labels
    assert drafted["states"]["items"] == {"logicalType": "string", "enum": labels} and "enum" not in drafted["states"]
    assert drafted["scores"]["items"] == {"logicalType": "integer"}
    assert drafted["country"]["description"] == "Where it goes: {% raw %}." and drafted["id"]["description"] == "TODO"
    assert contract.description.startswith("Orders, one row per line.")


def test_odd_names_are_folded_and_told_apart_and_the_contract_keeps_the_real_ones(application: Application) -> None:
    application.warehouse("contract", "new", "--table", "App Data.*")
    tables = {c.name: (c.schema, c.table) for c in read_contracts(application.contracts)}
    assert tables == {
        "app_data.order_lines": ("App Data", "order_lines"),
        "app_data.order_lines_2": ("App Data", "Order Lines"),
        "app_data.order_lines_3": ("App Data", "order-lines"),
        "app_data.table": ("App Data", "table"),
    }
    drafted = properties(application, "app_data/order_lines_2.yaml")
    assert {name: each.get("physicalName", name) for name, each in drafted.items()} == {
        "id": "id",
        "id_2": "Id",
        "user": "user",
        "o_clock": "o'clock",
        "a_b": "a {{ b }}",
        "select": "select",
    }
    application.execute('create schema app_data; create table app_data."Order Lines" (id int)')
    application.warehouse("contract", "new", "--table", "app_data.*")
    (new,) = [c for c in read_contracts(application.contracts) if c.schema == "app_data"]
    assert new.name == "app_data_2.order_lines", "a folder holds the contracts of one schema"


def test_folded_name_does_not_depend_on_the_order_of_drafting(application: Application) -> None:
    application.warehouse("contract", "new", "--table", "App Data.Order Lines")
    application.warehouse("contract", "new", "--table", "App Data.order_lines")
    assert {c.dataset: c.table for c in read_contracts(application.contracts)} == {
        "order_lines": "order_lines",
        "order_lines_2": "Order Lines",
    }


@pytest.mark.parametrize(
    ("name", "folded"),
    [("Größe", "grosse"), ("2024", "t_2024"), ("заказы", "t"), ("_x", "x"), ("a-B c", "a_b_c"), ("a__b", "a__b")],
)
def test_folded_name_is_one_that_a_dataset_may_have(name: str, folded: str) -> None:
    assert free_names([name], [name]) == {name: folded}
    assert free_names([name], [name], [folded]) == {name: f"{folded}_2"}


def test_table_that_has_a_contract_is_left_alone_and_named(application: Application) -> None:
    application.warehouse("contract", "new", "--table", "app.orders")
    file = application.contracts / "app/orders.yaml"
    file.rename(application.contracts / "app/shop-orders.yaml")
    text = file.with_name("shop-orders.yaml").read_text()
    out, _ = application.warehouse("contract", "new", "--table", "app.orders", "--table", "app.events")
    assert list(application.texts()) == ["app/events.yaml", "app/shop-orders.yaml"]
    assert application.texts()["app/shop-orders.yaml"] == text
    assert "app/shop-orders.yaml describes app.orders already, and is left alone" in out


def test_view_is_drafted_only_when_it_is_named_exactly(application: Application) -> None:
    _, err = application.warehouse("contract", "new", "--table", "app.open_orders", "--table", "app.totals")
    assert "app.open_orders is a view: it has no key" in err and "transfer --views" in err
    for contract in read_contracts(application.contracts):
        assert contract.key == () and contract.name in ("app.open_orders", "app.totals")
    assert all("physicalType: view\n" in text for text in application.texts().values())


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("nope.*", "no table of source_db is meant by --table nope.*, a pattern of schema.table: there are App Data."),
        ("orders", "app.events, app.orders, app.secret"),
        ("app.tot*", "--table app.tot* means views alone, which have to be named one by one: app.totals"),
        ("app.events_2026", "app.events_2026 is a partition of app.events: give that name instead"),
    ],
)
def test_pattern_that_means_no_table_is_one_sentence_and_nothing_is_written(
    application: Application, pattern: str, sentence: str
) -> None:
    _, err = application.warehouse("contract", "new", "--table", "app.*", "--table", pattern, code=1)
    assert sentence in err and err.count("\n") == 1
    assert application.texts() == {}


def test_draft_that_would_be_no_contract_is_not_written(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_draft, "check_file", lambda file: [f"{file}: is odd"] if file.stem == "secret" else [])
    _, err = application.warehouse("contract", "new", "--table", "app.*", code=1)
    assert "app/secret.yaml: is odd\n" in err
    assert application.texts() == {}


@pytest.mark.parametrize("arguments", [[], ["app.orders"], ["app.orders", "sample.csv", "--table", "app.orders"]])
def test_new_takes_a_sample_or_tables(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from include.cli import main

    with pytest.raises(SystemExit) as caught:
        main(["contract", "new", *arguments])
    assert caught.value.code == 2
    assert "give SOURCE.DATASET and a sample, or one --table or more" in capsys.readouterr().err


@pytest.mark.parametrize("schema", ["app", "App Data", "a.b", 'a"b', "a[1]", "a*"])
def test_patterns_of_a_source_mean_its_schema_to_the_transfer(application: Application, schema: str) -> None:
    assert qualified(schema, "t") == str(TableName(schema, "t"))
    if schema not in ("app", "App Data"):
        quoted = psycopg.sql.Identifier(schema).as_string()
        application.execute(f"create schema {quoted}; create table {quoted}.t (id int)")
        application.execute("create schema a; create table a.t (id int); create schema a1; create table a1.t (id int)")
        application.execute(f"grant usage on schema {quoted} to reader; grant select on {quoted}.t to reader")
        application.warehouse("contract", "new", "--table", qualified(schema, "t"))
        patterns = source_tables(read_contracts(application.contracts))
        out, _ = application.warehouse("transfer", "--plan", *(f"--tables={pattern}" for pattern in patterns))
        assert f"raw_{schema}" in out.replace('""', '"') and "raw_a.t" not in out and "raw_a1.t" not in out
