"""A newer version of a project is merged into a clone without its demo as if there had never been one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from include import settings
from include.cli import main
from include.stack.upgrade import MANIFEST, UpgradeError, upgrade

MARKED = "above\n# demo: begin\n{demo}\n# demo: end\n{below}\n"
PATHS = ("include/stack/demo", "models/shop")


def manifest(*paths: str) -> str:
    others = 'EDITED = ("settings", "absent")\nOTHER = set(())\n'
    return f"PATHS = {(*PATHS, *paths)!r}\n{others}"


class Clone:
    """A git repository, and files in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def git(self, *words: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *words]
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, files: dict[str, str | None]) -> str:
        for name, text in files.items():
            path = self.folder / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-qm", "a change")
        return self.git("rev-parse", "HEAD")

    def upgrade(self, version: str = "origin/main", base: str | None = None) -> str:
        self.git("fetch", "-q", "origin")
        return upgrade(version, base=base, project=self.folder)

    def files(self) -> dict[str, str]:
        names = self.git("ls-files").splitlines()
        assert self.git("status", "--porcelain") == ""
        return {name: (self.folder / name).read_text() for name in names}


@pytest.fixture
def upstream(tmp_path: Path) -> Clone:
    made = Clone(tmp_path / "upstream")
    made.folder.mkdir()
    made.git("init", "-q", "-b", "main")
    contract = "".join(f"line {number} of a contract\n" for number in range(20))
    made.commit(
        {
            MANIFEST: manifest(),
            "README.md": "about the project\n",
            "engine": "".join(f"{number}\n" for number in range(20)),
            "models/shop/contract": contract,
            "models/shop/model": "select 1\n",
            "settings": MARKED.format(demo="a", below="below"),
        }
    )
    return made


@pytest.fixture
def clone(tmp_path: Path, upstream: Clone, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clone]:
    """A clone that has removed the demo and has a contract of its own, which is almost one of the demo's."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "adopter")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "adopter@example.com")
    made = Clone(tmp_path / "clone")
    upstream.git("clone", "-q", str(upstream.folder), str(made.folder))
    contract = (made.folder / "models/shop/contract").read_text()
    made.git("rm", "-rq", *PATHS)
    made.commit({"settings": "above\nbelow\n", "models/.gitkeep": ""})
    made.commit({"models/own/contract": contract.replace("line 3", "my line")})
    yield made


NEWER = {
    MANIFEST: manifest("models/bank"),
    "engine": "".join(f"{number}{'!' if number == 3 else ''}\n" for number in range(20)),
    "models/bank/contract": "new\n",
    "models/shop/contract": "".join(f"line {number} of the contract\n" for number in range(20)),
    "models/shop/model": None,
    "settings": MARKED.format(demo="b", below="beneath"),
}


def test_engine_is_merged_and_nothing_of_the_demo_comes_back(upstream: Clone, clone: Clone) -> None:
    own = clone.files()
    newer = upstream.commit(NEWER)
    head = clone.git("rev-parse", "HEAD")
    assert "origin/main is merged" in clone.upgrade()
    assert clone.files() == own | {"engine": NEWER["engine"], "settings": "above\nbeneath\n"}
    assert clone.git("log", "-1", "--format=%P|%an|%s") == f"{head} {newer}|adopter|Merge origin/main of the project"
    assert clone.upgrade() == "nothing to do: origin/main has been merged already"


def test_later_version_follows_without_a_conflict(upstream: Clone, clone: Clone) -> None:
    upstream.commit(NEWER)
    clone.upgrade()
    clone.commit({"engine": clone.files()["engine"] + "mine\n"})
    upstream.commit({"engine": "x\n" + str(NEWER["engine"]), "settings": MARKED.format(demo="c", below="under")})
    clone.upgrade()
    assert clone.files()["engine"] == "x\n" + str(NEWER["engine"]) + "mine\n"
    assert clone.files()["settings"] == "above\nunder\n"


def test_version_that_changes_the_demo_alone_is_noted_and_changes_nothing(upstream: Clone, clone: Clone) -> None:
    own = clone.files()
    upstream.commit({"models/shop/model": "select 2\n"})
    clone.upgrade()
    assert clone.files() == own
    assert "already" in clone.upgrade()


def test_newer_version_may_have_no_demo(upstream: Clone, clone: Clone) -> None:
    own = clone.files()
    upstream.git("rm", "-rq", *PATHS)
    upstream.commit({"settings": "above\nbelow\n", "engine": str(NEWER["engine"])})
    clone.upgrade()
    assert clone.files() == own | {"engine": NEWER["engine"]}


def test_readme_of_ones_own_stays_and_another_one_follows(upstream: Clone, clone: Clone) -> None:
    upstream.commit({"README.md": "about the newer project\n"})
    clone.upgrade()
    assert clone.files()["README.md"] == "about the newer project\n"
    clone.commit({"README.md": "about mine\n"})
    upstream.commit({"README.md": "about the newest project\n"})
    clone.upgrade()
    assert clone.files()["README.md"] == "about mine\n"


def test_clone_that_keeps_the_demo_takes_its_changes(upstream: Clone, clone: Clone) -> None:
    clone.git("reset", "-q", "--hard", "origin/main")
    clone.commit({"own": "mine\n"})
    upstream.commit(NEWER)
    clone.upgrade()
    assert clone.files() == upstream.files() | {"own": "mine\n"}


def test_change_of_the_same_lines_waits_for_a_person_and_can_be_taken_back(upstream: Clone, clone: Clone) -> None:
    clone.commit({"engine": str(NEWER["engine"]).replace("3!", "3?")})
    head, own = clone.git("rev-parse", "HEAD"), clone.files()
    newer = upstream.commit(NEWER)
    with pytest.raises(UpgradeError, match=r"(?s)under way.*\n  engine\n.*git merge --abort"):
        clone.upgrade()
    assert "<<<<<<<" in (clone.folder / "engine").read_text()
    clone.git("merge", "--abort")
    assert clone.files() == own and clone.git("rev-parse", "HEAD") == head
    with pytest.raises(UpgradeError, match="under way"):
        clone.upgrade()
    clone.commit({"engine": "mended\n"})
    assert clone.git("log", "-1", "--format=%P") == f"{head} {newer}"


def test_commit_that_a_hook_refuses_is_under_way_and_can_be_finished_or_taken_back(
    upstream: Clone, clone: Clone
) -> None:
    head, own = clone.git("rev-parse", "HEAD"), clone.files()
    newer = upstream.commit(NEWER)
    hook = clone.folder / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'line 7 is too long' >&2\nexit 1\n")
    hook.chmod(0o755)
    said = r"(?s)merge of origin/main is under way.*could not commit it: line 7 is too long.*`git commit`.*--abort"
    with pytest.raises(UpgradeError, match=said):
        clone.upgrade()
    clone.git("merge", "--abort")
    assert clone.files() == own and clone.git("rev-parse", "HEAD") == head
    with pytest.raises(UpgradeError, match=said):
        clone.upgrade()
    hook.unlink()
    clone.git("commit", "-q", "--no-edit")
    assert clone.git("log", "-1", "--format=%P|%s") == f"{head} {newer}|Merge origin/main of the project"
    assert clone.files() == own | {"engine": NEWER["engine"], "settings": "above\nbeneath\n"}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"settings": "above\n# demo: end\nbelow\n"}, r"settings line 2: .* do not pair up"),
        ({MANIFEST: "PATHS = ("}, "manifest.py can't be read"),
        ({MANIFEST: "PATHS = paths()"}, "manifest.py can't be read"),
    ],
)
def test_version_whose_demo_cannot_be_told_changes_nothing(
    upstream: Clone, clone: Clone, files: dict[str, str | None], said: str
) -> None:
    head, own = clone.git("rev-parse", "HEAD"), clone.files()
    upstream.commit(NEWER | files)
    with pytest.raises(UpgradeError, match=rf"{said}.* nothing was merged: take another version"):
        clone.upgrade()
    assert clone.files() == own and clone.git("rev-parse", "HEAD") == head


def test_files_that_would_be_lost_stop_the_merge(upstream: Clone, clone: Clone) -> None:
    upstream.commit({"new": "theirs\n"})
    (clone.folder / "new").write_text("mine, and not committed\n")
    head = clone.git("rev-parse", "HEAD")
    with pytest.raises(UpgradeError, match="new"):
        clone.upgrade()
    assert (clone.folder / "new").read_text() == "mine, and not committed\n"
    assert clone.git("rev-parse", "HEAD") == head and not (clone.folder / ".git/MERGE_HEAD").exists()
    (clone.folder / "new").unlink()
    (clone.folder / "engine").write_text("changed\n")
    with pytest.raises(UpgradeError, match="not committed: commit them"):
        clone.upgrade()


def test_version_that_was_squashed_or_copied_needs_its_name(
    upstream: Clone, clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.commit(NEWER)
    clone.upgrade()
    clone.git("tag", "had", "origin/main")
    files = clone.files()
    clone.git("checkout", "-q", "--orphan", "copied")
    clone.git("commit", "-qm", "a copy without history")
    upstream.commit({"engine": str(NEWER["engine"]).replace("3!", "3!!")})
    with pytest.raises(UpgradeError, match="say with --base which version"):
        clone.upgrade()
    monkeypatch.setattr(settings, "PROJECT", clone.folder)
    assert main(["upgrade", "origin/main", "--base", "had"]) == 0
    assert clone.files() == files | {"engine": str(NEWER["engine"]).replace("3!", "3!!")}


@pytest.mark.parametrize(("version", "base", "said"), [("gone", None, "git fetch"), ("origin/main", "gone", "--base")])
def test_unknown_version_is_one_sentence(
    upstream: Clone, clone: Clone, version: str, base: str | None, said: str
) -> None:
    upstream.commit(NEWER)
    with pytest.raises(UpgradeError, match=f"{said}.*correct the name|{said} gone: git knows no such version"):
        clone.upgrade(version, base)


def test_folder_that_is_no_clone_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UpgradeError, match="is no clone"):
        upgrade("main", project=tmp_path)
