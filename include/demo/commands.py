"""The verbs of the demo: `python -m include demo files|schools|tables|change`."""

from __future__ import annotations

import argparse
import json
import time
from datetime import date

from include import settings
from include.demo.applications import change_tables, make_tables
from include.demo.landing_files import as_json, make_landing_files, make_schools_file


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `demo`; its handlers take the parsed arguments and return the exit code."""
    parser = subparsers.add_parser(
        "demo",
        help="make the demo's files and tables",
        description="Make what the demo reads: landing files and applications' tables, all of made-up people.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    files = verbs.add_parser("files", help="write landing files of some days and print what landing must make of them")
    files.add_argument("--root", default=settings.LANDING_ROOT, help="folder to write to (%(default)s)")
    files.add_argument("--days", type=int, default=3, help="so many days (%(default)s)")
    files.add_argument("--until", type=date.fromisoformat, help="the day after the last one (today)")
    files.add_argument("--seed", type=int, default=1, help="another number gives other people (%(default)s)")
    files.set_defaults(handler=_files)

    schools = verbs.add_parser("schools", help="write the CSV of the schools, for a file:// SCHOOLS_URL")
    schools.add_argument("file", help="file to write")
    schools.add_argument("--districts", type=int, default=200, help="so many districts (%(default)s)")
    schools.add_argument("--weeks", type=int, default=10, help="so many weeks of each (%(default)s)")
    schools.set_defaults(handler=_schools)

    tables = verbs.add_parser("tables", help="create and fill the tables billing.* and sales.* in source_db")
    tables.add_argument("--rows", type=int, default=200, help="so many accounts (%(default)s)")
    tables.add_argument("--seed", type=int, default=1, help="another number gives other rows (%(default)s)")
    tables.set_defaults(handler=_tables)

    change = verbs.add_parser("change", help="change the tables billing.* and sales.* as applications do")
    change.add_argument("--rows", type=int, default=10, help="so many new accounts a round (%(default)s)")
    change.add_argument("--rounds", type=int, default=1, help="so many rounds; 0 goes on until interrupted (1)")
    change.add_argument("--pause", type=float, default=1.0, help="seconds between two rounds (%(default)s)")
    change.set_defaults(handler=_change)


def _files(args: argparse.Namespace) -> int:
    expected = make_landing_files(args.root, days=args.days, seed=args.seed, until=args.until)
    print(json.dumps(as_json(expected), indent=2))
    return 0


def _schools(args: argparse.Namespace) -> int:
    expected = make_schools_file(args.file, districts=args.districts, weeks=args.weeks)
    print(json.dumps(as_json({"schools.learning_modality": expected}), indent=2))
    return 0


def _tables(args: argparse.Namespace) -> int:
    filled = make_tables(settings.connection_uri("source_db"), rows=args.rows, seed=args.seed)
    print(
        "made billing.account, billing.address, billing.statement, sales.sale" if filled else "they are there already"
    )
    return 0


def _change(args: argparse.Namespace) -> int:
    made = 0
    while True:
        change_tables(settings.connection_uri("source_db"), rows=args.rows)
        made += 1
        if made == args.rounds:
            return 0
        time.sleep(args.pause)
