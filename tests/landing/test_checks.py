"""Landing says what it can't carry out of a contract, and where a table differs from it."""

from __future__ import annotations

from include.landing import check_contracts
from tests.landing.conftest import THINGS, Place, write_contract


def test_check_compares_contracts_with_tables(things: Place) -> None:
    things.put("one", [{"id": 1}])
    things.land()
    text = THINGS.replace("physicalType: text, description: What", "physicalType: varchar(4), description: What")
    contract = write_contract(things.folder, text)
    assert check_contracts([contract]) == []
    (problem,) = check_contracts([contract], things.uri)
    assert problem.startswith(f"{contract.file}: ")
    assert "toys.things.label is text, the contract says varchar(4)" in problem
