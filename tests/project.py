"""The project's files, as they are now, and copies of them that a test may change."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from include import settings


def project_files() -> list[str]:
    """Return the files that git has or would add, relative to the project. One that was deleted is none of them."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(listed, cwd=settings.PROJECT, capture_output=True, text=True, check=True)
    return [name for name in filter(None, found.stdout.split("\0")) if (settings.PROJECT / name).is_file()]


def copy_project(folder: Path, wanted: Callable[[str], object] = bool) -> None:
    """Copy the files whose names are wanted (by default all) into a folder, which is made where there is none."""
    for name in filter(wanted, project_files()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(settings.PROJECT / name, folder / name)
