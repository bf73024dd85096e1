"""Landing: files and URLs into source_db, under a contract.

Each valid row is loaded exactly once; invalid rows never are.
"""

from include.landing.checks import check_contracts
from include.landing.explanation import explain
from include.landing.files import batch_name, batches, pending_files
from include.landing.judge import judge
from include.landing.ledger import forget, summary
from include.landing.load import land
from include.landing.preview import preview
from include.landing.rejects import dismiss, mend, release, replay
from include.landing.results import (
    FileResult,
    FilesFailedError,
    FilesHeldError,
    FileStatus,
    LandingError,
    LandResult,
    ReplayResult,
)
from include.landing.tables import ensure_table, ensure_tables
from include.landing.urls import FetchResult, FetchStatus, fetch

__all__ = [
    "FetchResult",
    "FetchStatus",
    "FileResult",
    "FileStatus",
    "FilesFailedError",
    "FilesHeldError",
    "LandResult",
    "LandingError",
    "ReplayResult",
    "batch_name",
    "batches",
    "check_contracts",
    "dismiss",
    "ensure_table",
    "ensure_tables",
    "explain",
    "fetch",
    "forget",
    "judge",
    "land",
    "mend",
    "pending_files",
    "preview",
    "release",
    "replay",
    "summary",
]
