"""The command group `contract`: draft contracts, check them, and write the dbt sources that follow from them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from include import settings
from include.command_line import Commands, add_command, add_group
from include.contracts import dbt_sources
from include.contracts.check import StageCheck, check_contracts
from include.contracts.draft import write_draft
from include.contracts.model import DEFAULT_SCHEDULE
from include.contracts.read import read_all, read_contracts
from include.contracts.table_check import check_tables
from include.contracts.table_draft import write_table_drafts


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
        description="List the dbt sources that differ from the contracts; with --write, write them. With"
        " --from-catalog, those of the tables in the raw schemas of target_db that no contract describes as well.",
    )
    sources.add_argument("--write", action="store_true", help="write the files that differ")
    sources.add_argument(
        "--from-catalog", action="store_true", help="describe the tables in target_db that have no contract, too"
    )
    check = add_command(
        group,
        "check",
        _contract_check,
        help="check every contract against the standard, the tables that exist and the dbt sources",
        description="Check every contract: whether it keeps to the standard, can be carried out, and agrees with the "
        "tables that exist and with the dbt sources. Prints a sentence for each thing that is wrong.",
    )
    check.add_argument("--no-database", action="store_true", help="do not compare with tables")
    check.add_argument("--allow-todo", action="store_true", help="let a TODO that is left in a contract pass")
    check.set_defaults(checks=checks)
    new = add_command(
        group,
        "new",
        _contract_new,
        help="draft a contract from a sample file, or contracts from tables of source_db",
        description="Draft include/contracts/<source>/<dataset>.yaml from a sample, or one contract for each table of"
        " source_db that a --table means, for you to read and complete. Nothing is written to source_db.",
    )
    new.add_argument("name", metavar="SOURCE.DATASET", nargs="?", help="what the dataset is called")
    new.add_argument(
        "sample", type=Path, nargs="?", help="a file of the dataset: JSON, CSV, Parquet or a workbook, plain or packed"
    )
    new.add_argument(
        "--table",
        metavar="PATTERN",
        action="append",
        dest="tables",
        help="instead of a sample: a table of source_db as schema.table, or a shell pattern of several; repeatable",
    )
    new.add_argument("--delimiter", help=r"between the values of a CSV, \t for a tab (guessed from its first line)")
    new.add_argument("--encoding", help="of the sample, such as Windows-1252 (UTF-8, or UTF-16 by its first bytes)")
    new.add_argument("--sheet", help="of a workbook (its only one)")
    new.add_argument("--header-row", type=_row_count, default=1, help="of a workbook's sheet, from 1 (%(default)s)")
    new.add_argument("--rows", type=_row_count, help="read so many rows of the sample (all)")
    new.add_argument("--schedule", default=DEFAULT_SCHEDULE, help="cron schedule of landing, UTC (%(default)s)")
    new.set_defaults(parser=new)


def _contract_check(args: argparse.Namespace) -> int:
    source_uri = None if args.no_database else settings.connection_uri("source_db")
    checks = [partial(check_tables, source_uri=source_uri), *args.checks(source_uri)]
    problems = check_contracts(checks, settings.CONTRACTS, settings.DBT_PROJECT, allow_todo=args.allow_todo)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{len(read_contracts(settings.CONTRACTS))} contracts are in order")
    return 1 if problems else 0


def _contract_new(args: argparse.Namespace) -> int:
    if bool(args.tables) == bool(args.name) or bool(args.name) != bool(args.sample):
        args.parser.error("give SOURCE.DATASET and a sample, or one --table or more")
    if args.tables:
        return _draft_tables(args.tables)
    file = write_draft(
        args.name,
        args.sample,
        folder=settings.CONTRACTS,
        delimiter=args.delimiter,
        schedule=args.schedule,
        rows=args.rows,
        encoding=args.encoding,
        sheet=args.sheet,
        header_row=args.header_row,
        report=partial(print, file=sys.stderr),
    )
    print(f"{file}: read it, replace each TODO and mark what is personal; then")
    _print_next_steps()
    return 0


def _row_count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 up")
    return int(text)


def _draft_tables(patterns: list[str]) -> int:
    drafts = write_table_drafts(patterns, settings.connection_uri("source_db"), settings.CONTRACTS)
    for warning in drafts.warnings:
        print(warning, file=sys.stderr)
    for sentence in drafts.left_alone:
        print(sentence)
    for file in drafts.written:
        print(f"written: {file}")
    if drafts.written:
        print("read them, replace each TODO and mark what is personal; then")
        _print_next_steps()
    return 0


def _print_next_steps() -> None:
    print("  warehouse contract sources --write")
    print("  warehouse contract check")


def _contract_sources(args: argparse.Namespace) -> int:
    target_uri = settings.connection_uri("target_db") if args.from_catalog else None
    act = dbt_sources.write if args.write else dbt_sources.differing
    paths = act(settings.CONTRACTS, settings.DBT_PROJECT, target_uri)
    for path in paths:
        print(f"{'differs' if not args.write else 'written' if path.exists() else 'removed'}: {_shown(path)}")
    if paths and not args.write:
        print(
            f"run `warehouse contract sources --write{' --from-catalog' if args.from_catalog else ''}`", file=sys.stderr
        )
    broken = read_all(settings.CONTRACTS).broken
    for contract in broken:
        print(f"{contract.problem}\n  the dbt source keeps the entry that {contract.name} has", file=sys.stderr)
    return 1 if broken or (paths and not args.write) else 0


def _shown(path: Path) -> Path:
    return path.relative_to(settings.PROJECT) if path.is_relative_to(settings.PROJECT) else path
