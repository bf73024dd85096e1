"""The command group `contract`: draft contracts, check them, and write the dbt sources that follow from them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from include import settings
from include.command_line import Commands, add_command, add_group
from include.contracts import dbt_sources
from include.contracts.check import StageCheck, check_contracts
from include.contracts.draft import write_draft
from include.contracts.model import read_contracts


def add_commands(commands: Commands, checks: Callable[[str | None], Sequence[StageCheck]]) -> None:
    """Add `contract`. `checks` gives the stages' own checks, for the URI of a source_db or without one."""
    group = add_group(
        commands,
        "contract",
        help="draft contracts, check them, and write the dbt sources that follow from them",
        description="Work on the data contracts in include/contracts.",
    )
    sources = add_command(
        group,
        "sources",
        _contract_sources,
        help="compare the dbt sources with the contracts, or write them",
        description="List the dbt sources that differ from the contracts; with --write, write them.",
    )
    sources.add_argument("--write", action="store_true", help="write the files that differ")
    check = add_command(
        group,
        "check",
        _contract_check,
        help="check every contract against the standard, the tables that exist and the dbt sources",
        description="Check every contract: whether it keeps to the standard, can be carried out, and agrees with the "
        "tables that exist and with the dbt sources. Prints a sentence for each thing that is wrong.",
    )
    check.add_argument("--no-database", action="store_true", help="do not compare with tables")
    check.set_defaults(checks=checks)
    new = add_command(
        group,
        "new",
        _contract_new,
        help="draft a contract from a sample file",
        description="Draft include/contracts/<source>/<dataset>.yaml from a sample, for you to read and complete.",
    )
    new.add_argument("name", metavar="SOURCE.DATASET", help="what the dataset is called")
    new.add_argument("sample", type=Path, help="a file of the dataset: JSON lines or CSV, plain or gzipped")
    new.add_argument("--delimiter", help="between the values of a CSV (guessed from its first line)")
    new.add_argument("--schedule", default="0 0 * * *", help="cron schedule of landing, UTC (%(default)s)")


def _contract_check(args: argparse.Namespace) -> int:
    source_uri = None if args.no_database else settings.connection_uri("source_db")
    problems = check_contracts(args.checks(source_uri))
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{len(read_contracts())} contracts are in order")
    return 1 if problems else 0


def _contract_new(args: argparse.Namespace) -> int:
    file = write_draft(args.name, args.sample, delimiter=args.delimiter, schedule=args.schedule)
    print(f"{file}: read it, replace each TODO and mark what is personal; then")
    print("  warehouse contract sources --write")
    print("  warehouse contract check")
    return 0


def _contract_sources(args: argparse.Namespace) -> int:
    paths = dbt_sources.write() if args.write else dbt_sources.differing()
    for path in paths:
        print(f"{'written' if args.write else 'differs'}: {path.relative_to(settings.PROJECT)}")
    if paths and not args.write:
        print("run `warehouse contract sources --write`", file=sys.stderr)
    return 1 if paths and not args.write else 0
