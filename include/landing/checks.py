"""Whether landing can carry out what contracts say, and whether the tables that exist agree with them."""

from __future__ import annotations

from include.contracts import Contract, ContractError
from include.landing.rows import RowSchema
from include.landing.tables import differences
from include.postgres import session


def check_contracts(contracts: list[Contract], source_uri: str | None = None) -> list[str]:
    """Return what landing can't carry out of contracts and how tables differ from them, a sentence each.

    Contracts that are not landed are left out. Without a URI, and for a table that is not there yet, contracts are not
    compared with tables.
    """
    landed = [contract for contract in contracts if contract.is_landed]
    problems = [problem for contract in landed for problem in _unusable(contract)]
    if source_uri is not None and landed:
        with session(source_uri, "source_db") as connection:
            for contract in landed:
                _, differing = differences(connection, contract)
                problems += [f"{contract.file}: {difference}" for difference in differing]
    return problems


def _unusable(contract: Contract) -> list[str]:
    try:
        RowSchema(contract)
    except ContractError as error:
        return [str(error)]
    return []
