"""The demo's contracts: in order with their tables, landed when the sources come, marked as the demo's."""

from __future__ import annotations

from functools import partial

from include import settings
from include.contracts import read_contracts
from include.contracts.check import check_contracts
from include.contracts.table_check import check_tables
from include.landing import check_contracts as landing_check
from include.landing import ensure_tables
from include.stack.demo import make_tables
from include.stack.demo.manifest import PATHS

DEMO = {contract.name: contract for contract in read_contracts() if contract.is_demo}


def test_they_agree_with_the_tables_of_the_demo(source_uri: str) -> None:
    make_tables(source_uri)
    assert ensure_tables(DEMO.values(), source_uri) == []
    stages = [partial(landing_check, source_uri=source_uri), partial(check_tables, source_uri=source_uri)]
    assert check_contracts(stages) == []


def test_which_datasets_are_landed_when() -> None:
    assert {name: contract.schedule for name, contract in DEMO.items() if contract.is_landed} == {
        "retail.customers": "0 * * * *",
        "retail.erasure-requests": "0 1 * * *",
        "retail.products": "0 0 * * *",
        "retail.transactions": "0 * * * *",
        "schools.learning_modality": "0 0 * * 0",
        "services.events": "0 0 * * *",
    }
    owned = [name for name, contract in DEMO.items() if not contract.is_landed]
    assert owned == ["billing.account", "billing.address", "billing.statement", "sales.sale"]


def test_they_are_marked_as_the_demos_and_no_others_are() -> None:
    folders = {settings.PROJECT / path for path in PATHS if path.startswith("include/contracts/")}
    assert {contract.file.parent for contract in DEMO.values()} == folders
