"""A copy of the project has the files that a commit of everything would have."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from include import settings
from tests.project import copy_project, project_files


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("kept", "gone", "a b/é", ".gitignore"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("ignored\n")
    (folder / "kept").chmod(0o755)
    for words in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "all"],
    ):
        subprocess.run(["git", *words], cwd=folder, check=True)
    (folder / "gone").unlink()
    (folder / "new").write_text("new\n")
    (folder / "ignored").write_text("")
    (folder / "kept").write_text("changed\n")
    monkeypatch.setattr(settings, "PROJECT", folder)
    return folder


def test_copy_has_what_git_has_or_would_add_as_it_is_now(tmp_path: Path) -> None:
    assert sorted(project_files()) == [".gitignore", "a b/é", "kept", "new"]
    copy = tmp_path / "some" / "copy"
    copy_project(copy)
    assert sorted(str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()) == sorted(project_files())
    assert (copy / "kept").read_text() == "changed\n" and os.access(copy / "kept", os.X_OK)


def test_copy_leaves_out_what_is_not_wanted(tmp_path: Path) -> None:
    copy_project(tmp_path / "copy", lambda name: name.startswith("a "))
    assert [path.name for path in (tmp_path / "copy").rglob("*") if path.is_file()] == ["é"]
