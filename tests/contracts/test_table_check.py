"""A contract of an application's table is compared with the table; what differs is to be changed in the contract."""

from __future__ import annotations

import pytest

from include.contracts import read_contracts
from include.contracts.table_check import check_tables
from include.landing import check_contracts as landing_check
from tests.contracts.conftest import Application
from tests.landing.conftest import SHOP


def drafted(application: Application) -> None:
    application.warehouse("contract", "new", "--table", "app.*", "--table", "App Data.*")
    application.fill_todos()
    application.warehouse("contract", "sources", "--write")


def test_drafts_are_in_order_when_their_todos_are_filled_in(application: Application) -> None:
    drafted(application)
    out, err = application.warehouse("contract", "check")
    assert (out, err) == ("7 contracts are in order\n", "")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("physicalType: character(2)", "physicalType: char(2)", None),
        ("physicalType: timestamp(3) with time zone", "physicalType: timestamptz(3)", None),
        ("physicalType: app.state\n", "physicalType: state\n", None),
        ("    enum:\n    - value: air\n    - value: sea\n", "", None),  # a contract need not list the labels
        (
            "physicalType: app.state\n",
            "physicalType: text\n",
            "app.orders.state is app.state, the contract says text: write physicalType: app.state in the contract",
        ),
        (
            "physicalType: app.email\n",
            "physicalType: text\n",
            "app.orders.customer_email is app.email, the contract says text: write physicalType: app.email",
        ),
        (
            "physicalType: numeric(10,2)",
            "physicalType: numeric(12,2)",
            "app.orders.total is numeric(10,2), the contract says numeric(12,2): write physicalType: numeric(10,2)",
        ),
        (
            "- name: code\n",
            "- name: code\n    physicalName: codes\n",
            "app.orders has no column codes: correct the physicalName of code in the contract, or remove the property",
        ),
        (
            "- name: code\n",
            "- name: code\n    physicalName: codes\n",
            "app.orders has a column code, which the contract does not know: add a property with physicalName: code"
            " and physicalType: character varying(20) to the contract",
        ),
        (
            "physicalName: orders\n",
            "physicalName: order\n",
            "source_db has no table app.order: correct the physicalName of the table or the schema of the server",
        ),
        ("schema: app\n", "schema: apps\n", "app/orders.yaml: its table is in the schema apps, that of events.yaml in"),
    ],
)
def test_check_says_what_to_change_in_the_contract(
    application: Application, old: str, new: str, sentence: str | None
) -> None:
    drafted(application)
    text = application.texts()["app/orders.yaml"]
    assert old in text
    (application.contracts / "app/orders.yaml").write_text(text.replace(old, new, 1))
    said = "\n".join(check_tables(read_contracts(application.contracts), application.reader_uri))
    if sentence is None:
        assert said == ""
        return
    _, err = application.warehouse("contract", "check", "--allow-todo", code=1)
    assert sentence in err
    assert "alter" not in err.lower() and "landing writes" not in err


def test_new_label_of_an_enum_is_told(application: Application) -> None:
    application.execute("create domain app.stage as app.state")
    application.execute("create table app.calls (id int primary key, stage app.stage)")
    drafted(application)
    application.execute("alter type app.state add value 'lost'")
    _, err = application.warehouse("contract", "check", code=1)
    for column in ("app.orders.state", "app.calls.stage"):  # the second one's type is a domain of the enum
        assert f"{column} has the labels lost, which the contract does not know: add them to the enum" in err


def test_two_contracts_of_one_table_are_told(application: Application) -> None:
    drafted(application)
    copy = application.contracts / "app/again.yaml"
    copy.write_text(application.texts()["app/orders.yaml"].replace("app.orders", "app.again"))
    for verb in (["check"], ["sources", "--write"]):
        _, err = application.warehouse("contract", *verb, code=1)
        assert f"orders.yaml: describes the table app.orders, and {copy} has it or its name already" in err


def test_landing_does_not_judge_what_is_not_landed(application: Application) -> None:
    drafted(application)
    assert landing_check(read_contracts(application.contracts), application.reader_uri) == []
    landed = [contract for contract in SHOP.values() if contract.is_landed]
    assert check_tables(landed, application.reader_uri) == [], "nor the other way round"


def test_check_without_a_database_compares_no_tables(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    drafted(application)
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", "postgresql://me:secret@127.0.0.1:1/shop")
    out, _ = application.warehouse("contract", "check", "--no-database")
    assert out == "7 contracts are in order\n"


def test_todo_that_is_left_fails_the_check_until_it_is_allowed(application: Application) -> None:
    application.warehouse("contract", "new", "--table", "app.orders", "--table", "app.secret")
    application.warehouse("contract", "sources", "--write")
    _, err = application.warehouse("contract", "check", code=1)
    orders, secret = err.splitlines()
    assert secret == (
        f"{application.contracts}/app/secret.yaml: a TODO is left in schema.secret.description,"
        " schema.secret.properties.id.description: write there what is true, or pass --allow-todo"
    )
    assert "schema.orders.properties.id.description" in orders and "orders.description," not in orders
    assert "country" not in orders and "enum" not in orders, "a comment is no TODO, and neither is a label of an enum"
    out, err = application.warehouse("contract", "check", "--allow-todo")
    assert (out, err) == ("2 contracts are in order\n", "")
