"""The verb `transfer`: the same functions that the DAG calls, from a shell, between any two Postgres databases."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from typing import Any, get_args

from include.errors import WarehouseError
from include.report import table as format_table
from include.settings import TRANSFER_MODES, connection_uri
from include.transfer.names import Mode, TablePlan, TransferError, TransferResult
from include.transfer.planning import plan, read_modes
from include.transfer.run import run_transfer


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `transfer` to a program's verbs."""
    parser = subparsers.add_parser(
        "transfer",
        help="move tables of one Postgres to another, whole and at one moment",
        description="Move tables of one Postgres database to another. Only what changed travels where the table allows"
        " it; readers of the target see the old rows or the new ones. Without --source and --target: the tables of"
        " source_db to the raw_ schemas of target_db.",
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
    parser.set_defaults(handler=_transfer)


def _transfer(args: argparse.Namespace) -> int:
    own = args.source is None and args.target is None
    source, target = args.source or connection_uri("source_db"), args.target or connection_uri("target_db")
    prefix = args.schema_prefix if args.schema_prefix is not None else "raw_" if own else ""
    exclude = args.exclude if args.exclude is not None else ["landing.*"] if own else []
    try:
        plans = plan(
            source,
            target,
            include=args.tables or ["*"],
            exclude=exclude,
            full=args.full,
            schema_prefix=prefix,
            modes=read_modes(",".join(args.mode) or (TRANSFER_MODES if own else "")),
            views=args.views,
        )
        if args.plan or not plans:
            print(format_table(["source", "target", "rows, about", "how and why"], [_planned(p) for p in plans]))
            return 0 if plans else _complain("no table matches: see --tables and --exclude")
        started = time.monotonic()
        with _Display(plans) as display:
            outcomes = run_transfer(
                *(source, target, plans),
                run_id=f"cli-{uuid.uuid4()}",
                jobs=args.jobs,
                verify=args.verify,
                report=display.report,
                done=display.done,
            )
    except WarehouseError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        return _complain("stopped: the tables that were under way keep their old rows; run it again")
    outcomes.sort(key=lambda pair: pair[0].source)
    columns = ["table", "mode", "rows", "changed", "MB", "seconds", "verdict"]
    print(format_table(columns, [_moved(p, outcome) for p, outcome in outcomes]))
    for p, outcome in outcomes:
        for note in outcome.notes if isinstance(outcome, TransferResult) else ():
            print(f"{p.source}: {note}")
    failed = [outcome for _, outcome in outcomes if isinstance(outcome, TransferError)]
    moved = sum(outcome.bytes for _, outcome in outcomes if isinstance(outcome, TransferResult))
    print(
        f"{len(outcomes) - len(failed)} of {len(outcomes)} tables across in {time.monotonic() - started:.1f} s,"
        f" {moved / 1e6:.1f} MB"
    )
    for failure in failed:
        _complain(str(failure))
    return 1 if failed else 0


def _complain(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


def _planned(p: TablePlan) -> dict[str, Any]:
    return {"source": p.source, "target": p.target, "rows, about": p.rows_estimate, "how and why": p.reason}


def _moved(p: TablePlan, outcome: TransferResult | TransferError) -> dict[str, Any]:
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


class _Display:
    """Progress on stderr: a line that rewrites itself on a terminal, a line every five seconds elsewhere."""

    def __init__(self, plans: Sequence[TablePlan]) -> None:
        self._tables, self._finished, self._rows, self._bytes = len(plans), 0, 0, 0
        self._terminal = sys.stderr.isatty()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> _Display:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def report(self, plan: TablePlan, rows: int, size: int) -> None:
        self._rows += rows
        self._bytes += size

    def done(self, plan: TablePlan, outcome: TransferResult | TransferError) -> None:
        self._finished += 1

    def _show(self) -> None:
        started = time.monotonic()
        while not self._over.wait(0.5 if self._terminal else 5.0):
            seconds = time.monotonic() - started
            line = (
                f"{self._finished}/{self._tables} tables, {self._rows:,} rows, {self._bytes / 1e6:.0f} MB,"
                f" {self._bytes / 1e6 / seconds:.0f} MB/s, {seconds:.0f} s"
            )
            print(f"\r{line}\033[K" if self._terminal else line, end="" if self._terminal else "\n", file=sys.stderr)
        if self._terminal:
            print("\r\033[K", end="", file=sys.stderr)
