"""The verb `transfer`: the functions that the DAG calls, from a shell and between any two Postgres databases."""

from __future__ import annotations

import argparse
import os
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from include import report
from include.command_line import Commands, add_command
from include.report import Progress
from include.transfer.model import Mode, TablePlan, TransferError, TransferResult
from include.transfer.planning import plan, read_modes
from include.transfer.run import Outcome, run_transfer

_LOG_EVERY = 5.0  # seconds between two lines of progress in a log


@dataclass(frozen=True)
class OwnTransfer:
    """The project's own transfer: what the verb does when neither --source nor --target is given.

    A URI alone is also the default of its option when only the other option is given.
    """

    source_uri: Callable[[], str]
    target_uri: Callable[[], str]
    tables: Callable[[], Sequence[str]]  # shell patterns of schema.table
    exclude: Sequence[str]  # patterns likewise, which --exclude adds to
    schema_prefix: str
    modes: str  # as `read_modes` reads it


def add_commands(commands: Commands, own: OwnTransfer) -> None:
    """Add `transfer`. `own` says what it does without --source and --target."""
    parser = add_command(
        commands,
        "transfer",
        _transfer,
        help="move tables of one Postgres to another, whole and at one snapshot",
        description="Move tables of one Postgres database to another. Only what changed travels where the table allows"
        " it; readers of the target see the old rows or the new ones. Without --source and --target: the tables of"
        " TRANSFER_TABLES, else of the contracts' schemas, else all, from source_db to the raw_ schemas of target_db.",
    )
    parser.add_argument("--source", metavar="URI", help="postgresql:// URI to read from (default: source_db)")
    parser.add_argument("--target", metavar="URI", help="postgresql:// URI to write to (default: target_db)")
    parser.add_argument(
        "--tables", metavar="PATTERN", action="append", help="shell pattern of schema.table to move; repeatable"
    )
    parser.add_argument(
        "--exclude", metavar="PATTERN", action="append", help="shell pattern of schema.table to leave out; repeatable"
    )
    parser.add_argument("--schema-prefix", metavar="TEXT", help="what the target's schema names begin with")
    parser.add_argument("--full", action="store_true", help="refresh every table in full")
    parser.add_argument(
        "--mode",
        metavar="PATTERN=MODE",
        action="append",
        default=[],
        help=f"how to move tables of a pattern: {', '.join(get_args(Mode))}; repeatable, the first match counts"
        " (default for the project's own databases: TRANSFER_MODES)",
    )
    parser.add_argument("--views", action="store_true", help="move views too, as tables")
    parser.add_argument("--verify", action="store_true", help="compare checksums of every column as well as row counts")
    parser.add_argument("--plan", action="store_true", help="say what would be done and why, and do nothing")
    parser.add_argument(
        "--jobs", type=int, default=min(4, os.cpu_count() or 1), help="tables at once (default: %(default)s)"
    )
    stopped = "stopped: the tables that were under way keep their old rows; run it again"
    parser.set_defaults(own=own, interrupted=stopped)


def _transfer(args: argparse.Namespace) -> int:
    """Carry the verb out and return the exit code. A WarehouseError is left to the command line's `main`."""
    source = args.source or args.own.source_uri()
    target = args.target or args.own.target_uri()
    plans = _plan(args, source, target)
    if args.plan or not plans:
        print(report.table(["source", "target", "rows, about", "how and why"], [_planned(p) for p in plans]))
        return 0 if plans else _complain("no table matches: see --tables and --exclude, with one pattern each")
    started = time.monotonic()
    with Progress(every=_LOG_EVERY) as progress:
        counter = _Counter(len(plans), progress)
        outcomes = run_transfer(
            source,
            target,
            plans,
            run_id=f"cli-{uuid.uuid4()}",
            jobs=args.jobs,
            verify=args.verify,
            report=counter.add,
            done=counter.finish,
        )
    return _print_outcomes(outcomes, time.monotonic() - started)


def _plan(args: argparse.Namespace, source: str, target: str) -> list[TablePlan]:
    """Plan what the options ask for; the project's own values count between its own databases alone."""
    own: OwnTransfer | None = args.own if args.source is None and args.target is None else None
    prefix = args.schema_prefix if args.schema_prefix is not None else own.schema_prefix if own else ""
    return plan(
        source,
        target,
        include=args.tables or (own.tables() if own else ["*"]),
        exclude=[*(args.exclude or []), *(own.exclude if own else [])],
        full=args.full,
        schema_prefix=prefix,
        modes=read_modes(",".join(args.mode) or (own.modes if own else "")),
        views=args.views,
    )


def _print_outcomes(outcomes: list[tuple[TablePlan, Outcome]], seconds: float) -> int:
    """Print what became of each table, its notes and the failures; return 1 when a table failed."""
    outcomes.sort(key=lambda pair: pair[0].source)
    columns = ["table", "mode", "rows", "changed", "MB", "seconds", "verdict"]
    print(report.table(columns, [_moved(p, outcome) for p, outcome in outcomes]))
    for p, outcome in outcomes:
        for note in outcome.notes if isinstance(outcome, TransferResult) else ():
            print(f"{p.source}: {note}")
    failures = [outcome for _, outcome in outcomes if isinstance(outcome, TransferError)]
    size = sum(outcome.bytes for _, outcome in outcomes if isinstance(outcome, TransferResult))
    print(f"{len(outcomes) - len(failures)} of {len(outcomes)} tables moved in {seconds:.1f} s, {size / 1e6:.1f} MB")
    for failure in failures:
        _complain(str(failure))
    return 1 if failures else 0


def _complain(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


def _planned(p: TablePlan) -> dict[str, Any]:
    return {"source": p.source, "target": p.target, "rows, about": p.rows_estimate, "how and why": p.reason}


def _moved(p: TablePlan, outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, TransferError):
        return {"table": p.source, "mode": p.mode, "verdict": "failed"}
    return {
        "table": p.source,
        "mode": outcome.mode,
        "rows": outcome.rows,
        "changed": outcome.rows_changed,
        "MB": outcome.bytes / 1e6,
        "seconds": outcome.seconds,
        "verdict": outcome.verdict,
    }


class _Counter:
    """Adds up what the tables of a run have sent and shows it. The threads that move the tables call it."""

    _SHOW_EVERY = 0.5  # seconds; `add` is called for each quarter of a megabyte

    def __init__(self, tables: int, progress: Progress) -> None:
        self._tables, self._finished, self._rows, self._bytes = tables, 0, 0, 0
        self._progress = progress
        self._began = self._shown = time.monotonic()

    def add(self, plan: TablePlan, rows: int, size: int) -> None:
        self._rows += rows
        self._bytes += size
        self._show()

    def finish(self, plan: TablePlan, outcome: Outcome) -> None:
        self._finished += 1
        self._show()

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._shown < self._SHOW_EVERY:
            return
        self._shown = now
        megabytes = self._bytes / 1e6
        self._progress.show(
            f"{self._finished}/{self._tables} tables, {self._rows:,} rows, {megabytes:.0f} MB,"
            f" {megabytes / (now - self._began):.0f} MB/s"
        )
