"""`warehouse upgrade`: merge a newer version of this project, as if it never had a demo where this clone has none.

Git alone would report a conflict for each file of the demo that was removed here and changed there, and for each change
near the demo's lines, and would bring new files of the demo back. So what is merged is the difference between two trees
without the demo: that of the version which this clone has, and that of the newer one. The commit is an ordinary merge
of the newer version, so git knows afterwards what has been taken over.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from include import settings
from include.command_line import Commands, add_command
from include.errors import FinalError
from include.stack.marks import MarksError, without_demo

MANIFEST = "include/stack/demo/manifest.py"
OWN_PAGE = "README.md"  # that of a project of one's own is about that project
_ANOTHER_VERSION = "what of it is the demo can't be told, so nothing was merged: take another version"
_IDENTITY = {"GIT_AUTHOR_NAME": "warehouse", "GIT_AUTHOR_EMAIL": "warehouse@localhost"}  # of commits that no branch has
_IDENTITY |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in _IDENTITY.items()}


class UpgradeError(FinalError):
    """A newer version can't be merged, or not without a person; the message says why and what to do."""


class _Repository:
    """The git repository of a project. A command that fails becomes an UpgradeError with git's own words."""

    def __init__(self, project: Path) -> None:
        self.project = project
        if not (project / ".git").exists():
            raise UpgradeError(f"{project} is no clone: a newer version is merged by git, so start from `git clone`")

    def run(self, *words: str, text: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["git", *words],
                cwd=self.project,
                env={**os.environ, **variables},
                input=text,
                capture_output=True,
                text=True,
            )
        except OSError as error:
            raise UpgradeError(f"git can't be run ({error.strerror}): install git") from None

    def ask(self, *words: str, text: str | None = None, **variables: str) -> str:
        done = self.run(*words, text=text, **variables)
        if done.returncode:
            raise UpgradeError(f"git {words[0]}: {(done.stderr or done.stdout).strip()}")
        return done.stdout if words[0] == "show" else done.stdout.strip()

    def commit_of(self, name: str) -> str | None:
        done = self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return done.stdout.strip() or None

    def entry(self, tree: str, path: str) -> tuple[str, str] | None:
        """Return the mode and the id of a file in a tree, None where it has no such file."""
        line = self.ask("--literal-pathspecs", "ls-tree", tree, "--", path)
        return (line.split()[0], line.split()[2]) if line else None


def upgrade(version: str, *, base: str | None = None, project: Path | None = None) -> str:
    """Merge a version of the project into the branch that is checked out, and return what came of it.

    `version` and `base` are names of commits; `base` is the version that this clone was made from or merged last, for
    clones of which git does not know it. Raises UpgradeError, with nothing changed unless it says that the merge is
    under way.
    """
    repository = _Repository(project or settings.PROJECT)
    theirs = repository.commit_of(version)
    if theirs is None:
        raise UpgradeError(f"{version}: git knows no such version: `git fetch upstream`, or correct the name")
    if repository.ask("status", "--porcelain", "--untracked-files=no"):
        raise UpgradeError("there are changes that are not committed: commit them, so that the merge can be undone")
    if repository.run("merge-base", "--is-ancestor", theirs, "HEAD").returncode == 0:
        return f"nothing to do: {version} has been merged already"
    old, new = _trees(repository, _base(repository, version, theirs, base), theirs)
    _merge(repository, version, theirs, old, new)
    return f"{version} is merged; `git reset --hard HEAD~1` undoes it"


def _base(repository: _Repository, version: str, theirs: str, base: str | None) -> str:
    known = repository.commit_of(base) if base else repository.run("merge-base", "HEAD", theirs).stdout.strip()
    if known:
        return known
    if base:
        raise UpgradeError(f"--base {base}: git knows no such version: correct the name")
    raise UpgradeError(
        f"git knows no version that this clone and {version} have in common: say with --base which version this "
        "clone was made from, such as v0.6.0"
    )


def _trees(repository: _Repository, base: str, theirs: str) -> tuple[str, str]:
    """Return the trees of which the difference is to be merged."""
    if repository.entry("HEAD", MANIFEST):  # this clone has the demo, and takes its changes too
        old, new = repository.ask("rev-parse", f"{base}^{{tree}}"), repository.ask("rev-parse", f"{theirs}^{{tree}}")
    else:
        old, new = _tree_without_demo(repository, base), _tree_without_demo(repository, theirs)
    known = repository.entry(old, OWN_PAGE)
    if known and repository.entry("HEAD", OWN_PAGE) != known:
        new = _with_files(repository, new, {OWN_PAGE: known})
    return old, new


def _tree_without_demo(repository: _Repository, commit: str) -> str:
    """Return the tree of a version without what its own manifest names."""
    if not repository.entry(commit, MANIFEST):
        return repository.ask("rev-parse", f"{commit}^{{tree}}")
    try:
        manifest = read_manifest(repository.ask("show", f"{commit}:{MANIFEST}"))
    except (SyntaxError, ValueError, TypeError) as error:
        raise UpgradeError(f"{commit}:{MANIFEST} can't be read ({error}): {_ANOTHER_VERSION}") from None
    files = {}
    for path in manifest["EDITED"]:
        found = repository.entry(commit, path)
        if found:
            try:
                text = without_demo(repository.ask("show", f"{commit}:{path}"), path)
            except MarksError as error:
                raise UpgradeError(f"in the version {commit}: {error}: {_ANOTHER_VERSION}") from None
            files[path] = (found[0], repository.ask("hash-object", "-w", "--stdin", text=text))
    return _with_files(repository, commit, files, without=manifest["PATHS"])


def _with_files(
    repository: _Repository, tree: str, files: dict[str, tuple[str, str]], without: Sequence[str] = ()
) -> str:
    """Return a tree with other files, mode and id by path, and without some files and folders."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        repository.ask("read-tree", tree, **index)
        if without:
            removal = ("--literal-pathspecs", "rm", "--cached", "-rfq", "--ignore-unmatch")
            repository.ask(*removal, "--", *without, **index)
        for path, (mode, blob) in files.items():
            repository.ask("update-index", "--cacheinfo", f"{mode},{blob},{path}", **index)
        return repository.ask("write-tree", **index)


def read_manifest(text: str) -> dict[str, tuple[str, ...]]:
    """Return the lists of a demo's manifest by their names. It is read, not run: it is another version's code."""
    lists: dict[str, tuple[str, ...]] = {"PATHS": (), "EDITED": ()}
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if name in lists:
                lists[name] = tuple(ast.literal_eval(statement.value))
    return lists


def _merge(repository: _Repository, version: str, theirs: str, old: str, new: str) -> None:
    """Merge the difference of two trees into HEAD and commit that as a merge of `theirs`."""
    message = f"Merge {version} of the project"
    before = repository.ask("commit-tree", old, "-m", message, **_IDENTITY)
    after = repository.ask("commit-tree", new, "-p", before, "-m", message, **_IDENTITY)
    # Git notes that a merge of `theirs` is under way and changes no file; the difference comes by the second command.
    noted = ("--no-commit", "--no-ff", "--strategy=ours", "--allow-unrelated-histories")
    repository.ask("merge", "--quiet", *noted, theirs)
    picked = repository.run("cherry-pick", "--no-commit", after) if old != new else None
    if picked and picked.returncode:
        conflicts = repository.ask("diff", "--name-only", "--diff-filter=U")
        if not conflicts:
            repository.run("merge", "--abort")
            raise UpgradeError(f"{version} can't be merged: {picked.stderr.strip()}")
        raise UpgradeError(
            f"the merge of {version} is under way, and these files were changed here and there:\n  "
            + "\n  ".join(conflicts.splitlines())
            + "\nmend them, `git add` them and `git commit`; `git merge --abort` goes back"
        )
    committed = repository.run("commit", "--quiet", "-m", message)
    if committed.returncode:  # a hook refused it, or git knows no name of a person
        raise UpgradeError(
            f"the merge of {version} is under way, and git could not commit it: "
            f"{(committed.stderr or committed.stdout).strip()}\n"
            "mend that and `git commit`; `git merge --abort` goes back"
        )


def add_commands(commands: Commands) -> None:
    """Add `upgrade`."""
    parser = add_command(
        commands,
        "upgrade",
        _upgrade,
        help="merge a newer version of this project",
        description="Merge a newer version of this project into the branch that is checked out, and commit the merge. "
        "Where the demo was removed, nothing of it comes back or is in the way.",
    )
    parser.add_argument("version", metavar="VERSION", help="branch, tag or commit, such as upstream/main")
    parser.add_argument(
        "--base", metavar="VERSION", help="the version that this clone has; default: the last one that git knows of"
    )


def _upgrade(args: argparse.Namespace) -> int:
    print(upgrade(args.version, base=args.base))
    return 0
