"""The data contracts: what a dataset is. One YAML file per dataset beside this package, in ODCS v3, and what reads it.

Every stage may import this package; it imports none of them.
"""

from include.contracts.model import (
    DEFAULT_OWNER,
    BrokenContract,
    Column,
    Contract,
    ContractError,
    Contracts,
    Rule,
    arrives_as_text,
    custom,
    holds_personal,
    personal_kind,
    select,
    source_tables,
)
from include.contracts.read import read_all, read_contract, read_contracts

__all__ = [
    "DEFAULT_OWNER",
    "BrokenContract",
    "Column",
    "Contract",
    "ContractError",
    "Contracts",
    "Rule",
    "arrives_as_text",
    "custom",
    "holds_personal",
    "personal_kind",
    "read_all",
    "read_contract",
    "read_contracts",
    "select",
    "source_tables",
]
