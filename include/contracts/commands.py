"""The command group `contract`: draft contracts, check them, and write the dbt sources that follow from them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from include import settings
from include.contracts import dbt_sources
from include.contracts.check import StageCheck, check_contracts
from include.contracts.draft import write_draft
from include.contracts.model import read_contracts

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # argparse has no public name for it


def add_commands(subparsers: Subparsers, checks: Callable[[str | None], Sequence[StageCheck]]) -> None:
    """Add `contract`. `checks` gives the stages' own checks for a source_db, or without one."""
    parser = subparsers.add_parser("contract", help="work on the contracts", description="Work on the data contracts.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    sources = verbs.add_parser("sources", help="compare the dbt sources with the contracts, or write them")
    sources.add_argument("--write", action="store_true", help="write the files that differ")
    sources.set_defaults(handler=_contract_sources)
    check = verbs.add_parser(
        "check", help="check every contract against the standard, the tables that exist and the dbt sources"
    )
    check.add_argument("--no-database", action="store_true", help="do not compare with tables")
    check.set_defaults(handler=_contract_check, checks=checks)
    new = verbs.add_parser("new", help="draft a contract from a sample file")
    new.add_argument("name", metavar="SOURCE.DATASET", help="what the dataset is called")
    new.add_argument("sample", type=Path, help="a file of the dataset: JSON lines or CSV, plain or gzipped")
    new.add_argument("--delimiter", help="between the values of a CSV (guessed from its first line)")
    new.add_argument("--schedule", default="0 0 * * *", help="cron schedule of landing, UTC (%(default)s)")
    new.set_defaults(handler=_contract_new)


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
