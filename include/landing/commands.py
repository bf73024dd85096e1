"""The command `land`, and what it shares with the commands `rejects`."""

from __future__ import annotations

import argparse
import sys

from include import settings
from include.command_line import Commands, add_command
from include.contracts import Contract, ContractError, Contracts, read_all, select
from include.landing.files import batches, pending_files
from include.landing.judge import judge
from include.landing.load import land
from include.landing.results import FileStatus, LandingError, LandResult
from include.landing.tables import ensure_table
from include.landing.urls import FetchStatus, fetch
from include.storage import FileError, Root, UnusableFileError


def add_commands(commands: Commands) -> None:
    """Add `land`."""
    parser = add_command(
        commands,
        "land",
        _land,
        help="load landing files into source_db, each once",
        description="Load the files below the landing root into source_db, as their contracts say, and move them to "
        "the archive. Rows that break their contract go to landing.rejects. A file that was landed before is "
        "recognised by its content.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="SOURCE[.DATASET]", help="what to land; all sources where none is named"
    )
    parser.add_argument("--root", default=settings.LANDING_ROOT, help="folder or URL of the files (%(default)s)")
    parser.add_argument("--archive", help="folder or URL that landed files move to (ARCHIVE_ROOT, else <root>_archive)")
    parser.add_argument("--dry-run", action="store_true", help="judge the files and print what would be rejected")


def _land(args: argparse.Namespace) -> int:
    chosen = selected(args.names)
    folder = Root(args.root).local
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UnusableFileError(
            f"{folder}: is a file: name the landing root, the folder that holds a folder for each source"
        )
    results: list[LandResult] = []
    failed = bool(chosen.broken)
    fetched: set[str] = set()  # datasets of which it was said already what their URL had
    for contract in chosen.readable:
        try:
            if not args.dry_run:
                ensure_table(contract, settings.connection_uri("source_db"))
            if contract.url_setting and not args.dry_run:
                is_fetched = _fetch(contract, args.root)
                failed |= not is_fetched
                fetched |= {contract.name} if is_fetched else set()
            for paths in batches(pending_files(contract, args.root), args.root):
                result = (
                    judge(contract, paths, root=args.root, show=print) if args.dry_run else _load(contract, paths, args)
                )
                _print(result)
                results.append(result)
        except ContractError as error:  # of one dataset: the others land
            print(error, file=sys.stderr)
            failed = True
    if not results and not failed:
        for each in chosen.readable:
            if each.name not in fetched:
                print(f"no files of {each.name} below {args.root}: nothing is called {each.path}, plain or packed")
    return 1 if failed or any(result.errors for result in results) else 0


def selected(names: list[str]) -> Contracts:
    """Return the contracts of the names, and say on stderr which of them are broken."""
    chosen = select(names, read_all())
    for broken in chosen.broken:
        print(broken.problem, file=sys.stderr)
    return chosen


def _fetch(contract: Contract, root: str) -> bool:
    """Fetch a dataset's URL and return whether nothing went wrong."""
    try:
        fetched = fetch(contract, source_uri=settings.connection_uri("source_db"), root=root, report=print)
    except FileError as error:
        print(error, file=sys.stderr)
        return False
    if fetched.status is not FetchStatus.UNSET:  # of which fetch has reported already
        print(f"{contract.name}: {fetched.status} {fetched.path}".rstrip())
    return True


def _load(contract: Contract, paths: list[str], args: argparse.Namespace) -> LandResult:
    uri = settings.connection_uri("source_db")
    try:
        return land(contract, paths, source_uri=uri, root=args.root, archive=archive_of(args.root, args.archive))
    except LandingError as error:
        return error.result


def archive_of(root: str, archive: str | None) -> str:
    """Return where landed files of a root move to."""
    return archive or (settings.ARCHIVE_ROOT if root == settings.LANDING_ROOT else root.rstrip("/") + "_archive")


def _print(result: LandResult) -> None:
    print(result)
    for file in result.files:
        if file.status is FileStatus.ALREADY_LANDED:
            print(f"  {file.path} {file.note}")
    for error in result.errors:
        print(f"  {error}", file=sys.stderr)
