"""The command group `demo`: make the demo's files and tables, change them as an application would, remove the demo."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import date

from include import settings
from include.command_line import Commands, add_command, add_group
from include.postgres import ConnectionFailedError
from include.stack.demo.applications import change_tables, make_tables
from include.stack.demo.landing_files import as_json, make_landing_files, make_schools_file
from include.stack.demo.preparation import DemoError, writing_to
from include.stack.demo.removal import RemovalError, check, demo_models, drop_tables, plan_removal, remove


def add_commands(commands: Commands) -> None:
    """Add `demo`."""
    group = add_group(
        commands,
        "demo",
        help="make the demo's files and tables, or remove the demo",
        description="Make what the demo reads: landing files and the tables of applications, all of made-up people. "
        "Or take the demo out of the project.",
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

    leave = add_command(
        group,
        "remove",
        _remove,
        help="take the demo out of the project",
        description="List the demo's contracts, models, marts, tests and made-up data, and remove them once you agree. "
        "Then offer to drop what they left in the demo's databases. Files that git could not bring back stop it: "
        "`git checkout .` undoes the removal until you commit it.",
    )
    leave.add_argument("--yes", action="store_true", help="agree to everything")
    leave.add_argument("--keep-tables", action="store_true", help="leave the demo's tables in the databases")
    leave.add_argument("--plan", action="store_true", help="only list what would go")


def _files(args: argparse.Namespace) -> int:
    with writing_to(args.root):
        expected = make_landing_files(args.root, days=args.days, seed=args.seed, until=args.until)
    print(json.dumps(as_json(expected), indent=2))
    return 0


def _remove(args: argparse.Namespace) -> int:
    plan, models = plan_removal(), demo_models()
    print(plan)
    if args.plan:
        return 0
    if not (args.yes or _agrees("Remove all of this from the project?")):
        print("nothing was removed")
        return 1
    check(plan)  # before anything is dropped
    drops = settings.WITH_DEMO and not args.keep_tables
    if drops and (args.yes or _agrees("Drop the demo's tables in source_db and target_db, too?")):
        try:
            drop_tables(settings.connection_uri("source_db"), settings.connection_uri("target_db"), models)
            print("the demo's tables are dropped")
        except ConnectionFailedError as error:
            print(f"the demo's tables stay: {error}", file=sys.stderr)
    remove(plan)
    print("the demo is removed: look at `git status`, commit it, then `make run`")
    return 0


def _agrees(question: str) -> bool:
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        raise RemovalError("nobody is there to answer: say --yes, or --plan to see what would go") from None


def _require_own_source() -> None:
    """Raise DemoError where source_db is somebody's own: made-up rows have no place there."""
    if not settings.WITH_DEMO:
        raise DemoError("source_db is not the demo's: unset AIRFLOW_CONN_SOURCE_DB to write the demo's tables")


def _schools(args: argparse.Namespace) -> int:
    with writing_to(args.file):
        expected = make_schools_file(args.file, districts=args.districts, weeks=args.weeks)
    print(json.dumps(as_json({"schools.learning_modality": expected}), indent=2))
    return 0


def _tables(args: argparse.Namespace) -> int:
    _require_own_source()
    filled = make_tables(settings.connection_uri("source_db"), rows=args.rows, seed=args.seed)
    print(
        "made billing.account, billing.address, billing.statement, sales.sale"
        if filled
        else "left alone: billing or sales holds rows already"
    )
    return 0


def _change(args: argparse.Namespace) -> int:
    _require_own_source()
    made = 0
    while True:
        change_tables(settings.connection_uri("source_db"), rows=args.rows)
        made += 1
        if made == args.rounds:
            return 0
        time.sleep(args.pause)
