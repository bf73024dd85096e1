"""Landing: files and URLs into source_db, under a contract. No valid row is lost, none gets in twice, no bad one."""

from include.landing.commands import add_commands
from include.landing.contracts import Contract, ContractError, contracts, describe
from include.landing.files import FileError, batch_name, batches, pending_files
from include.landing.load import FileResult, LandingError, LandResult, judge, land
from include.landing.rejects import ReplayResult, release, replay
from include.landing.tables import ensure_tables
from include.landing.urls import FetchResult, fetch

__all__ = [
    "Contract",
    "ContractError",
    "FetchResult",
    "FileError",
    "FileResult",
    "LandResult",
    "LandingError",
    "ReplayResult",
    "add_commands",
    "batch_name",
    "batches",
    "contracts",
    "describe",
    "ensure_tables",
    "fetch",
    "judge",
    "land",
    "pending_files",
    "release",
    "replay",
]
