"""The commands `build` and `docs`."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from include import settings
from include.command_line import Commands, add_command
from include.transform.project import DbtError, make_docs, make_manifest, run_dbt, watch_project


def add_commands(commands: Commands) -> None:
    """Add `build` and `docs`."""
    build = add_command(
        commands,
        "build",
        _build,
        help="build the dbt models and run their tests",
        description="Build the staging, intermediate and marts schemas of target_db with dbt, and test them.",
    )
    build.add_argument("--select", metavar="MODELS", help="dbt's selection, such as my_mart, +my_mart or marts.finance")
    build.add_argument("--parse", action="store_true", help="only write the manifest that the DAG is rendered from")
    build.add_argument("--watch", action="store_true", help="as --parse, again after each change of dbt/, until Ctrl-C")
    build.add_argument("--target", metavar="URI", help="the database; default: AIRFLOW_CONN_TARGET_DB")
    docs = add_command(
        commands,
        "docs",
        _docs,
        help="make the dbt docs and serve them",
        description="Make the dbt docs of the tables in target_db and serve them on this machine until Ctrl-C.",
    )
    docs.add_argument("--port", type=int, default=settings.DOCS_PORT, help="default: %(default)s")
    docs.add_argument("--no-serve", action="store_true", help="only make them")


def _build(args: argparse.Namespace) -> int:
    if args.watch:
        watch_project()
    if args.parse:
        make_manifest()
        return 0
    command = ["build", "--exclude-resource-type", "unit_test"]  # they check the SQL, not the data
    command += ["--select", args.select] if args.select else []
    return run_dbt(command, args.target and settings.checked_uri(args.target, "--target"))


def _docs(args: argparse.Namespace) -> int:
    if args.no_serve:
        return make_docs()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=settings.DBT_DOCS)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", args.port), handler)
    except OSError as error:
        raise DbtError(
            f"port {args.port}, meant for the dbt docs, can't be had ({os.strerror(error.errno or 0)}): stop what "
            f"holds it, or choose another with {settings.DOCS_PORT_VARIABLE}=<port>"
        ) from None
    with server, contextlib.suppress(KeyboardInterrupt):
        made = make_docs()
        if made:
            return made
        print(f"dbt docs: http://localhost:{args.port} (Ctrl-C ends)", flush=True)
        server.serve_forever()
    return 0
