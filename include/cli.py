"""The program `warehouse`: every stage without Airflow, and the stack on one machine.

Connections come from AIRFLOW_CONN_SOURCE_DB and AIRFLOW_CONN_TARGET_DB (postgresql:// URIs), else they are the demo's.
docs/command-line.md describes every command.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from include import settings
from include.command_line import Commands, add_command
from include.errors import WarehouseError

if TYPE_CHECKING:
    from include.contracts import Contracts

_INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended: 128 and the number of SIGINT


def _add_landing(commands: Commands) -> None:
    from include.landing.commands import add_commands
    from include.landing.reject_commands import add_commands as add_rejects

    add_commands(commands)
    add_rejects(commands)


def _add_contracts(commands: Commands) -> None:
    from include import landing
    from include.contracts.commands import add_commands

    add_commands(
        commands, lambda source_uri: [partial(landing.check_contracts, source_uri=source_uri)], landing.preview
    )


def _add_transfer(commands: Commands) -> None:
    from include.transfer.commands import OwnTransfer, add_commands

    own = OwnTransfer(
        source_uri=partial(settings.connection_uri, "source_db"),
        target_uri=partial(settings.connection_uri, "target_db"),
        tables=_own_tables,
        exclude=settings.NEVER_MOVED,
        schema_prefix=settings.RAW_PREFIX,
        modes=settings.TRANSFER_MODES,
    )
    add_commands(commands, own)


def _own_tables() -> list[str]:
    from include.contracts import source_tables

    return source_tables(_contracts().every)


def _contracts() -> Contracts:
    """Return the project's contracts, and say on stderr which of them are broken."""
    from include.contracts import read_all

    contracts = read_all()
    for broken in contracts.broken:
        print(broken.problem, file=sys.stderr)
    return contracts


def _add_transform(commands: Commands) -> None:
    from include.transform.commands import add_commands

    add_commands(commands)


def _add_status(commands: Commands) -> None:
    add_command(
        commands,
        "status",
        _status,
        help="say what runs, what has landed, what was transferred and what the marts hold",
        description="List the parts of the stack without Docker, where this project has started one, and whether "
        "Airflow is healthy. Then count the files and rows landed, the rows transferred and the rows of each mart.",
    )


def _add_stack(commands: Commands) -> None:
    from include.stack.commands import add_commands

    add_commands(commands)


def _add_upgrade(commands: Commands) -> None:
    from include.stack.upgrade import add_commands

    add_commands(commands)


def _add_demo(commands: Commands) -> None:
    from include.stack import demo_package

    demo = demo_package()
    if demo:
        demo.add_commands(commands)


_ADDERS: dict[tuple[str, ...], Callable[[Commands], None]] = {
    ("land", "rejects"): _add_landing,
    ("contract",): _add_contracts,
    ("transfer",): _add_transfer,
    ("build", "model", "docs"): _add_transform,
    ("status",): _add_status,
    ("stack",): _add_stack,
    ("upgrade",): _add_upgrade,
    **({("demo",): _add_demo} if settings.HAS_DEMO else {}),
}


def make_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of all commands, or only of those that are defined together with `command`.

    A command that imports no stage but its own starts 0.3 s sooner and takes 20 MB less.
    """
    parser = argparse.ArgumentParser(
        prog="warehouse",
        description="Land files in the source Postgres, move its tables to the target, build the marts there.",
        epilog="Connections: AIRFLOW_CONN_SOURCE_DB and AIRFLOW_CONN_TARGET_DB as postgresql:// URIs, "
        "else the demo's databases on this machine.",
    )
    commands = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    for add in [add for names, add in _ADDERS.items() if command in names] or _ADDERS.values():
        add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. A WarehouseError is one sentence on stderr, not a traceback."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each request, with its URL
    words = list(sys.argv[1:] if arguments is None else arguments)
    args = make_parser(words[0] if words else None).parse_args(words)
    try:
        return int(args.handler(args))
    except WarehouseError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(getattr(args, "interrupted", "interrupted"), file=sys.stderr)
        return _INTERRUPTED


def _status(args: argparse.Namespace) -> int:
    from include import status

    _contracts()
    # Imported here, because the stack without Docker needs packages that the image does not hold.
    if (settings.LOCAL / "databases").is_dir() or (settings.LOCAL / "run").is_dir():
        from include.stack.local import overview

        print(overview.describe())
        print()
        stopped = overview.stopped_databases()
        if stopped:
            print(
                f"the {' and '.join(stopped)} Postgres is stopped, so its rows are not counted: `make start` starts it"
            )
            return 0
    print(status.report(settings.connection_uri("source_db"), settings.connection_uri("target_db")))
    return 0
