"""psql on the stack's databases, or on those of somebody's own that take their place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import NoReturn

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from include import settings
from include.stack.local.lifecycle import StackError, needed_servers, servers
from include.stack.local.postgres import port_is_free, programs


def open_psql(database: str, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by psql on `source`, `target` or `airflow`, with further arguments of psql.

    Raises StackError where the stack's server does not run.
    """
    is_own = database in needed_servers()
    if is_own:
        _require_running(database)
    uri = settings.AIRFLOW_DB.uri() if database == "airflow" else settings.connection_uri(f"{database}_db")
    parts = conninfo_to_dict(uri)
    if "sslpassword" in parts:
        raise StackError(
            f"{database}_db: psql would show the connection's sslpassword in the list of processes: "
            "use a key without a password"
        )
    password = parts.pop("password", None)  # by the environment: everybody can read the list of processes
    environment = {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
    program = _embedded() if is_own else _psql_for_others(str(parts.get("sslmode", "")))
    place = make_conninfo(**{key: str(value) for key, value in parts.items()})
    os.execve(program, ["psql", f"--dbname={place}", *arguments], environment)  # noqa: S606  # no shell is wanted


def _require_running(name: str) -> None:
    """Raise StackError where nothing answers on the port of a server. Docker's server may run in its place."""
    (server, embedded) = next(pair for pair in servers() if pair[0].name == name)
    if not embedded.is_running() and port_is_free(server.port):
        raise StackError(f"the {name} Postgres does not run on port {server.port}: `make start` starts it")


def _embedded() -> str:
    return str(programs(settings.POSTGRES_MAJOR) / "psql")


def _psql_for_others(sslmode: str) -> str:
    """Return the psql of this machine, else the embedded one, which was built without TLS."""
    found = shutil.which("psql")
    if not found and sslmode in ("require", "verify-ca", "verify-full"):
        raise StackError(f"the psql that comes with the stack speaks no TLS, and sslmode is {sslmode}: install psql")
    return found or _embedded()
