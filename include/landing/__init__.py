"""Landing: files and URLs into source_db, under a contract. No valid row is lost, none gets in twice, no bad one."""

from include.landing.checks import check_contracts
from include.landing.files import batch_name, batches, pending_files
from include.landing.load import FileResult, LandingError, LandResult, judge, land
from include.landing.rejects import ReplayResult, release, replay
from include.landing.tables import ensure_tables
from include.landing.urls import FetchResult, fetch

__all__ = [
    "FetchResult",
    "FileResult",
    "LandResult",
    "LandingError",
    "ReplayResult",
    "batch_name",
    "batches",
    "check_contracts",
    "ensure_tables",
    "fetch",
    "judge",
    "land",
    "pending_files",
    "release",
    "replay",
]
