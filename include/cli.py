"""The command line `python -m include`: every stage without Airflow.

Connections come from AIRFLOW_CONN_SOURCE_DB and AIRFLOW_CONN_TARGET_DB (postgresql:// URIs), else the demo's.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

import psycopg

from include import build, demo, landing, settings, transfer
from include.status import format_status, read_status
from include.transfer.session import safe_message


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs; each stage adds its own."""
    parser = argparse.ArgumentParser(
        prog="python -m include",
        description="Lands files in the source Postgres, moves its tables to the target, builds the marts there.",
        epilog="Connections: AIRFLOW_CONN_SOURCE_DB and AIRFLOW_CONN_TARGET_DB as postgresql:// URIs, "
        "else the demo's databases on this machine.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    landing.add_commands(verbs)
    transfer.add_commands(verbs)
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
    except (landing.LandingError, landing.FileError, transfer.TransferError, build.DbtError, ValueError) as error:
        print(error, file=sys.stderr)
    except psycopg.Error as error:
        print(_sentence(error), file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 1


def _sentence(error: psycopg.Error) -> str:
    if error.sqlstate is None:
        return (
            f"a database can't be reached: {' '.join(str(error).split())}\n"
            "`make status` says whether the demo's run; AIRFLOW_CONN_SOURCE_DB and AIRFLOW_CONN_TARGET_DB name others"
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return f"a database refuses: {safe_message(error)}: grant it to the connection's user, or connect as another"
    return f"a database refuses: {safe_message(error)}"


def _status(args: argparse.Namespace) -> int:
    print(format_status(read_status(settings.connection_uri("source_db"), settings.connection_uri("target_db"))))
    return 0
