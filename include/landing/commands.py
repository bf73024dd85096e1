"""The verbs of landing: `python -m include land` and `rejects`."""

from __future__ import annotations

import argparse
import sys
from typing import TypeAlias

from psycopg.rows import dict_row

from include import settings
from include.contracts import read_contracts, select
from include.landing.files import batches, pending_files
from include.landing.load import LandingError, LandResult, judge, land
from include.landing.rejects import release, replay
from include.landing.tables import ensure_tables
from include.landing.urls import fetch
from include.postgres import session
from include.status import format_table
from include.storage import FileError, Root, UnusableFileError

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # argparse has no public name for it


def add_commands(subparsers: Subparsers) -> None:
    """Add `land` and `rejects`; each handler takes the parsed arguments and returns the exit code."""
    _add_land(subparsers)
    _add_rejects(subparsers)


def _add_land(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "land",
        help="load landing files into source_db, each once",
        description="Load the files below the landing root into source_db, as their contracts say, and move them to "
        "the archive. Bad rows go to landing.rejects. Files that were landed before are recognised by their content.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="SOURCE[.DATASET]", help="what to land; all sources where none is named"
    )
    parser.add_argument("--root", default=settings.LANDING_ROOT, help="folder or URL of the files (%(default)s)")
    parser.add_argument("--archive", help="folder or URL that landed files move to (ARCHIVE_ROOT, else <root>_archive)")
    parser.add_argument("--dry-run", action="store_true", help="judge the files and print what would be refused")
    parser.set_defaults(handler=_land)


def _land(args: argparse.Namespace) -> int:
    chosen = select(args.names, read_contracts())
    archive = _archive(args.root, args.archive)
    failed = False
    found = 0
    folder = Root(args.root).local
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UnusableFileError(
            f"{folder}: is a file: name the landing root, the folder that holds a folder for each source"
        )
    if not args.dry_run:
        ensure_tables(chosen, settings.connection_uri("source_db"))
    for contract in chosen:
        if contract.url_setting and not args.dry_run:
            try:
                fetched = fetch(contract, source_uri=settings.connection_uri("source_db"), root=args.root, report=print)
            except FileError as error:
                print(error, file=sys.stderr)
                failed = True
            else:
                if fetched.status != "unset":  # which fetch has told
                    print(f"{contract.name}: {fetched.status} {fetched.path}".rstrip())
        for paths in batches(pending_files(contract, args.root), args.root):
            found += len(paths)
            if args.dry_run:
                result = judge(contract, paths, root=args.root, show=print)
            else:
                try:
                    uri = settings.connection_uri("source_db")
                    result = land(contract, paths, source_uri=uri, root=args.root, archive=archive)
                except LandingError as error:
                    result = error.result
            _print(result)
            failed = failed or bool(result.errors)
    if not found:
        print(f"no files of {', '.join(contract.name for contract in chosen)} below {args.root}")
    return 1 if failed else 0


def _archive(root: str, archive: str | None) -> str:
    return archive or (settings.ARCHIVE_ROOT if root == settings.LANDING_ROOT else root.rstrip("/") + "_archive")


def _print(result: LandResult) -> None:
    print(result)
    for file in result.files:
        if file.status == "known":
            print(f"  {file.path} {file.note}")
    for error in result.errors:
        print(f"  {error}", file=sys.stderr)


def _add_rejects(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "rejects",
        help="look at refused rows",
        description="Look at the rows that landing refused. `show` prints them as they came: they may hold personal "
        "values.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="count refused rows by file, code and field")
    show = verbs.add_parser("show", help="print refused rows, with line and reason")
    again = verbs.add_parser(
        "replay",
        help="judge refused rows anew, after the contract or the row was mended, and load those that are valid",
        description="Judge refused rows anew and load those that are valid now. A row is mended in place: update "
        'landing.rejects set "row" = ... . A held file is mended in the landing root and landed again; --release '
        "lands it as it is, its valid rows loaded and the bad ones refused.",
    )
    for verb in (listing, show, again):
        verb.add_argument("names", nargs="*", metavar="SOURCE[.DATASET]", help="which ones; all where none is named")
        verb.add_argument("--path", help="only of this file (path below the landing root)")
        verb.add_argument("--code", help="only with this code, such as required or rule.lines_add_up")
    show.add_argument("--limit", type=int, default=20, help="so many rows at most (%(default)s)")
    again.add_argument("--release", action="store_true", help="first land held files in spite of their bad rows")
    again.add_argument("--root", default=settings.LANDING_ROOT, help="where held files lie (%(default)s)")
    again.add_argument("--archive", help="where landed files move to (ARCHIVE_ROOT, else <root>_archive)")
    again.set_defaults(handler=_replay_rejects)
    listing.set_defaults(handler=_list_rejects)
    show.set_defaults(handler=_show_rejects)


_CHOSEN = (
    " from landing.rejects where dataset = any(%(datasets)s) and path = coalesce(%(path)s, path)"
    " and code = coalesce(%(code)s, code)"
)


def _chosen(args: argparse.Namespace) -> dict[str, object]:
    datasets = [contract.name for contract in select(args.names, read_contracts())]
    return {"datasets": datasets, "path": args.path, "code": args.code, "limit": getattr(args, "limit", None)}


def _list_rejects(args: argparse.Namespace) -> int:
    ensure_tables([], settings.connection_uri("source_db"))
    with session(settings.connection_uri("source_db"), "source_db") as connection:
        cursor = connection.cursor(row_factory=dict_row)
        rows = cursor.execute(
            'select dataset, path as file, code, field, count(*) as rows, min(line) as "first line"'
            + _CHOSEN
            + " group by 1, 2, 3, 4 order by 1, 2, 6",
            _chosen(args),
        ).fetchall()
    print(format_table(["dataset", "file", "code", "field", "rows", "first line"], rows))
    return 0


def _show_rejects(args: argparse.Namespace) -> int:
    ensure_tables([], settings.connection_uri("source_db"))
    with session(settings.connection_uri("source_db"), "source_db") as connection:
        rows = connection.execute(
            'select dataset, path, line, code, reason, "row"' + _CHOSEN + " order by 1, 2, 3 limit %(limit)s",
            _chosen(args),
        ).fetchall()
    for dataset, path, line, code, reason, row in rows:
        print(f"{dataset}: {path} line {line}: {code}: {reason}\n    {row}")
    return 0


def _replay_rejects(args: argparse.Namespace) -> int:
    uri = settings.connection_uri("source_db")
    failed = False
    for contract in select(args.names, read_contracts()):
        if args.release:
            try:
                for path in release(
                    contract, source_uri=uri, root=args.root, archive=_archive(args.root, args.archive), path=args.path
                ):
                    print(f"{contract.name}: {path} is released")
            except LandingError as error:
                print(error, file=sys.stderr)
                failed = True
        print(replay(contract, source_uri=uri, path=args.path, code=args.code))
    return 1 if failed else 0
