"""The commands `land` and `rejects`."""

from __future__ import annotations

import argparse
import sys

from include import settings
from include.command_line import Commands, add_command, add_group
from include.contracts import Contract, ContractError, Contracts, read_all, select
from include.landing import ledger
from include.landing.files import batches, pending_files
from include.landing.judge import judge
from include.landing.load import land
from include.landing.rejects import release, replay
from include.landing.results import FileStatus, LandingError, LandResult
from include.landing.tables import ensure_table
from include.landing.urls import FetchStatus, fetch
from include.postgres import session
from include.report import table
from include.storage import FileError, Root, UnusableFileError


def add_commands(commands: Commands) -> None:
    """Add `land` and `rejects`."""
    _add_land(commands)
    _add_rejects(commands)


def _add_land(commands: Commands) -> None:
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
    chosen = _selected(args.names)
    folder = Root(args.root).local
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UnusableFileError(
            f"{folder}: is a file: name the landing root, the folder that holds a folder for each source"
        )
    results: list[LandResult] = []
    failed = bool(chosen.broken)
    for contract in chosen.readable:
        try:
            if not args.dry_run:
                ensure_table(contract, settings.connection_uri("source_db"))
            if contract.url_setting and not args.dry_run:
                failed |= not _fetch(contract, args.root)
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
        for contract in chosen.readable:
            print(f"no files of {contract.name} below {args.root}: nothing is called {contract.path}, plain or packed")
    return 1 if failed or any(result.errors for result in results) else 0


def _selected(names: list[str]) -> Contracts:
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
        return land(contract, paths, source_uri=uri, root=args.root, archive=_archive(args.root, args.archive))
    except LandingError as error:
        return error.result


def _archive(root: str, archive: str | None) -> str:
    return archive or (settings.ARCHIVE_ROOT if root == settings.LANDING_ROOT else root.rstrip("/") + "_archive")


def _print(result: LandResult) -> None:
    print(result)
    for file in result.files:
        if file.status is FileStatus.ALREADY_LANDED:
            print(f"  {file.path} {file.note}")
    for error in result.errors:
        print(f"  {error}", file=sys.stderr)


def _add_rejects(commands: Commands) -> None:
    group = add_group(
        commands,
        "rejects",
        help="look at rejected rows, and load those that were mended",
        description="Look at the rows that landing rejected, and load those that were mended.",
    )
    listing = add_command(
        group,
        "list",
        _list_rejects,
        help="count rejected rows by file, code and field",
        description="Count the rejected rows by file, code and field. Shows no value of a row.",
    )
    show = add_command(
        group,
        "show",
        _show_rejects,
        help="print rejected rows, with line and reason",
        description="Print rejected rows as they came, with line and reason. They may hold personal values.",
    )
    again = add_command(
        group,
        "replay",
        _replay_rejects,
        help="judge rejected rows again, after the contract or the row was mended, and load those that are valid",
        description="Judge rejected rows again and load those that are valid now. A row is mended in place: update "
        'landing.rejects set "row" = ... . A held file is mended in the landing root and landed again; --release '
        "lands it as it is: its valid rows are loaded, the others are rejected.",
    )
    for verb in (listing, show, again):
        verb.add_argument("names", nargs="*", metavar="SOURCE[.DATASET]", help="which ones; all where none is named")
        verb.add_argument("--path", help="only of this file (path below the landing root)")
        verb.add_argument("--code", help="only with this code, such as required or rule.lines_add_up")
    show.add_argument("--limit", type=int, default=20, help="at most so many rows (%(default)s)")
    again.add_argument("--release", action="store_true", help="first land held files in spite of their rejected rows")
    again.add_argument("--root", default=settings.LANDING_ROOT, help="where held files lie (%(default)s)")
    again.add_argument("--archive", help="where landed files move to (ARCHIVE_ROOT, else <root>_archive)")


def _datasets(args: argparse.Namespace) -> list[str]:
    """Return the names of the datasets that were asked for. Rejects are there although a contract is broken by now."""
    chosen = _selected(args.names)
    return [contract.name for contract in chosen.every]


def _list_rejects(args: argparse.Namespace) -> int:
    with session(settings.connection_uri("source_db"), "source_db") as connection:
        found = ledger.count_rejects(connection, _datasets(args), args.path, args.code)
    print(table(["dataset", "file", "code", "field", "rows", "first line"], found))
    return 0


def _show_rejects(args: argparse.Namespace) -> int:
    with session(settings.connection_uri("source_db"), "source_db") as connection:
        found = ledger.list_rejects(connection, _datasets(args), args.path, args.code, args.limit)
    for reject in found:
        print("{dataset}: {path} line {line}: {code}: {reason}\n    {row}".format(**reject))
    return 0


def _replay_rejects(args: argparse.Namespace) -> int:
    uri = settings.connection_uri("source_db")
    chosen = _selected(args.names)
    failed = bool(chosen.broken)
    for contract in chosen.readable:
        if args.release:
            archive = _archive(args.root, args.archive)
            try:
                for path in release(contract, source_uri=uri, root=args.root, archive=archive, path=args.path):
                    print(f"{contract.name}: {path} is released")
            except (LandingError, ContractError) as error:
                print(error, file=sys.stderr)
                failed = True
        try:
            print(replay(contract, source_uri=uri, path=args.path, code=args.code))
        except ContractError as error:  # of one dataset: the others are judged
            print(error, file=sys.stderr)
            failed = True
    return 1 if failed else 0
