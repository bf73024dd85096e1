"""What `make run`, `make start` and the others call: `python -m include.local VERB`."""

from __future__ import annotations

import argparse
import sys

from include import settings
from include.errors import WarehouseError
from include.local import airflow, stack
from include.local.api import Api
from include.local.run import report, run
from include.status import format_table
from include.transform import make_manifest


def main() -> int:
    """Run one verb and return the exit code: 0 when it did what it says, 1 with a sentence on stderr when not."""
    verbs = {
        "run": (_run, "start the stack and run every pipeline once"),
        "start": (stack.start, "start the stack and run nothing"),
        "stop": (stack.stop, "end the stack"),
        "clean": (stack.clean, "end the stack and remove its data"),
        "status": (_status, "say what runs"),
        "databases": (_databases, "start the source and target Postgres only"),
    }
    parser = argparse.ArgumentParser(prog="python -m include.local", description=__doc__)
    commands = parser.add_subparsers(dest="verb", required=True)
    for name, (_, text) in verbs.items():
        commands.add_parser(name, help=text, description=text)
    try:
        verbs[parser.parse_args().verb][0]()
    except WarehouseError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the stack stays as it is: `make status`, `make stop`", file=sys.stderr)
        return 130
    return 0


def _run() -> None:
    print(report(run()))


def _databases() -> None:
    with stack.locked():
        stack.claim()
        stack.start_databases(("source", "target"))
        # What another Airflow, such as `astro dev start --standalone`, needs beside them.
        make_manifest()
        stack.prepare_demo()
    for server in (settings.SOURCE, settings.TARGET):
        print(f"{server.name}  {server.uri()}")


def _status() -> None:
    print(format_table(["part", "state", "pid", "port"], stack.describe()))
    health = Api().health() if airflow.Component("api-server").process() else {}
    if health:
        print("\nAirflow says: " + ", ".join(f"{name} {state}" for name, state in health.items()))
