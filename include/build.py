"""The dbt project without Airflow: parse it, build it, make its docs and serve them.

dbt runs in this process and connects to target_db through dbt/profiles.yml, filled from the connection's URI.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import NoReturn

from psycopg.pq import Conninfo

from include import settings
from include.errors import FinalError, TransientError

# Said to every dbt, Airflow's too, because a parse is worth something only to those who were told the same.
PROFILE = ("--profile", "warehouse", "--target", "target_db")
PARSED = settings.DBT_MANIFEST.parent / "parsed"  # what dbt writes when it parses the project
PARTIAL_PARSE = "partial_parse.msgpack"


def run_dbt(arguments: Sequence[str], target_uri: str | None = None) -> int:
    """Run one dbt command on the project and return its exit code: 1 where a model, a test or dbt itself failed."""
    from dbt.cli.main import dbtRunner

    os.environ.update(profile_variables(target_uri or settings.connection_uri("target_db")))
    os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "False")
    folder = str(settings.DBT_PROJECT)
    result = dbtRunner().invoke([*arguments, *PROFILE, "--project-dir", folder, "--profiles-dir", folder])
    return 0 if result.success else 1


class DbtError(FinalError):
    """dbt can't parse its project or serve its docs; the message says why."""


class DbtRunError(TransientError):
    """dbt could not reach its database or could not finish; its own messages say why."""


def manifest_is_stale() -> bool:
    """Return whether dbt's manifest is missing or older than the dbt project."""
    if not settings.DBT_MANIFEST.exists():
        return True
    made = settings.DBT_MANIFEST.stat().st_mtime
    for path in settings.DBT_PROJECT.rglob("*"):
        if path.relative_to(settings.DBT_PROJECT).parts[0] in ("target", "logs"):
            continue
        # A folder is younger than the manifest when a file in it was removed since.
        if (path.is_dir() or path.suffix in (".sql", ".yml", ".md", ".csv")) and path.stat().st_mtime > made:
            return True
    return False


def make_manifest() -> None:
    """Have dbt write the manifest that the warehouse DAG is rendered from, if it is stale. Raises DbtError.

    Whoever reads it meanwhile finds the old one or the new one, whole.
    """
    if not manifest_is_stale():
        return
    PARSED.mkdir(parents=True, exist_ok=True)
    began = time.time()
    variables = profile_variables(settings.connection_uri("target_db"))
    done = subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", "parse", *PROFILE, "--profiles-dir=."],
        cwd=settings.DBT_PROJECT,
        env={**os.environ, **variables, "DBT_TARGET_PATH": str(PARSED), "DBT_LOG_PATH": str(PARSED)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DbtError(f"dbt can't parse the project in {settings.DBT_PROJECT}:\n{done.stdout}{done.stderr}")
    partial = PARSED / PARTIAL_PARSE
    if PARSED.is_relative_to(settings.DBT_PROJECT) and partial.exists():  # where Cosmos looks for it, to save a parse
        target = settings.DBT_PROJECT / "target"
        target.mkdir(exist_ok=True)
        shutil.copy(partial, target)
    made = PARSED / "manifest.json"
    os.utime(made, (began, began))  # so that a file edited meanwhile is younger
    made.replace(settings.DBT_MANIFEST)


def watch_project() -> NoReturn:
    """Make the manifest again whenever a file of dbt/ changes. A project that dbt can't parse leaves the last one."""
    printed = ""
    while True:
        try:
            make_manifest()
            printed = ""
        except DbtError as error:
            if str(error) != printed:
                printed = str(error)
                print(printed, file=sys.stderr, flush=True)
        time.sleep(15 if printed else 2)  # dbt takes seconds to find out that a model is still broken


def profile_variables(uri: str) -> dict[str, str]:
    """Return the variables that dbt reads a postgresql:// URI from.

    Those of dbt/profiles.yml, and for parameters such as sslmode those of libpq, with which dbt connects.
    """
    given = [option for option in Conninfo.parse(uri.encode()) if option.val is not None]
    known = {o.keyword.decode(): o.val.decode() for o in [*Conninfo.get_defaults(), *given] if o.val is not None}
    return {
        **{option.envvar.decode(): option.val.decode() for option in given if option.envvar and option.val},
        "TARGET_DB_HOST": known.get("host", ""),
        "TARGET_DB_PORT": known["port"],
        "TARGET_DB_USER": known.get("user", ""),
        "TARGET_DB_PASSWORD": known.get("password", ""),
        "TARGET_DB_NAME": known.get("dbname") or known.get("user", ""),
    }


def make_docs(target_uri: str | None = None) -> int:
    """Make the dbt docs of the tables that stand in the target and return dbt's exit code.

    They have a folder of their own, so that whoever reads the manifest meanwhile never finds half of it.
    """
    folder, parsed = str(settings.DBT_DOCS), str(PARSED / PARTIAL_PARSE)
    arguments = ["--target-path", folder, "--log-path", folder, "--partial-parse-file-path", parsed]
    return run_dbt(["docs", "generate", *arguments], target_uri)


def docs_are_stale() -> bool:
    """Return whether the dbt docs are missing or older than the manifest."""
    made = settings.DBT_DOCS / "catalog.json"
    return not made.exists() or made.stat().st_mtime < settings.DBT_MANIFEST.stat().st_mtime


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs `build` and `docs`."""
    build = subparsers.add_parser(
        "build",
        help="build the dbt models and run their tests",
        description="Builds the staging, intermediate and marts schemas of target_db with dbt and tests them.",
    )
    build.add_argument("--select", metavar="MODELS", help="dbt's selection, such as sales_daily or +marts.sales")
    build.add_argument("--parse", action="store_true", help="only write the manifest that the DAG is rendered from")
    build.add_argument("--watch", action="store_true", help="as --parse, again after each change of dbt/, until Ctrl-C")
    build.add_argument("--target", metavar="URI", help="the database; default: AIRFLOW_CONN_TARGET_DB")
    build.set_defaults(handler=_build)
    docs = subparsers.add_parser(
        "docs",
        help="make the dbt docs and serve them",
        description="Makes the dbt docs of the tables in target_db and serves them on this machine until Ctrl-C.",
    )
    docs.add_argument("--port", type=int, default=settings.DOCS_PORT, help="default: %(default)s")
    docs.add_argument("--no-serve", action="store_true", help="only make them")
    docs.set_defaults(handler=_docs)


def _build(args: argparse.Namespace) -> int:
    if args.watch:
        watch_project()
    if args.parse:
        make_manifest()
        return 0
    command = ["build", "--exclude-resource-type", "unit_test"]  # those judge the SQL, not the data
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
