"""The command group `stack`: the whole stack on this machine, without Docker and in it.

Each handler imports what it needs when it runs: the image lacks the embedded Postgres, and importing Airflow takes
seconds that the other commands should not wait for.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from include import settings
from include.command_line import Commands, add_command, add_group


def add_commands(commands: Commands) -> None:
    """Add `stack`."""
    group = add_group(
        commands,
        "stack",
        help="start and stop Airflow and the databases on this machine",
        description="Start and stop the stack without Docker: an embedded Postgres for the source, the target and "
        "Airflow, and Airflow itself. `make run` and its like call these. Docker's stack is `astro dev start`; of it "
        "only `setup` is here, and `keys` of the stack on a server.",
    )
    run = add_command(
        group,
        "run",
        _run,
        help="start the stack and run every pipeline once",
        description="Start what does not run yet, land every file, run the warehouse pipeline and print a summary. "
        "The stack stays up.",
    )
    start = add_command(
        group,
        "start",
        _start,
        help="start the stack and run nothing",
        description="Start the databases and Airflow, and return when Airflow is healthy. What runs already is left "
        "alone; a start that fails ends what it has begun.",
    )
    stop = add_command(
        group,
        "stop",
        _stop,
        help="end the stack",
        description="End Airflow and the databases, and return when no process of the stack runs. Data stays.",
    )
    databases = add_command(
        group,
        "databases",
        _databases,
        help="start the source and target Postgres alone",
        description="Start the source and target Postgres without Airflow, and make the demo's files and the dbt "
        "manifest: what `astro dev start --standalone` needs.",
    )
    psql = add_command(
        group,
        "psql",
        _psql,
        help="open psql on source, target or Airflow's database",
        description="Open psql on a database of the stack, or on the one of your own that takes its place. "
        "What follows the name goes to psql.",
    )
    psql.add_argument(
        "database", nargs="?", default="target", choices=("source", "target", "airflow"), help="default: target"
    )
    psql.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="psql's own, such as -c 'select 1'")
    clean = add_command(
        group,
        "clean",
        _clean,
        help="end the stack and remove its data",
        description="End the stack and remove databases, logs and demo files from LOCAL_ROOT, and nothing else "
        "that lies there.",
    )
    for each in (run, start, stop, databases, clean):
        each.set_defaults(
            interrupted="\ninterrupted; the stack stays as it is: see `make status`, or end it with `make stop`"
        )
    add_command(
        group,
        "setup",
        _setup,
        help="take the first steps of the stack in Docker",
        description="Make roles, databases, the demo's files and tables "
        "and the dbt manifest where they are missing. The service `setup` runs this in Docker at each start.",
    )
    keys = add_command(
        group,
        "keys",
        _keys,
        help="make the secrets of Airflow on a server",
        description="Make Airflow's Fernet key, its API and JWT secrets, the UI's passwords and that of Airflow's own "
        "database, each where it is missing. The service `keys` of production.yml runs this at each start.",
    )
    keys.add_argument("--folder", type=Path, required=True, help="the folder that keeps them, one file each")
    prune = add_command(
        group,
        "prune",
        _prune,
        help="remove old rows of Airflow's own database and old logs",
        description="Remove runs, tasks and events from Airflow's own database, and logs, that are older than some "
        "days, of the stack without Docker. The last run of each DAG that no person started stays. Airflow may run "
        "meanwhile. In Docker the service `maintenance` of production.yml runs this.",
    )
    prune.add_argument("--days", type=_number_of_days, default=settings.HISTORY_DAYS, help="how long history is kept")
    prune.add_argument(
        "--environment",
        action="store_true",
        help="of the Airflow that this shell's variables configure, as in Docker, not of the stack without Docker",
    )


def _number_of_days(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days from 1 up: a smaller one would keep nothing")
    return int(text)


def _run(args: argparse.Namespace) -> int:
    from include.contracts import read_all, select
    from include.stack.local import pipelines

    contracts = select([], read_all())
    left_out = pipelines.left_out(contracts)
    for sentence in left_out:  # first, so that it is said where the run fails too
        print(sentence, file=sys.stderr)
    print(pipelines.summary(pipelines.run(contracts)))
    if left_out:
        print(f"{len(left_out)} of the contracts can't be used, see above: mend them, then run again", file=sys.stderr)
    return 1 if left_out else 0


def _start(args: argparse.Namespace) -> int:
    from include.stack.local import lifecycle

    lifecycle.start()
    return 0


def _stop(args: argparse.Namespace) -> int:
    from include.stack.local import lifecycle

    lifecycle.stop()
    return 0


def _databases(args: argparse.Namespace) -> int:
    from include.stack.local import lifecycle

    lifecycle.start_databases_alone()
    for server in (settings.SOURCE, settings.TARGET):
        if server.name in lifecycle.needed_servers():
            print(f"{server.name}  {server.uri()}")
    return 0


def _psql(args: argparse.Namespace) -> int:
    from include.stack.local import psql

    psql.open_psql(args.database, args.arguments)


def _clean(args: argparse.Namespace) -> int:
    from include.stack.local import lifecycle

    lifecycle.clean()
    return 0


def _setup(args: argparse.Namespace) -> int:
    from include.stack.docker.setup import setup

    setup()
    return 0


def _keys(args: argparse.Namespace) -> int:
    from include.stack.docker.keys import ensure_keys

    made = ensure_keys(args.folder)
    print(f"{args.folder}: made {', '.join(made)}" if made else f"{args.folder}: every key is there, none was changed")
    return 0


def _prune(args: argparse.Namespace) -> int:
    from include.stack import pruning

    print(pruning.prune_configured(args.days) if args.environment else pruning.prune_local(args.days))
    return 0
