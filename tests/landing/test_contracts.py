"""Contracts: in order as they ship, followed by tables and dbt sources, drafted from samples, checked clearly."""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from pathlib import Path

import psycopg
import pytest
import yaml

from include import settings
from include.landing import ContractError, batch_name, contracts, describe, ensure_tables, land
from include.landing.checks import check_contracts, check_file
from include.landing.contracts import read_contract, select
from include.landing.dbt_sources import differing, write
from include.landing.drafts import write_draft
from include.landing.tables import OWN_TABLES
from tests.landing.conftest import SHOP, THINGS, Place, write_contract


def test_the_contracts_that_ship_are_in_order(source_uri: str) -> None:
    from include.demo import make_tables

    make_tables(source_uri)
    ensure_tables(contracts(), source_uri)
    assert check_contracts(source_uri) == []


def test_the_dbt_sources_are_those_of_the_contracts() -> None:
    assert differing() == [], "run `python -m include contract sources --write`"


def test_a_changed_contract_changes_its_dbt_source(tmp_path: Path) -> None:
    folder = tmp_path / "contracts"
    shutil.copytree(settings.CONTRACTS, folder)
    write(folder, tmp_path)
    assert differing(folder, tmp_path) == []
    file = folder / "sales" / "sale.yaml"
    file.write_text(file.read_text().replace("What the sale brought in.", "What was paid."))
    assert [path.name for path in differing(folder, tmp_path)] == ["_sales__sources.yml"]
    (made,) = write(folder, tmp_path)
    source = yaml.safe_load(made.read_text())["sources"][0]
    assert (source["name"], source["schema"], source["tables"][0]["name"]) == ("raw_sales", "raw_sales", "sale")


def test_which_datasets_are_landed_when() -> None:
    schedules = {
        "retail.customers": "0 * * * *",
        "retail.erasure-requests": "0 1 * * *",
        "retail.products": "0 0 * * *",
        "retail.transactions": "0 * * * *",
        "schools.learning_modality": "0 0 * * 0",
        "services.events": "0 0 * * *",
    }
    assert {name: SHOP[name].schedule for name in schedules if SHOP[name].is_landed} == schedules
    owned = ["billing.account", "billing.address", "billing.statement", "sales.sale"]
    assert not any(SHOP[name].is_landed or SHOP[name].schedule for name in owned)


def test_select_takes_sources_and_datasets_and_refuses_others() -> None:
    assert [c.name for c in select(["retail.customers", "services"], contracts())] == [
        "retail.customers",
        "services.events",
    ]
    with pytest.raises(ContractError, match=r"billing: no contract lands such a source.*retail.customers"):
        select(["billing"], contracts())


def test_every_contract_can_be_described_in_its_dag() -> None:
    text = describe(SHOP["retail.transactions"])
    assert "| total_cost | numeric | yes |" in text
    assert "lines_add_up" in text
    assert "SCHOOLS_URL" in describe(SHOP["schools.learning_modality"])


def test_a_batch_is_called_after_its_files() -> None:
    files = [f"retail/date=2026-01-01/hour={hour:02}/customers.json" for hour in range(3)]
    assert batch_name(files) == "3 files, date=2026-01-01/hour=00 to date=2026-01-01/hour=02"
    assert batch_name(files[:1]) == files[0]


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
    ("old", "new", "statement"),
    [
        ("\n", "\n", "alter table toys.things add column colour text"),
        ("label, logicalType: string, physicalType: text", "label, logicalType: string, physicalType: varchar(9)",
         r"alter table toys.things alter column label type varchar\(9\)"),
        ("name: label", "name: title", "alter table toys.things drop column label"),
    ],
    ids=["required column", "other type", "column gone"],
)  # fmt: skip
def test_a_contract_that_the_table_can_not_follow_is_refused_with_the_statement_to_run(
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
    things.land()
    columns = "select column_name from information_schema.columns where table_name = '{}' order by ordinal_position"
    assert things.query(columns.format("things")) == things.query(columns.format("things_current"))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("version: 1.0.0", "", "'version' is a required property|\"version\" is a required property"),
        ("logicalType: integer", "logicalType: whole", "schema.0.properties.0.logicalType"),
        ("physicalType: integer", "physicalType: money", "physicalType 'money' is none that landing writes: text"),
        ("id: toys.things", "id: toys.other", "id: is 'toys.other', which should be 'toys.things'"),
        ("description: Number.", "businessName: x", "schema: id: has no description"),
        ("primaryKey: true,", "", "no property has primaryKey"),
        ("format: json", "format: parquet", "format: 'parquet' is neither json nor csv"),
        ("status: active", "status: [", "is no YAML"),
        ("name: label", "name: secret", "two properties share a column"),
        ("toys/*/", "/toys/*/", "'/toys/./things.json' is no path below the landing root"),
        ("toys/*/", "../toys/*/", "is no path below the landing root"),
        ("0 * * * *", "0 24 * * *", r"schedule: '0 24 \* \* \*' is no cron schedule"),
    ],
)
def test_check_says_what_is_wrong_with_a_contract(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    scheduled = THINGS.replace(
        "    schema:", '    slaProperties: [{property: frequency, value: 1, schedule: "0 * * * *"}]\n    schema:'
    )
    good = tmp_path / "contracts/toys/things.yaml"
    good.parent.mkdir(parents=True)
    text = textwrap.dedent(scheduled).replace("FORMAT", "json")
    good.write_text(text)
    assert check_file(good) == []
    assert old in text
    good.write_text(text.replace(old, new))
    assert re.search(sentence, "\n".join(check_file(good)))


def test_check_compares_contracts_with_tables(things: Place) -> None:
    things.put("one", [{"id": 1}])
    things.land()
    text = THINGS.replace("physicalType: text, description: What", "physicalType: varchar(4), description: What")
    text = text.replace(
        "    schema:", '    slaProperties: [{property: frequency, value: 1, schedule: "0 0 * * *"}]\n    schema:'
    )
    write_contract(things.folder, text)
    problems = check_contracts(things.uri, things.folder / "contracts", things.folder)
    assert any("toys.things.label is text, the contract says varchar(4)" in problem for problem in problems)


def test_a_drafted_contract_takes_every_row_of_its_sample(tmp_path: Path, source_uri: str) -> None:
    rows = [
        {
            "order-no": f"A{n}",
            "placed": f"2026-01-0{n % 9 + 1}T10:00:00",
            "who": {"mail": f"a{n}@example.com", "age": n if n % 2 else None},
            "lines": [{"sku": n, "price": "1.50"}],
            "total": "1.50",
            "weight": n / 4,
            "gift": n % 2 == 0,
        }
        for n in range(1, 30)
    ]
    sample = tmp_path / "sample.json"
    sample.write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = write_draft("web.orders", sample, folder=tmp_path / "contracts", schedule="0 2 * * *")
    assert check_file(file) == []
    contract = read_contract(file)
    assert contract.key == ("order_no",)
    assert {c.name: c.type for c in contract.columns} == {
        "order_no": "text",
        "placed": "timestamptz",
        "who_mail": "text",
        "who_age": "bigint",
        "lines": "jsonb",
        "total": "numeric",
        "weight": "double precision",
        "gift": "boolean",
    }
    assert [(c.name, c.personal) for c in contract.columns if c.personal] == [("who_mail", "email")]
    place = Place(contract, tmp_path, source_uri)
    place.put("web/orders.json", sample.read_bytes())
    result = place.land()
    assert (result.rows_loaded, result.rows_rejected) == (29, 0)
    with pytest.raises(ContractError, match="is there already"):
        write_draft("web.orders", sample, folder=tmp_path / "contracts")


def test_a_contract_is_drafted_from_a_csv_with_its_own_delimiter(tmp_path: Path, source_uri: str) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_text('id;day;amount;note\n1;2026-01-01;1.5;"a;b"\n2;2026-01-02;2;\n')
    contract = read_contract(write_draft("web.days", sample, folder=tmp_path / "contracts"))
    assert [(c.name, c.type, c.required) for c in contract.columns] == [
        ("id", "bigint", True),
        ("day", "date", True),
        ("amount", "numeric", True),
        ("note", "text", False),
    ]
    place = Place(contract, tmp_path, source_uri)
    place.put("web/days.csv", sample.read_bytes())
    assert place.land().rows_loaded == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "holds no row to draft a contract from"),
        ("no rows\n", "holds no row to draft a contract from"),
        ('{"a": 1}\n{"a": "x"}\n', r"a: holds values of several types \(int, str\)"),
        ('{"a": 1.5}\n', "holds no text or integer that could be the key"),
        (None, "can't be read .No such file or directory.: name a file of the dataset"),
    ],
)
def test_no_contract_is_drafted_from_a_sample_that_shows_too_little(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    sample = tmp_path / "sample.json"
    if content is not None:
        sample.write_text(content)
    with pytest.raises(ContractError, match=f"sample.json: {reason}"):
        write_draft("web.orders", sample, folder=tmp_path / "contracts")
    assert not (tmp_path / "contracts").exists()


ADDED = [
    f"alter table landing.{table} drop column {column}"
    for table, (_, columns, _) in OWN_TABLES.items()
    for column, type_ in columns.items()
    if "not null" not in type_ or "default" in type_
]
OLDER = [*(f"drop table landing.{table}" for table in OWN_TABLES), *ADDED, "drop schema landing cascade"]
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
        list(pool.map(lambda _: ensure_tables(contracts(), source_uri), range(16)))
    assert land(SHOP["retail.products"], [], source_uri=source_uri).files == ()
