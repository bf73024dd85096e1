"""Start, stop and clean the stack without Docker: three Postgres servers and Airflow.

Starting is safe to repeat: what runs is left alone, and a start that fails ends what it has begun. A lock file makes
two starts or stops of one clone wait for each other.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import psutil
from psycopg.conninfo import conninfo_to_dict

from include import settings
from include.errors import FinalError
from include.postgres import Role
from include.stack import DEMO_MADE, demo_package
from include.stack.local import airflow
from include.stack.local.api import Api, wait_for
from include.stack.local.postgres import PostgresServer, port_is_free
from include.stack.logins import ui_users
from include.transform import make_manifest

# Small beside Airflow itself, and enough for the demo and for real files.
SERVER_OPTIONS = {
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "jit": "off",
    "log_min_duration_statement": "5s",
    # No value of a row in the server's log: no parameters, no failing statement, no detail of an error.
    "log_parameter_max_length": "0",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
_FOLDERS = ("airflow", "cosmos", "databases", "landing", "landing_archive", "logs", "run", "web")
_OWN = "stack-was-here"  # an empty file: `clean` may remove _FOLDERS beside it
_LANDING_ROOT = "landing-root"  # holds the LANDING_ROOT of somebody's own that this stack has landed
# What a person can cause and mend: rights, a full or read-only disk, a file where a folder should be.
_ERRORS_OF_A_FOLDER = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
)


class StackError(FinalError):
    """The stack can't be started or stopped; the message says what is in the way and what to do."""


def say(text: str) -> None:
    """Print what goes on to stderr, for the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Hold this clone's lock for a `with` block. Waits where another start or stop holds it.

    Raises StackError, also for files below LOCAL_ROOT that can't be written in the `with` block.
    """
    with _folder_errors():
        settings.LOCAL.mkdir(parents=True, exist_ok=True)
        with (settings.LOCAL / "lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another start or stop of this clone is under way: waiting for it")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield


@contextlib.contextmanager
def _folder_errors() -> Iterator[None]:
    """Turn an OSError that a person can mend into a StackError. Any other one is a bug and keeps its traceback."""
    try:
        yield
    except OSError as error:
        if error.errno not in _ERRORS_OF_A_FOLDER:
            raise
        raise StackError(
            f"{error.filename or settings.LOCAL}: can't be written ({error.strerror}): the stack keeps its data below "
            f"LOCAL_ROOT={settings.LOCAL}. Make room there and give this user the right to write, or name another "
            "folder with LOCAL_ROOT=<folder>"
        ) from error


def servers() -> list[tuple[settings.Server, PostgresServer]]:
    """Return the three servers of the settings, each with the embedded server that runs it."""
    majors = {"airflow": settings.AIRFLOW_POSTGRES_MAJOR}
    return [
        (
            server,
            PostgresServer(
                folder=settings.LOCAL / "databases" / server.name,
                port=server.port,
                major=majors.get(server.name, settings.POSTGRES_MAJOR),
                options=SERVER_OPTIONS,
            ),
        )
        for server in (settings.SOURCE, settings.TARGET, settings.AIRFLOW_DB)
    ]


def needed_servers() -> tuple[str, ...]:
    """Return the names of the servers that the stack runs: Airflow's, and those that no connection setting replaces."""
    replaceable = {"source": "AIRFLOW_CONN_SOURCE_DB", "target": "AIRFLOW_CONN_TARGET_DB"}
    return ("airflow", *(name for name, variable in replaceable.items() if not settings.setting(variable, "")))


def start_databases(names: tuple[str, ...]) -> list[str]:
    """Start the named servers that do not run yet and return their names. Raises StackError for a taken port."""
    wanted = [(server, embedded) for server, embedded in servers() if server.name in names]
    idle = [(server, embedded) for server, embedded in wanted if not embedded.is_running()]
    for server, _ in idle:
        require_free_port(server.port, server.port_variable, f"the {server.name} Postgres")

    def start_one(pair: tuple[settings.Server, PostgresServer]) -> None:
        server, embedded = pair
        embedded.start([Role(server.user, server.password, server.databases)])

    names_begun = [server.name for server, _ in idle]
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(start_one, wanted))
    except BaseException:
        _stop_databases(names_begun)
        raise
    return names_begun


def start_databases_alone() -> None:
    """Start source and target, and make the dbt manifest and the demo's data, for an Airflow that others start.

    A server that a connection setting replaces is not started.
    """
    with locked():
        mark_as_own()
        start_databases(tuple(name for name in needed_servers() if name != settings.AIRFLOW_DB.name))
        make_manifest()
        prepare_demo()


def prepare_demo() -> None:
    """Make the demo's data, where the project still has a demo and source_db is its own."""
    demo = demo_package()
    if demo:
        demo.prepare_demo(settings.SOURCE.uri())


def start() -> None:
    """Start the whole stack and return when it is healthy. A start that fails ends what it has begun."""
    _check_ui()
    with locked():
        mark_as_own()
        began = time.monotonic()
        overridden = airflow.overridden_variables()
        if overridden:
            say(f"set by the stack itself, so your values do not count: {', '.join(overridden)}")
        parts = [airflow.Component(name) for name in airflow.COMPONENTS]
        api = Api()
        if all(part.process() and not part.has_old_settings() for part in parts) and _is_healthy(api):
            start_databases(needed_servers())
            _ensure_pool(api)
            _ensure_connections(api)
            say(f"stack: runs already, {ui()}")
            return
        if any(part.has_old_settings() for part in parts):
            say("stack: runs with other settings or older code of include/orchestration: restarting Airflow")
            airflow.stop()
        if not airflow.Component("api-server").process():
            require_free_port(settings.UI_PORT, settings.UI_PORT_VARIABLE, "the Airflow UI", settings.UI_HOST)
        demo = demo_package()
        if demo and any(not airflow.Component(name).process() for name in demo.programs()):
            require_free_port(demo.PORT, demo.PORT_VARIABLE, "the demo's web server")
        _check_landing_root()
        running = [part for part in parts if part.process()]
        started = start_databases(needed_servers())
        try:
            say(f"databases: up after {time.monotonic() - began:.0f} s")
            with ThreadPoolExecutor() as pool:
                manifest = pool.submit(make_manifest)
                _migrate_once()
                manifest.result()
            prepare_demo()
            airflow.start()
            wait_for(lambda: _is_healthy(api), 180, "Airflow's health")
            _ensure_pool(api)
            _ensure_connections(api)
        except BaseException:
            say("the start failed: ending what it had begun")
            for part in parts:
                if part not in running:
                    part.stop()
            _stop_databases(started)
            raise
        say(f"Airflow: healthy after {time.monotonic() - began:.0f} s, {ui()}")


def stop() -> None:
    """End Airflow, the databases and every process that they left; nothing of this clone runs afterwards."""
    with locked():
        airflow.stop()
        left = _leftovers()
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=5)
        _stop_databases([server.name for server, _ in servers()])
        say("stack: stopped")


def clean() -> None:
    """End the stack and remove its own files; whatever else lies in the same folder stays."""
    stop()
    if not is_own():
        say(f"nothing removed: no stack was started in {settings.LOCAL}")
        return
    with _folder_errors():
        for name in (*_FOLDERS, DEMO_MADE, _LANDING_ROOT, "lock", _OWN):
            path = settings.LOCAL / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it holds somebody's other files
        settings.LOCAL.rmdir()


def is_own() -> bool:
    """Return whether a stack was started in LOCAL_ROOT, so that the folders there are its own."""
    return settings.LOCAL == settings.PROJECT / ".local" or (settings.LOCAL / _OWN).exists()


def mark_as_own() -> None:
    """Mark LOCAL_ROOT as the stack's, for `clean`. Raises StackError where it holds files of somebody else."""
    # `airflow` does not count: importing Airflow has made that folder before this check could look.
    found = [name for name in _FOLDERS if name != "airflow" and (settings.LOCAL / name).exists()]
    if found and not is_own():
        raise StackError(f"LOCAL_ROOT={settings.LOCAL} holds {', '.join(found)} of somebody's own: name another folder")
    (settings.LOCAL / _OWN).touch()


def ui() -> str:
    """Return where the UI is and, where it asks for a login, where the passwords are."""
    place = f"UI on {airflow.UI_URL}"
    if not settings.UI_LOGIN:
        return place
    return f"{place}; the passwords of its users ({', '.join(ui_users())}) are in {airflow.PASSWORDS}"


def require_free_port(port: int, variable: str, what: str, address: str = "127.0.0.1") -> None:
    """Raise StackError where a port is taken. It names the holder, and the variable that sets another port."""
    if port_is_free(port, address):
        return
    holders = []
    for process in psutil.process_iter():  # each by itself, because looking into another user's process is an error
        with contextlib.suppress(psutil.Error):
            if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in process.net_connections("tcp")):
                holders.append(f"{process.name()} (process {process.pid})")
    raise StackError(
        f"port {port}, meant for {what}, is taken{' by ' + ', '.join(holders) if holders else ''}: "
        f"stop that, or choose another with {variable}=<port>"
    )


def _check_ui() -> None:
    """Raise StackError for a UI that others could reach without a login, or that has no address of this machine."""
    if not settings.UI_IS_LOCAL and not settings.UI_LOGIN:
        raise StackError(
            f"AIRFLOW_UI_HOST={settings.UI_HOST} with UI_LOGIN=off would make everybody who reaches this machine an "
            "administrator: leave UI_LOGIN out, or the UI on 127.0.0.1"
        )
    if not port_is_free(0, settings.UI_HOST):  # port 0 is any free one
        raise StackError(
            f"AIRFLOW_UI_HOST={settings.UI_HOST} is no address of this machine: name one of its own, "
            "127.0.0.1 for this machine alone, or 0.0.0.0 for all of them"
        )


def _is_healthy(api: Api) -> bool:
    health = api.health()
    return all(health.get(name) == "healthy" for name in ("metadatabase", "scheduler", "triggerer", "dag_processor"))


def _migrate_once() -> None:
    """Migrate Airflow's database, unless this version of Airflow has done so in this data folder."""
    done = settings.LOCAL / "databases" / "airflow" / "migrated"
    wanted = version("apache-airflow-core")
    if not done.exists() or done.read_text() != wanted:
        airflow.migrate()
        done.write_text(wanted)


def _ensure_pool(api: Api) -> None:
    slots = settings.TRANSFER_POOL_SLOTS
    pools = {pool["name"]: pool["slots"] for pool in api.all("/pools", "pools")}
    pool = {"name": "transfer", "slots": slots, "description": "tables that move at the same time"}
    if "transfer" not in pools:
        api.post("/pools", {**pool, "include_deferred": False})
    elif pools["transfer"] != slots:
        api.patch("/pools/transfer", {**pool, "include_deferred": False})


def _ensure_connections(api: Api) -> None:
    """Show source_db and target_db on the UI's page of connections.

    Without their passwords: Airflow takes the whole connection from the environment, so a second copy of a password in
    Airflow's database would be of no use, and could be stale or stolen.
    """
    rows = {row["connection_id"]: row for row in api.all("/connections", "connections")}
    for name in ("source_db", "target_db"):
        parts = conninfo_to_dict(settings.connection_uri(name))
        port = str(parts.pop("port", ""))
        wanted = {
            "connection_id": name,
            "conn_type": "postgres",
            "description": f"To look at. What counts is the environment variable AIRFLOW_CONN_{name.upper()}: it alone "
            "holds the password, and a change made here has no effect.",
            "host": parts.pop("host", None),
            "port": int(port) if port.isdecimal() else None,
            "login": parts.pop("user", None),
            "schema": parts.pop("dbname", None),
            "extra": json.dumps({key: value for key, value in parts.items() if not key.endswith("password")}),
        }
        if name not in rows:
            api.post("/connections", wanted)
        elif any(rows[name][key] != value for key, value in wanted.items()):
            api.patch(f"/connections/{name}", wanted)


def _stop_databases(names: list[str]) -> None:
    stops: list[Callable[[], None]] = [embedded.stop for server, embedded in servers() if server.name in names]
    with ThreadPoolExecutor() as pool:
        for stopped in [pool.submit(stop_one) for stop_one in stops]:
            stopped.result()


def _leftovers() -> list[psutil.Process]:
    """Return the processes of this stack that outlived their parents."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(airflow.MARK) == str(airflow.HOME):
                found.append(process)
    return found


def _check_landing_root() -> None:
    """Raise StackError for a LANDING_ROOT that is no folder, and for demo rows among those of somebody's own files."""
    own = settings.LOCAL / _LANDING_ROOT
    if settings.setting("LANDING_ROOT", ""):
        if "://" not in settings.LANDING_ROOT and not Path(settings.LANDING_ROOT).is_dir():
            raise StackError(
                f"LANDING_ROOT={settings.LANDING_ROOT} is no folder: make it, or name the folder that holds a folder "
                "for each source"
            )
        own.write_text(settings.LANDING_ROOT)
    elif settings.MAKES_DEMO_DATA and own.exists():
        raise StackError(
            f"this stack has landed the files of {own.read_text()}: name that folder again with LANDING_ROOT=, "
            "or remove the stack's data with `make clean`; the demo's made-up rows would mix with the real ones"
        )
