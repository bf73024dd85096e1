"""The command group `contract`: draft contracts, check them, and write the dbt sources that follow from them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from include import settings
from include.command_line import Commands, add_command, add_group
from include.contracts import dbt_sources
from include.contracts.check import StageCheck, check_contracts
from include.contracts.dialect import DIALECT_OPTIONS
from include.contracts.draft import write_draft
from include.contracts.model import DEFAULT_SCHEDULE
from include.contracts.notation import NOTATION_OPTIONS
from include.contracts.read import read_all, read_contracts
from include.contracts.table_check import check_tables
from include.contracts.table_draft import write_table_drafts
from include.report import Progress

_SHORT = 2.0  # seconds; a sample that takes no longer needs no word of how far it is
_LOG_EVERY = 10.0  # seconds between two lines of progress in a log


def add_commands(
    commands: Commands, checks: Callable[[str | None], Sequence[StageCheck]], preview: Callable[..., str]
) -> None:
    """Add `contract`.

    `checks` gives the stages' own checks, for the URI of a source_db or without one; `preview` is how landing says what
    a sample would be under its draft.
    """
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
    new.add_argument("--delimiter", help=r"between the values of a CSV, \t for a tab (guessed from its first records)")
    new.add_argument(
        "--dialect",
        metavar="OPTION=VALUE",
        type=_dialect_option,
        action="append",
        help="an option of the CSV's dialect, such as header=false or quoteChar=none (guessed); repeatable",
    )
    new.add_argument("--encoding", help="of the sample, such as Windows-1252 (UTF-8, or UTF-16 by its first bytes)")
    new.add_argument("--sheet", help="of a workbook (its only one)")
    new.add_argument("--header-row", type=_row_count, help="of a workbook's sheet, from 1 (the first one below titles)")
    new.add_argument("--rows", type=_row_count, help="read so many rows of the sample (all)")
    new.add_argument("--schedule", default=DEFAULT_SCHEDULE, help="cron schedule of landing, UTC (%(default)s)")
    new.set_defaults(parser=new, preview=preview)


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
    began = time.monotonic()
    with Progress(every=_LOG_EVERY) as progress:

        def show(text: str) -> None:
            if time.monotonic() - began > _SHORT:
                progress.show(text)

        file = write_draft(
            args.name,
            args.sample,
            folder=settings.CONTRACTS,
            delimiter=args.delimiter,
            schedule=args.schedule,
            rows=args.rows,
            encoding=args.encoding,
            dialect=dict(args.dialect or []),
            sheet=args.sheet,
            header_row=args.header_row,
            report=partial(print, file=sys.stderr),
            progress=show,
            preview=partial(args.preview, progress=show),
        )
    print(f"{file}: read it, replace each TODO and mark what is personal; then")
    _print_next_steps()
    return 0


def _dialect_option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    known = (*DIALECT_OPTIONS, *NOTATION_OPTIONS)
    if not equals or name not in known:
        raise argparse.ArgumentTypeError(f"{text!r} is no option of a dialect: give NAME=VALUE of {', '.join(known)}")
    try:
        return name, yaml.safe_load(value) if value.strip() not in ("", "#") else value
    except yaml.YAMLError:
        return name, value


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
