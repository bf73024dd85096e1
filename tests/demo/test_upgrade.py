"""A newer version of the whole project is merged into an adopted clone, which has a dataset of its own and no demo."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from include import settings
from include.stack.demo import manifest
from include.stack.demo.removal import Plan, plan_removal
from include.stack.upgrade import read_manifest
from tests.docs.pages import read_blocks
from tests.project import copy_project


def git(folder: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout.strip()


def warehouse(clone: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(clone)}
    done = subprocess.run(
        [sys.executable, "-m", "include", *words], cwd=clone, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "a change")


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "somebody@example.com")
    folder = tmp_path / "upstream"
    copy_project(folder)
    git(folder, "init", "-q", "-b", "main")
    commit(folder)
    return folder


@pytest.fixture
def clone(tmp_path: Path, upstream: Path) -> Path:
    """A clone without the demo, in which docs/add-a-dataset.md was followed as far as a mart."""
    folder = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "-o", "upstream", str(upstream), str(folder))
    warehouse(folder, "demo", "remove", "--yes", "--keep-tables")
    commit(folder)
    page = (folder / "docs/add-a-dataset.md").read_text(encoding="utf-8")
    (contract,) = [block.text for block in read_blocks(page) if block.text.startswith("apiVersion")]
    (folder / "include/contracts/web").mkdir(parents=True)
    (folder / "include/contracts/web/visits.yaml").write_text(contract)
    warehouse(folder, "contract", "sources", "--write")
    warehouse(folder, "model", "new", "web.visits", "--mart", "page_visits_daily")
    (folder / "tests/own").mkdir()
    (folder / "tests/own/test_mine.py").write_text("def test_mine() -> None:\n    assert True\n")
    commit(folder)
    return folder


def change_everything_of_the_demo(upstream: Path) -> None:
    """Change, as a newer version may, every file of the demo and the lines around and between its marks."""
    for name in git(upstream, "ls-files").splitlines():
        path = upstream / name
        if name.startswith(manifest.PATHS) and path.suffix in (".yaml", ".yml", ".sql", ".md"):
            path.write_text(path.read_text().replace(" the ", " each ") + "\n")
        elif name in manifest.EDITED:
            lines = path.read_text().splitlines(keepends=True)
            marks = [number for number, line in enumerate(lines) if "demo: begin" in line]
            for number in reversed(marks):
                lines.insert(number + 1, f"{lines[number].partition('demo:')[0]}changed\n")
            path.write_text("".join(lines))
    env = upstream / ".env.example"
    env.write_text(env.read_text().replace("# demo: begin", "#NEW_PORT=1\n# demo: begin", 1))
    (upstream / "dbt/models/marts/sales/new_mart.sql").write_text("select 1 as one\n")
    (upstream / "tests/demo/test_new.py").write_text("")
    (upstream / "include/stack/demo/new.py").write_text("")
    (upstream / "dbt/tests/retail/no_order_is_lost.sql").unlink()


def test_adopted_clone_takes_a_newer_version_without_a_conflict(upstream: Path, clone: Path) -> None:
    change_everything_of_the_demo(upstream)
    report = upstream / "include/report.py"
    report.write_text(report.read_text() + "\n# newer\n")
    commit(upstream)
    git(clone, "fetch", "-q", "upstream")
    git(clone, "merge", "upstream/main", code=1)  # the reason for the command
    git(clone, "merge", "--abort")
    before = {name: (clone / name).read_bytes() for name in git(clone, "ls-files").splitlines()}
    assert "upstream/main is merged" in warehouse(clone, "upgrade", "upstream/main")
    after = {name: (clone / name).read_bytes() for name in git(clone, "ls-files").splitlines()}
    assert git(clone, "status", "--porcelain") == ""
    assert {name for name in after if after[name] != before.get(name)} == {"include/report.py", ".env.example"}
    assert before.keys() == after.keys() and b"#NEW_PORT=1\n" in after[".env.example"]
    assert plan_removal(clone) == Plan((), ())
    assert "contracts are in order" in warehouse(clone, "contract", "check", "--no-database")
    assert git(clone, "rev-parse", "HEAD^2") == git(upstream, "rev-parse", "HEAD")


def test_manifest_is_read_as_it_is_imported() -> None:
    text = (settings.PROJECT / "include/stack/demo/manifest.py").read_text(encoding="utf-8")
    names = ("PATHS", "EDITED")
    assert read_manifest(text) == {name: getattr(manifest, name) for name in names}
