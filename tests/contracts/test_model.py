"""Contracts are read: which datasets are landed, when, whose they are, and by which names they are chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from include import settings
from include.contracts import ContractError, read_all, read_contracts, select, source_tables
from tests.landing.conftest import CONTRACTS, SHOP, THINGS, write_contract


def test_which_datasets_are_landed_when() -> None:
    assert {name: contract.schedule for name, contract in SHOP.items() if contract.is_landed} == {
        "log.events": "0 0 * * *",
        "shop.orders": "0 * * * *",
        "shop.people": "0 * * * *",
        "shop.wares": "0 0 * * *",
        "web.pages": "0 0 * * 0",
    }
    owned = SHOP["app.account"]
    assert not owned.is_landed and not owned.schedule


def test_select_takes_sources_and_datasets_and_refuses_others() -> None:
    contracts = read_all(CONTRACTS)
    assert [c.name for c in select(["shop.people", "log"], contracts).every] == ["log.events", "shop.people"]
    with pytest.raises(ContractError, match=r"app: no contract lands such a source.*shop\.people"):
        select(["app"], contracts)


def test_demo_contracts_are_read_only_while_the_source_is_the_demos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_contract(tmp_path, THINGS + "    tags: [demo]\n")
    folder = tmp_path / "contracts"
    monkeypatch.setattr(settings, "WITH_DEMO", True)
    assert [(c.name, c.is_demo) for c in read_contracts(folder)] == [("toys.things", True)]
    monkeypatch.setattr(settings, "WITH_DEMO", False)
    assert read_contracts(folder) == []
    write_contract(tmp_path, THINGS)
    assert [c.is_demo for c in read_contracts(folder)] == [False]


def test_tables_that_travel_are_those_of_the_setting_else_of_the_contracts_else_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "TRANSFER_TABLES", [])
    assert source_tables(SHOP.values()) == ["app.*", "log.*", "shop.*", "web.*"]
    assert source_tables([]) == ["*"]
    monkeypatch.setattr(settings, "TRANSFER_TABLES", ["app.orders", "crm.*"])
    assert source_tables(SHOP.values()) == ["app.orders", "crm.*"]
