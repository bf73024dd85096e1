"""Contracts are read: which datasets are landed, when, and by which names they are chosen."""

from __future__ import annotations

import pytest

from include.contracts import ContractError, read_contracts, select
from tests.landing.conftest import SHOP


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
    assert [c.name for c in select(["retail.customers", "services"], read_contracts())] == [
        "retail.customers",
        "services.events",
    ]
    with pytest.raises(ContractError, match=r"billing: no contract lands such a source.*retail.customers"):
        select(["billing"], read_contracts())
