"""The commands `rejects`: look at rejected rows, mend them, load those that are valid now, and dismiss the others."""

from __future__ import annotations

import argparse
import sys

from include import settings
from include.command_line import Commands, add_command, add_group
from include.contracts import Contract, ContractError, read_all, select
from include.landing import reject_rows
from include.landing.commands import archive_of, selected
from include.landing.reject_rows import Choice
from include.landing.rejects import as_written, dismiss, mend, release, replay
from include.landing.results import LandingError
from include.postgres import session
from include.report import table


def add_commands(commands: Commands) -> None:
    """Add `rejects`."""
    group = add_group(
        commands,
        "rejects",
        help="look at rejected rows, mend them, load or dismiss them",
        description="Look at the rows that landing rejected, mend them, load those that are valid now, and dismiss "
        "the others.",
    )
    listing = add_command(
        group,
        "list",
        _list,
        help="count rejected rows by file, code and field",
        description="Count the rejected rows by file, code and field. Shows no value of a row.",
    )
    show = add_command(
        group,
        "show",
        _show,
        help="print rejected rows, with line and reason",
        description="Print rejected rows as their file has them, with line and reason. They may hold personal values.",
    )
    again = add_command(
        group,
        "replay",
        _replay,
        help="judge rejected rows again, after the contract or the row was mended, and load those that are valid",
        description="Judge rejected rows again and load those that are valid now, each as new as its file. A held file "
        "is mended in the landing root and landed again; --release lands it as it is: its valid rows are loaded, the "
        "others are rejected. The next run of the warehouse sees what was loaded.",
    )
    away = add_command(
        group,
        "dismiss",
        _dismiss,
        help="close rejected rows that nobody will mend, for a reason",
        description="Close rejected rows that nobody will mend. They are kept, with who closed them, when and why.",
    )
    for verb in (listing, show, again, away):
        verb.add_argument("names", nargs="*", metavar="SOURCE[.DATASET]", help="which ones; all where none is named")
        verb.add_argument("--path", help="only of this file (path below the landing root)")
        verb.add_argument("--code", help="only with this code, such as required or rule.lines_add_up")
    for verb in (show, again, away):
        verb.add_argument("--line", type=int, help="only of this line of the file")
    for verb in (listing, show):
        verb.add_argument("--all", action="store_true", help="also those that are dismissed or superseded")
    show.add_argument("--limit", type=int, default=20, help="at most so many rows (%(default)s)")
    again.add_argument("--release", action="store_true", help="first land held files in spite of their rejected rows")
    again.add_argument("--root", default=settings.LANDING_ROOT, help="where held files lie (%(default)s)")
    again.add_argument("--archive", help="where landed files move to (ARCHIVE_ROOT, else <root>_archive)")
    away.add_argument("--reason", required=True, help="why nobody will mend them")
    _add_mend(group)


def _add_mend(group: Commands) -> None:
    parser = add_command(
        group,
        "mend",
        _mend,
        help="write a rejected row anew, as its file would have it",
        description="Write a rejected row anew, as its file would have it: a line of the CSV without its header, or a "
        "JSON object. It is judged first, and loaded by `replay`.",
    )
    parser.add_argument("name", metavar="SOURCE.DATASET", help="the dataset")
    parser.add_argument("--path", required=True, help="its file (path below the landing root)")
    parser.add_argument("--line", required=True, type=int, help="its line, as `rejects show` prints it")
    parser.add_argument("--row", help="the mended row; read from standard input where it is not given")


def _datasets(args: argparse.Namespace) -> dict[str, Contract | None]:
    """Return the datasets that were asked for. Rejects are there although a contract is broken by now."""
    chosen = selected(args.names)
    return dict.fromkeys(broken.name for broken in chosen.broken) | {each.name: each for each in chosen.readable}


def _choice(args: argparse.Namespace) -> Choice:
    return Choice(args.path, args.code, getattr(args, "line", None))


def _list(args: argparse.Namespace) -> int:
    datasets = list(_datasets(args))
    with session(settings.connection_uri("source_db"), "source_db") as connection:
        found = reject_rows.count(connection, datasets, _choice(args), closed=args.all)
    print(table(["dataset", "file", "code", "field", "state", "rows", "first line"], found))
    return 0


def _show(args: argparse.Namespace) -> int:
    datasets = _datasets(args)
    with session(settings.connection_uri("source_db"), "source_db") as connection:
        found = reject_rows.listed(connection, list(datasets), _choice(args), args.limit, closed=args.all)
    for reject in found:
        contract = datasets[reject["dataset"]]
        row = as_written(contract, reject["row"]) if contract else reject["row"]
        print("{dataset}: {path} line {line}: {code}: {reason}".format(**reject))
        if reject["closed_as"]:
            print("    {closed_as} by {closed_by} at {closed_at:%Y-%m-%d %H:%M}: {closed_why}".format(**reject))
        print(f"    {row}")
    return 0


def _mend(args: argparse.Namespace) -> int:
    chosen = select([args.name], read_all())
    if chosen.broken:
        print(chosen.broken[0].problem, file=sys.stderr)
        return 1
    if [contract.name for contract in chosen.readable] != [args.name]:
        raise ContractError(f"{args.name}: is a source: name the dataset, as source.dataset")
    row = sys.stdin.read().rstrip("\r\n") if args.row is None else args.row
    uri = settings.connection_uri("source_db")
    is_held = mend(chosen.readable[0], row, source_uri=uri, path=args.path, line=args.line)
    command = f"warehouse rejects replay {args.name}{' --release' if is_held else ''}"
    print(f"{args.name}: {args.path} line {args.line} is mended: `{command}` loads it")
    return 0


def _replay(args: argparse.Namespace) -> int:
    uri = settings.connection_uri("source_db")
    chosen = selected(args.names)
    failed, loaded = bool(chosen.broken), 0
    for contract in chosen.readable:
        if args.release:
            archive = archive_of(args.root, args.archive)
            try:
                for path in release(contract, source_uri=uri, root=args.root, archive=archive, path=args.path):
                    print(f"{contract.name}: {path} is released")
            except (LandingError, ContractError) as error:
                print(error, file=sys.stderr)
                failed = True
        try:
            result = replay(contract, source_uri=uri, path=args.path, code=args.code, line=args.line)
            loaded += result.loaded
            print(result)
        except ContractError as error:  # of one dataset: the others are judged
            print(error, file=sys.stderr)
            failed = True
    if loaded:
        print("the next run of the warehouse sees them; the DAG replay_rejects starts one by itself")
    return 1 if failed else 0


def _dismiss(args: argparse.Namespace) -> int:
    uri = settings.connection_uri("source_db")
    for dataset in _datasets(args):
        number = dismiss(dataset, source_uri=uri, choice=_choice(args), why=args.reason)
        print(f"{dataset}: {number} rejected rows are dismissed")
    return 0
