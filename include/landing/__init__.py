"""Landing: files and URLs into source_db, under a contract. No valid row is lost, none gets in twice, no bad one."""

from include.landing.contracts import Contract, ContractError, contracts

__all__ = ["Contract", "ContractError", "contracts"]
