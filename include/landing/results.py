"""What became of files: the records that landing returns, and the errors that carry them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from include.errors import FinalError, TransientError, WarehouseError


class FileStatus(StrEnum):
    """What became of a file. LANDED, HELD and FAILED are also what landing.files.status holds."""

    LANDED = "landed"
    ALREADY_LANDED = "already_landed"  # the same bytes were landed before
    TAKEN = "taken"  # another run has taken the file meanwhile
    HELD = "held"  # more rejected rows than the contract allows: nothing of it is loaded until somebody acts
    FAILED = "failed"  # it could not be read or loaded now


@dataclass(frozen=True)
class FileResult:
    """What became of one file; rows_read = rows_loaded + rows_duplicate + rows_rejected."""

    path: str
    status: FileStatus
    rows_read: int = 0
    rows_loaded: int = 0
    rows_duplicate: int = 0
    rows_rejected: int = 0
    note: str = ""


@dataclass(frozen=True)
class LandResult:
    """What became of a batch of files. Holds counts, paths and codes, and no value of any row."""

    dataset: str
    files: tuple[FileResult, ...]
    codes: dict[str, int] = field(default_factory=dict)  # rejected rows by the code of their first problem
    seconds: float = 0.0

    def _sum(self, name: str) -> int:
        return sum(getattr(file, name) for file in self.files)

    @property
    def rows_read(self) -> int:
        return self._sum("rows_read")

    @property
    def rows_loaded(self) -> int:
        return self._sum("rows_loaded")

    @property
    def rows_duplicate(self) -> int:
        return self._sum("rows_duplicate")

    @property
    def rows_rejected(self) -> int:
        return self._sum("rows_rejected")

    @property
    def errors(self) -> tuple[str, ...]:
        """One sentence for each file that was not landed: its name, the reason and the next step."""
        return tuple(
            f"{self.dataset}: {file.path} {file.note}"
            for file in self.files
            if file.status in (FileStatus.HELD, FileStatus.FAILED)
        )

    def to_json(self) -> dict[str, Any]:
        """Return what an XCom or an asset event should carry: plain dicts, lists, strings and numbers."""
        return {
            "dataset": self.dataset,
            "files": len(self.files),
            "files_by_status": dict(Counter(file.status.value for file in self.files)),
            "rows_read": self.rows_read,
            "rows_loaded": self.rows_loaded,
            "rows_duplicate": self.rows_duplicate,
            "rows_rejected": self.rows_rejected,
            "rejected_by_code": dict(self.codes),
            "seconds": round(self.seconds, 3),
            "errors": list(self.errors),
        }

    def __str__(self) -> str:
        return (
            f"{self.dataset}: {len(self.files)} files, {self.rows_read} rows: {self.rows_loaded} loaded, "
            f"{self.rows_duplicate} duplicate, {self.rows_rejected} rejected, in {self.seconds:.1f} s"
        )


class LandingError(WarehouseError):
    """Some files of a batch were not landed; the others were. `result` says what became of each."""

    def __init__(self, result: LandResult) -> None:
        super().__init__("\n".join(result.errors))
        self.result = result


class FilesHeldError(LandingError, FinalError):
    """The files that were not landed are held: landing them again would reject the same rows."""


class FilesFailedError(LandingError, TransientError):
    """At least one file could not be landed now."""


def raise_for(result: LandResult) -> None:
    """Raise FilesFailedError or FilesHeldError where some files of a batch were not landed."""
    if result.errors:
        failed = any(file.status is FileStatus.FAILED for file in result.files)
        raise (FilesFailedError if failed else FilesHeldError)(result)


@dataclass(frozen=True)
class ReplayResult:
    """How many rejected rows were loaded now, were duplicates, and stay rejected; and how many files are held still."""

    dataset: str
    loaded: int
    duplicate: int
    rejected: int
    held: int = 0

    def __str__(self) -> str:
        held = f"; the rows of {self.held} held files are left alone: --release lands them" if self.held else ""
        return (
            f"{self.dataset}: of the rejected rows {self.loaded} are loaded now, {self.duplicate} are duplicates, "
            f"{self.rejected} stay rejected{held}"
        )
