"""What `contract check` says: nothing of the contracts that ship, a sentence for each thing that is wrong."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import psycopg
import pytest

from include import settings
from include.cli import main
from include.contracts import ContractError, read_contract
from include.contracts.check import check_contracts
from include.contracts.dbt_sources import write
from include.landing import check_contracts as landing_check
from tests.landing.conftest import SHOP, THINGS, write_contract

SCHEDULED = THINGS.replace(
    "    schema:", '    slaProperties: [{property: frequency, value: 1, schedule: "0 * * * *"}]\n    schema:'
)


def test_the_contracts_of_this_project_are_in_order() -> None:
    assert check_contracts([landing_check]) == []


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("version: 1.0.0", "", "'version' is a required property|\"version\" is a required property"),
        ("logicalType: integer", "logicalType: whole", "schema.0.properties.0.logicalType"),
        ("physicalType: integer", "physicalType: money", "physicalType 'money' is none that landing writes: text"),
        ("id: toys.things", "id: toys.other", "id: is 'toys.other', which should be 'toys.things'"),
        ("description: Number.", "businessName: x", "schema: id: has no description"),
        ("primaryKey: true,", "", "no property has primaryKey"),
        ("format: csv", "format: xml", "format: 'xml' is not read: export the file as CSV, JSON, Parquet or Excel"),
        ("format: csv", "format: fixed-width", "format: 'fixed-width' has no delimiter to read it by"),
        ("format: csv", "format: ods", "format: 'ods' is written xlsx"),
        ("status: active", "status: [", "is no YAML"),
        (
            "name: label",
            "name: secret",
            "things.yaml: schema: two properties share a column: secret and secret are both",
        ),
        ("name: label", "name: label, physicalName: _file", "schema: label: landing has a column _file of its own"),
        ("name: label", "name: xmin", "schema: xmin: Postgres has a column xmin of its own: .* such as xmin_column"),
        ("name: label", f"name: {'ж' * 32}", "its column has a name of 64 bytes, and Postgres takes 63"),
        ("physicalName: things", f"physicalName: {'t' * 56}", "t_current, .* a name of 64 bytes"),
        (
            'delimiter: ","',
            'delimiter: ",", customProperties: [{property: quoteChar, value: "||"}]',
            "servers: quoteChar: '||' can't be one: give one character",
        ),
        ("toys/*/", "/toys/*/", "'/toys/./things.csv' is no path below the landing root"),
        ("toys/*/", "../toys/*/", "is no path below the landing root"),
        ("What it is called.", "TODO", "a TODO is left in schema.things.properties.label.description: write"),
        ("team: {name: toys}", "team: {name: 'TODO: who?'}", "a TODO is left in team.name: write"),
        (
            "property: maxBadRows, value: 3",
            "property: maxBadRows, value: many",
            "customProperties: maxBadRows: 'many' is no number from 0 up",
        ),
        (
            "property: maxBadPercent, value: 50",
            "property: maxBadPercent, value: -1",
            "customProperties: maxBadPercent: -1 is no number from 0 up",
        ),
        (
            "physicalType: text",
            "physicalType: text, logicalTypeOptions: {pattern: '('}",
            "no JSON schema: .*regex",
        ),
        ("0 * * * *", "0 24 * * *", r"schedule: '0 24 \* \* \*' is no cron schedule"),
    ],
)
def test_check_says_what_is_wrong_with_a_contract(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    good = tmp_path / "contracts/toys/things.yaml"
    good.parent.mkdir(parents=True)
    text = textwrap.dedent(SCHEDULED).replace("FORMAT", "csv")
    good.write_text(text)
    write(tmp_path / "contracts", tmp_path)
    assert check_contracts([landing_check], tmp_path / "contracts", tmp_path) == []
    assert old in text
    good.write_text(text.replace(old, new))
    assert re.search(sentence, "\n".join(check_contracts([landing_check], tmp_path / "contracts", tmp_path)))


def test_command_carries_out_the_checks_of_landing_and_asks_the_source(
    tmp_path: Path, source_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    contract = write_contract(tmp_path, SCHEDULED)
    monkeypatch.setattr(settings, "CONTRACTS", tmp_path / "contracts")
    monkeypatch.setattr(settings, "DBT_PROJECT", tmp_path / "dbt")
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", source_uri)
    write(tmp_path / "contracts", tmp_path / "dbt")
    assert main(["contract", "check"]) == 0
    with psycopg.connect(source_uri) as connection:
        connection.execute("create schema toys")
        connection.execute("create table toys.things (id text)")
    assert main(["contract", "check"]) == 1
    assert "toys.things" in capsys.readouterr().err
    assert main(["contract", "check", "--no-database"]) == 0
    contract.file.write_text(contract.file.read_text().replace("physicalType: text", "physicalType: money"))
    assert main(["contract", "check", "--no-database"]) == 1
    assert "physicalType 'money' is none that landing writes" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"- a list", b"\xff\xfe", b"1: a number as a key", b"", b"id: [1]"])
def test_file_that_is_no_contract_is_a_contract_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "things.yaml"
    file.write_bytes(content)
    with pytest.raises(ContractError, match=re.escape(str(file))):
        read_contract(file)


@pytest.mark.parametrize("place", ["include.landing.rows._object_schema", "include.landing.rows.encoder"])
def test_bug_in_a_check_is_no_fault_of_a_contract(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def bug(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(place, bug)
    with pytest.raises(ValueError, match=r"^a bug$"):
        landing_check(list(SHOP.values()))
