"""A contract that can't be used stops its own dataset, says why, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import yaml
from airflow.dag_processing.dagbag import DagBag

from include import settings
from include.cli import _own_tables, main
from include.contracts import ContractError, read_all, read_contracts, select, source_tables
from include.contracts.check import check_contracts
from include.contracts.dbt_sources import differing, write
from include.orchestration.warehouse import ensure_landing_tables
from include.transform.scaffold import ModelError, write_models
from tests.landing.conftest import CONTRACTS, SHOP

PEOPLE = Path("shop/people.yaml")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The contracts of the tests, as the project's own."""
    folder = tmp_path / "contracts"
    shutil.copytree(CONTRACTS, folder)
    monkeypatch.setattr(settings, "CONTRACTS", folder)
    monkeypatch.setattr(settings, "DBT_PROJECT", tmp_path / "dbt")
    monkeypatch.setattr(settings, "TRANSFER_TABLES", [])
    return folder


def _replace(old: str, new: str) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    return change


def _twice(file: Path) -> None:
    text = file.read_text().replace("shop.people", "shop.x-people").replace("name: people", "name: x-people")
    (file.parent / "x-people.yaml").write_text(text.replace("physicalName: people", "physicalName: x_people"))
    shutil.copytree(file.parent, file.parent.parent / "shop_x")
    for other in (file.parent.parent / "shop_x").glob("*.yaml"):
        if other.name == file.name:
            _replace("id: shop.people", "id: shop_x.people")(other)
        else:
            other.unlink()


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda file: file.write_text("status: ["), "people.yaml: is no YAML that can be read"),
        (lambda file: file.write_text("- a\n"), "people.yaml"),
        (lambda file: file.write_bytes(b"\xff\xfe"), "people.yaml: is no YAML that can be read"),
        (lambda file: file.write_text("a: " + "[" * 3000), "people.yaml: is no YAML that can be read"),
        (lambda file: (file.unlink(), file.mkdir()), "people.yaml: can't be read (Is a directory)"),
        (lambda file: (file.unlink(), file.symlink_to("nowhere")), "people.yaml: can't be read (No such file"),
        (_replace("physicalType: text", ""), "no physicalType"),
        (_replace("physicalType: text", "physicalType: money"), "'money' is none that landing writes: text"),
        (_replace("0 * * * *", "0 99 * * *"), "schedule: '0 99 * * *' is no cron schedule"),
        (_replace("primaryKey: true", "primaryKey: false"), "no property has primaryKey"),
    ],
)
def test_a_contract_that_cannot_be_read_is_known_with_its_sentence_and_the_others_are_read(
    folder: Path, break_it: Callable[[Path], None], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    break_it(folder / PEOPLE)
    contracts = read_all()
    assert [contract.name for contract in contracts.readable] == sorted(SHOP.keys() - {"shop.people"})
    (broken,) = contracts.broken
    assert (broken.name, broken.schema, broken.table, broken.is_landed) == ("shop.people", "shop", "people", True)
    assert str(folder / PEOPLE) in broken.problem and sentence in broken.problem
    write()
    capsys.readouterr()
    assert main(["contract", "check", "--no-database"]) == 1
    output = capsys.readouterr()
    assert output.err.strip() and "in order" not in output.out
    assert {line.partition(": ")[0] for line in output.err.splitlines() if ".yaml" in line} == {str(folder / PEOPLE)}


def test_a_dataset_with_a_name_that_no_dag_can_have_is_broken(folder: Path) -> None:
    (folder / PEOPLE).rename(folder / "shop" / "Our People.yaml")
    (broken,) = read_all().broken
    assert "a contract is called <source>/<dataset>.yaml, in small letters" in broken.problem
    assert broken.pipeline == "land_shop_people"


def test_of_two_datasets_with_one_dag_the_second_is_broken(folder: Path) -> None:
    _twice(folder / PEOPLE)
    contracts = read_all()
    (broken,) = contracts.broken
    assert broken.name == "shop_x.people"
    assert "its DAG would be called land_shop_x_people, as that of" in broken.problem
    assert {"shop.people", "shop.x-people"} <= {contract.name for contract in contracts.readable}
    assert any("its DAG would be called" in problem for problem in check_contracts())
    bag = DagBag(str(settings.PROJECT / "dags" / "landing.py"))
    assert {"find_files", "land"} <= {task.task_id for task in bag.dags["land_shop_x_people"].tasks}
    assert broken.pipeline == "land_shop_x_people_2" and "broken contract" in bag.dags[broken.pipeline].tags


def test_select_names_broken_ones_among_those_that_were_asked_for(folder: Path) -> None:
    (folder / PEOPLE).write_text("status: [")
    every = read_all()
    chosen = select(["shop"], every)
    assert [c.name for c in chosen.readable] == ["shop.orders", "shop.wares"]
    assert [c.name for c in chosen.broken] == ["shop.people"]
    assert select(["log"], every).broken == []
    assert [c.name for c in select(["shop.people"], every).every] == ["shop.people"]


def test_every_dag_but_the_broken_one_is_as_before_and_that_one_fails_with_its_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _replace("0 * * * *", "0 99 * * *")(folder / PEOPLE)
    (folder / "log/events.yaml").write_text("status: [")
    bag = DagBag(str(settings.PROJECT / "dags" / "landing.py"))
    assert bag.import_errors == {}
    landed = {name for name, contract in SHOP.items() if contract.is_landed}
    assert set(bag.dag_ids) == {f"land_{name.replace('.', '_')}" for name in landed}
    assert {"find_files", "land"} <= {task.task_id for task in bag.dags["land_shop_orders"].tasks}
    (task,) = bag.dags["land_shop_people"].tasks
    with pytest.raises(ContractError, match=r"people\.yaml: slaProperties: schedule: '0 99 \* \* \*' is no cron"):
        task.execute({})
    assert "broken contract" in bag.dags["land_log_events"].tags
    assert "is no YAML that can be read" in (bag.dags["land_log_events"].doc_md or "")


def test_landing_goes_on_for_the_others_and_fails_at_the_end(
    folder: Path, tmp_path: Path, source_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", source_uri)
    root = tmp_path / "in"
    ware = {"sku": 1, "name": "Ball", "price": "1.50", "category": "toys", "popularity": 0.5}
    (folder / PEOPLE).write_text("status: [")
    _replace("logicalTypeOptions: {minLength: 1}", "logicalTypeOptions: {pattern: '('}")(folder / "shop/orders.yaml")
    for dataset, row in (("wares", ware), ("orders", {})):
        path = root / f"shop/date=2026-01-01/hour=00/{dataset}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(row) + "\n")
    assert main(["land", "shop", "--root", str(root)]) == 1
    output = capsys.readouterr()
    assert "people.yaml: is no YAML that can be read" in output.err
    assert "orders.yaml: makes no JSON schema" in output.err
    assert "shop.wares: 1 file" in output.out
    assert main(["land", "log", "--root", str(root)]) == 0
    assert main(["land", "shop.people", "--root", str(root)]) == 1
    capsys.readouterr()
    assert main(["rejects", "list", "shop"]) == 0
    assert "people.yaml: is no YAML" in capsys.readouterr().err
    assert main(["rejects", "replay", "shop.people"]) == 1


def test_a_table_whose_contract_is_broken_travels_and_keeps_its_dbt_source(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _replace("purpose: ", "purpose: '{{ one }} {% two %}' #")(folder / PEOPLE)
    write()
    path = settings.DBT_PROJECT / "models/staging/shop/_shop__sources.yml"
    before = path.read_text()
    _replace("status: active", "status: [")(folder / PEOPLE)
    assert differing() == []
    _replace("the newest version of a sku", "{{ the newest version of a sku")(folder / "shop/wares.yaml")
    assert main(["contract", "sources", "--write"]) == 1
    assert "the dbt source keeps the entry that shop.people has" in capsys.readouterr().err
    assert path.read_text() != before
    tables = {table["name"]: table for table in yaml.safe_load(path.read_text())["sources"][0]["tables"]}
    assert list(tables) == ["orders", "people", "wares"]
    was = {table["name"]: table for table in yaml.safe_load(before)["sources"][0]["tables"]}
    assert tables["people"] == was["people"]
    for name in ("orders", "wares"):
        (folder / "shop" / f"{name}.yaml").unlink()
    write()
    assert [table["name"] for table in yaml.safe_load(path.read_text())["sources"][0]["tables"]] == ["people"]
    assert source_tables(read_all().every) == ["app.*", "log.*", "shop.*", "web.*"]


def test_a_table_that_cannot_follow_its_contract_stops_no_other_table(source_uri: str) -> None:
    contracts = [SHOP["shop.people"], SHOP["shop.wares"]]
    with psycopg.connect(source_uri) as connection:
        connection.execute("create schema shop; create table shop.people (id int)")
    (sentence,) = ensure_landing_tables(contracts, source_uri)
    assert "shop.people: the table can't follow the contract" in sentence
    with psycopg.connect(source_uri) as connection:
        assert connection.execute("select count(*) from shop.wares").fetchone() == (0,)


def test_table_of_a_broken_contract_is_looked_for_in_the_schema_of_its_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account = folder / "app/account.yaml"
    _replace("    schema: app\n", "    schema: App Data\n")(account)
    (folder / "app/other.yaml").write_text("status: [")
    assert [(b.name, b.schema) for b in read_all().broken] == [("app.other", "App Data")]
    assert _own_tables() == ["App Data.*", "log.*", "shop.*", "web.*"]
    account.write_text("status: [")
    assert _own_tables() == ["app.*", "log.*", "shop.*", "web.*"]
    assert "account.yaml: is no YAML that can be read" in capsys.readouterr().err


def test_model_of_a_broken_contract_says_what_is_wrong(folder: Path) -> None:
    (folder / PEOPLE).write_text("status: [")
    with pytest.raises(ModelError, match=r"people\.yaml: is no YAML that can be read"):
        write_models("shop.people", folder=folder, project=settings.DBT_PROJECT)
    assert "shop.people" not in [contract.name for contract in read_contracts()]
