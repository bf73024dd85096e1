"""The command line `python -m include`: every stage without Airflow.

Connections come from AIRFLOW_CONN_SOURCE_DB and AIRFLOW_CONN_TARGET_DB (postgresql:// URIs), else the demo's.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from functools import partial

from include import build, demo, landing, settings
from include.contracts import read_contracts
from include.contracts.commands import add_commands as add_contract_commands
from include.errors import WarehouseError
from include.landing.commands import add_commands as add_landing_commands
from include.status import format_status, read_status
from include.transfer.commands import OwnTransfer
from include.transfer.commands import add_commands as add_transfer_commands


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs; each stage adds its own."""
    parser = argparse.ArgumentParser(
        prog="python -m include",
        description="Lands files in the source Postgres, moves its tables to the target, builds the marts there.",
        epilog="Connections: AIRFLOW_CONN_SOURCE_DB and AIRFLOW_CONN_TARGET_DB as postgresql:// URIs, "
        "else the demo's databases on this machine.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add_landing_commands(verbs)
    add_contract_commands(verbs, lambda source_uri: [partial(landing.check_contracts, source_uri=source_uri)])
    own = OwnTransfer(
        source_uri=partial(settings.connection_uri, "source_db"),
        target_uri=partial(settings.connection_uri, "target_db"),
        tables=lambda: sorted({f"{contract.source}.*" for contract in read_contracts()}),
        schema_prefix="raw_",
        modes=settings.TRANSFER_MODES,
    )
    add_transfer_commands(verbs, own)
    build.add_commands(verbs)
    demo.add_commands(verbs)
    status = verbs.add_parser(
        "status",
        help="say what has landed, been transferred and stands in the marts",
        description="Counts the files and rows landed, the rows transferred and the rows of each mart.",
    )
    status.set_defaults(handler=_status)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code; an expected error is one sentence on stderr, not a traceback."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    args = make_parser().parse_args(arguments)
    try:
        return int(args.handler(args))
    except WarehouseError as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 1


def _status(args: argparse.Namespace) -> int:
    print(format_status(read_status(settings.connection_uri("source_db"), settings.connection_uri("target_db"))))
    return 0
