"""The files of a dataset that wait below the landing root, and how they are cut into batches."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from include import settings
from include.contracts import Contract
from include.landing.order import in_order
from include.landing.zips import zip_of
from include.readers.packing import SUFFIXES, without_suffix
from include.storage import Root

_LEFT_OVER = re.compile(
    r"^\.|^~\$|~$|^#.*#$|\.(part|partial|filepart|crdownload|download|tmp|swp|unfinished)$", re.IGNORECASE
)


def pending_files(contract: Contract, root: str = settings.LANDING_ROOT) -> list[str]:
    """Return the paths of a dataset's files below the landing root, in the order of their deliveries.

    Landed files are in the archive instead. In the contract's path `*` stands for any characters of a name, and `[` for
    itself. What a system or a program leaves beside a file is not taken: hidden files and folders, editors' copies and
    locks, unfinished downloads.
    """
    if contract.path is None:
        return []
    place = Root(root)
    pattern = zip_of(contract.path).replace("[", "[[]")
    patterns = [pattern] if pattern.endswith("*") else [pattern + suffix for suffix in ("", *SUFFIXES, ".zip")]
    found = place.glob(*patterns)
    taken = [path for path in found if not _is_left_over(path, contract.path)]
    return [delivery.path for delivery in in_order(contract, taken, place)]


def _is_left_over(path: str, wanted: str) -> bool:
    """Return whether a part of the path has the name of a leftover, and the contract does not ask for such names."""
    return any(_LEFT_OVER.search(without_suffix(part)) for part in path.split("/")) and not any(
        _LEFT_OVER.search(part) for part in wanted.split("/")
    )


def batches(
    files: list[str],
    root: str = settings.LANDING_ROOT,
    *,
    max_files: int = 200,
    max_bytes: int = 256 * 1024 * 1024,
    size_of: Callable[[str], int] | None = None,
) -> list[list[str]]:
    """Split files, in order, into batches of at most so many files and about so many bytes.

    A file that is larger than a batch has one of its own. `size_of` knows a file's size; without it the root is asked.
    """
    size_of = size_of or Root(root).size
    made: list[list[str]] = []
    size = 0
    for file in files:
        bytes_ = size_of(file)
        if not made or len(made[-1]) >= max_files or size + bytes_ > max_bytes:
            made.append([])
            size = 0
        made[-1].append(file)
        size += bytes_
    return made


def batch_name(files: list[str]) -> str:
    """Return the name of a batch in a list of tasks: how many files it has, the first and the last."""
    if len(files) == 1:
        return files[0]
    first, last = (Path(file).parent.as_posix().partition("/")[2] or Path(file).name for file in (files[0], files[-1]))
    return f"{len(files)} files, {first} to {last}"[:200]
