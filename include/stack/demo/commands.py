"""The command group `demo`: make the demo's files and tables, and change the tables as an application would."""

from __future__ import annotations

import argparse
import json
import time
from datetime import date

from include import settings
from include.command_line import Commands, add_command, add_group
from include.stack.demo.applications import change_tables, make_tables
from include.stack.demo.landing_files import as_json, make_landing_files, make_schools_file
from include.stack.demo.preparation import writing_to


def add_commands(commands: Commands) -> None:
    """Add `demo`."""
    group = add_group(
        commands,
        "demo",
        help="make the demo's files and tables",
        description="Make what the demo reads: landing files and the tables of applications, all of made-up people.",
    )
    files = add_command(
        group,
        "files",
        _files,
        help="write the landing files of some days",
        description="Write the landing files of some days and print, for each dataset, what landing must make of "
        "them. The same days always give the same files.",
    )
    files.add_argument("--root", default=settings.LANDING_ROOT, help="folder to write to (%(default)s)")
    files.add_argument("--days", type=int, default=3, help="number of days (%(default)s)")
    files.add_argument("--until", type=date.fromisoformat, metavar="DATE", help="the day after the last one (today)")
    files.add_argument("--seed", type=int, default=1, help="another number gives other people (%(default)s)")

    schools = add_command(
        group,
        "schools",
        _schools,
        help="write the schools' CSV file",
        description="Write the CSV file of the schools' learning modality, for a SCHOOLS_URL that begins with "
        "file:// or that a web server of yours serves.",
    )
    schools.add_argument("file", help="file to write")
    schools.add_argument("--districts", type=int, default=200, help="number of districts (%(default)s)")
    schools.add_argument("--weeks", type=int, default=10, help="number of weeks per district (%(default)s)")

    tables = add_command(
        group,
        "tables",
        _tables,
        help="create and fill billing.* and sales.* in source_db",
        description="Create and fill the tables billing.* and sales.* in source_db, which applications own in the "
        "demo. Tables that hold rows are left alone.",
    )
    tables.add_argument("--rows", type=int, default=200, help="number of accounts (%(default)s)")
    tables.add_argument("--seed", type=int, default=1, help="another number gives other rows (%(default)s)")

    change = add_command(
        group,
        "change",
        _change,
        help="insert, update and delete rows of billing.* and sales.*",
        description="Insert, update and delete rows of billing.* and sales.* in source_db, as applications do.",
    )
    change.add_argument("--rows", type=int, default=10, help="number of new accounts per round (%(default)s)")
    change.add_argument("--rounds", type=int, default=1, help="number of rounds; 0: until Ctrl-C (%(default)s)")
    change.add_argument("--pause", type=float, default=1.0, help="seconds between two rounds (%(default)s)")


def _files(args: argparse.Namespace) -> int:
    with writing_to(args.root):
        expected = make_landing_files(args.root, days=args.days, seed=args.seed, until=args.until)
    print(json.dumps(as_json(expected), indent=2))
    return 0


def _schools(args: argparse.Namespace) -> int:
    with writing_to(args.file):
        expected = make_schools_file(args.file, districts=args.districts, weeks=args.weeks)
    print(json.dumps(as_json({"schools.learning_modality": expected}), indent=2))
    return 0


def _tables(args: argparse.Namespace) -> int:
    filled = make_tables(settings.connection_uri("source_db"), rows=args.rows, seed=args.seed)
    print(
        "made billing.account, billing.address, billing.statement, sales.sale"
        if filled
        else "left alone: billing or sales holds rows already"
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
