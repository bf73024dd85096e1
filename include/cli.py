"""The program `warehouse`: every stage without Airflow, and the stack on one machine.

Connections come from AIRFLOW_CONN_SOURCE_DB and AIRFLOW_CONN_TARGET_DB (postgresql:// URIs), else they are the demo's.
docs/command-line.md describes every command.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from functools import partial

from include import landing, settings, status
from include.command_line import Parser, add_command
from include.contracts import read_contracts, source_tables
from include.contracts.commands import add_commands as add_contract_commands
from include.errors import WarehouseError
from include.landing.commands import add_commands as add_landing_commands
from include.stack import demo_package
from include.stack.commands import add_commands as add_stack_commands
from include.transfer.commands import OwnTransfer
from include.transfer.commands import add_commands as add_transfer_commands
from include.transform.commands import add_commands as add_transform_commands

_INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended: 128 and the number of SIGINT


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser: argparse.ArgumentParser = Parser(
        prog="warehouse",
        description="Land files in the source Postgres, move its tables to the target, build the marts there.",
        epilog="Connections: AIRFLOW_CONN_SOURCE_DB and AIRFLOW_CONN_TARGET_DB as postgresql:// URIs, "
        "else the demo's databases on this machine.",
    )
    commands = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    add_landing_commands(commands)
    add_contract_commands(commands, lambda source_uri: [partial(landing.check_contracts, source_uri=source_uri)])
    own = OwnTransfer(
        source_uri=partial(settings.connection_uri, "source_db"),
        target_uri=partial(settings.connection_uri, "target_db"),
        tables=lambda: source_tables(read_contracts()),
        exclude=settings.NEVER_MOVED,
        schema_prefix=settings.RAW_PREFIX,
        modes=settings.TRANSFER_MODES,
    )
    add_transfer_commands(commands, own)
    add_transform_commands(commands)
    add_command(
        commands,
        "status",
        _status,
        help="say what runs, what has landed, what was transferred and what the marts hold",
        description="List the parts of the stack without Docker, where this project has started one, and whether "
        "Airflow is healthy. Then count the files and rows landed, the rows transferred and the rows of each mart.",
    )
    add_stack_commands(commands)
    demo = demo_package()
    if demo:
        demo.add_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. A WarehouseError is one sentence on stderr, not a traceback."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    args = make_parser().parse_args(arguments)
    try:
        return int(args.handler(args))
    except WarehouseError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(getattr(args, "interrupted", "interrupted"), file=sys.stderr)
        return _INTERRUPTED


def _status(args: argparse.Namespace) -> int:
    # Imported here, because the stack without Docker needs packages that the image does not hold.
    if (settings.LOCAL / "databases").is_dir() or (settings.LOCAL / "run").is_dir():
        from include.stack.local import overview

        print(overview.describe())
        print()
        stopped = overview.stopped_databases()
        if stopped:
            print(
                f"the {' and '.join(stopped)} Postgres is stopped, so nothing more is known: start it with `make start`"
            )
            return 0
    print(status.report(settings.connection_uri("source_db"), settings.connection_uri("target_db")))
    return 0
