"""The commands `build`, `model new` and `docs`."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from include import settings
from include.command_line import Commands, add_command, add_group
from include.errors import SettingError
from include.transform.project import DbtError, build, make_docs, make_manifest, watch_project
from include.transform.scaffold import ModelError, write_models


def add_commands(commands: Commands) -> None:
    """Add `build`, `model` and `docs`."""
    building = add_command(
        commands,
        "build",
        _build,
        help="build the dbt models and run their tests",
        description="Build the staging, intermediate and marts schemas of target_db with dbt, and test them.",
    )
    building.add_argument(
        "--select", metavar="MODELS", help="dbt's selection, such as my_mart, +my_mart or marts.finance"
    )
    building.add_argument("--unit-tests", action="store_true", help="run the selected models' unit tests too")
    building.add_argument("--parse", action="store_true", help="only write the manifest that the DAG is rendered from")
    building.add_argument(
        "--watch", action="store_true", help="as --parse, again after each change of dbt/, until Ctrl-C"
    )
    building.add_argument(
        "--target", metavar="|".join(settings.TARGETS), help="whose schemas; default: WAREHOUSE_TARGET"
    )
    building.add_argument("--database", metavar="URI", help="the database; default: AIRFLOW_CONN_TARGET_DB")
    model = add_group(
        commands,
        "model",
        help="draft dbt models from the contracts",
        description="Work on the dbt models in dbt/models.",
    )
    new = add_command(
        model,
        "new",
        _model_new,
        help="draft the staging model of a dataset, and a mart",
        description="Draft the staging model of a dataset and its yml from its contract, and on request a mart, for "
        "you to read and complete. No file that is there is changed.",
    )
    new.add_argument("name", metavar="SOURCE.DATASET", help="the dataset, as its contract is called")
    new.add_argument("--mart", metavar="NAME", help="draft a mart of this name too, without personal columns")
    new.add_argument("--domain", metavar="DOMAIN", help="the folder of marts that it goes to; default: the source")
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
    target = args.target or settings.WAREHOUSE_TARGET
    if target not in settings.TARGETS:  # the value is not shown: it may be a URI with a password
        raise SettingError(f"--target is one of {', '.join(settings.TARGETS)}; --database names a database")
    target_uri = args.database and settings.checked_uri(args.database, "--database")
    return build(args.select, unit_tests=args.unit_tests, target=target, target_uri=target_uri)


def _model_new(args: argparse.Namespace) -> int:
    if args.domain and not args.mart:
        raise ModelError("--domain says where a mart goes: name the mart with --mart")
    paths = write_models(args.name, mart=args.mart, domain=args.domain)
    for path in paths:
        print(f"written: {path.relative_to(settings.PROJECT)}")
    print("Read them and replace each TODO. When the rows are in target_db:")
    print(f"  warehouse build --select +{args.mart or paths[0].stem}{' --unit-tests' if args.mart else ''}")
    return 0


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
