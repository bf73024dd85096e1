"""The dbt sources are those that follow from the contracts."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from include.contracts.dbt_sources import differing, write
from tests.landing.conftest import CONTRACTS


def test_the_dbt_sources_of_this_project_are_those_of_its_contracts() -> None:
    assert differing() == [], "run `warehouse contract sources --write`"


def test_a_changed_contract_changes_its_dbt_source(tmp_path: Path) -> None:
    folder = tmp_path / "contracts"
    shutil.copytree(CONTRACTS, folder)
    write(folder, tmp_path)
    assert differing(folder, tmp_path) == []
    file = folder / "log" / "events.yaml"
    file.write_text(file.read_text().replace("professionals on a marketplace", "workers on a marketplace"))
    assert [path.name for path in differing(folder, tmp_path)] == ["_log__sources.yml"]
    (made,) = write(folder, tmp_path)
    source = yaml.safe_load(made.read_text())["sources"][0]
    assert (source["name"], source["schema"], source["tables"][0]["name"]) == ("raw_log", "raw_log", "events")
