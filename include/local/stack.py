"""Start, stop and look at the stack without Docker: three Postgres servers and Airflow.

Starting is safe to repeat: what runs is left alone, and what a failed start has begun is ended again. A lock file
keeps two starts or stops of one clone apart.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import psutil

from include import settings
from include.errors import FinalError
from include.local import airflow
from include.local.api import Api, wait_for
from include.local.postgres import PostgresServer, port_is_free
from include.postgres import Role
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


class StackError(FinalError):
    """The stack can't be started or stopped; the message says what is in the way and what to do."""


def say(text: str) -> None:
    """Tell the person at the terminal what goes on."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Hold this clone's lock, waiting for another start or stop of it to end."""
    settings.LOCAL.mkdir(parents=True, exist_ok=True)
    with (settings.LOCAL / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another start or stop of this clone is under way: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def servers() -> list[tuple[settings.Server, PostgresServer]]:
    """Return the three servers of the settings with the embedded server that stands for each."""
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


def start_databases(names: tuple[str, ...]) -> list[str]:
    """Start the named servers that do not run yet and return their names. Raises StackError for a taken port."""
    wanted = [(server, embedded) for server, embedded in servers() if server.name in names]
    idle = [(server, embedded) for server, embedded in wanted if not embedded.is_running()]
    for server, _ in idle:
        demand_port(server.port, server.port_variable, f"the {server.name} Postgres")

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


def start() -> None:
    """Bring the whole stack up and return when it is healthy. What this call began is ended when it fails."""
    with locked():
        claim()
        began = time.monotonic()
        parts = [airflow.Component(name) for name in airflow.COMPONENTS]
        api = Api()
        if all(part.process() and not part.has_old_settings() for part in parts) and _is_healthy(api):
            start_databases(_needed())
            make_manifest()
            _ensure_pool(api)
            say(f"stack: runs already, UI on {airflow.UI_URL}")
            return
        if any(part.has_old_settings() for part in parts):
            say("stack: runs with other settings or older code of include/orchestration, so Airflow is started anew")
            airflow.stop()
        if not airflow.Component("api-server").process():
            demand_port(settings.UI_PORT, settings.UI_PORT_VARIABLE, "the Airflow UI")
        if settings.IS_DEMO and not airflow.Component("demo-web").process():
            demand_port(settings.DEMO_WEB_PORT, settings.DEMO_WEB_PORT_VARIABLE, "the demo's web server")
        _check_roots()
        running = [part for part in parts if part.process()]
        started = start_databases(_needed())
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
        except BaseException:
            say("the start failed: ending what it had begun")
            for part in parts:
                if part not in running:
                    part.stop()
            _stop_databases(started)
            raise
        say(f"Airflow: healthy after {time.monotonic() - began:.0f} s, UI on {airflow.UI_URL}")


def stop() -> None:
    """End Airflow and the databases, and whatever they left behind; nothing of this clone runs afterwards."""
    with locked():
        airflow.stop()
        left = _leftovers()
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=5)
        _stop_databases([server.name for server, _ in servers()])
        say("stack: stopped")


_FOLDERS = ("airflow", "cosmos", "databases", "landing", "landing_archive", "logs", "run", "web")
_MARK = "stack-was-here"


def _is_own() -> bool:
    return settings.LOCAL == settings.PROJECT / ".local" or (settings.LOCAL / _MARK).exists()


def claim() -> None:
    """Mark the stack's folder as its own, for `clean`. Raises StackError where somebody's files are in its places."""
    # Airflow makes its home as soon as it is imported, before anybody could look
    found = [name for name in _FOLDERS if name != "airflow" and (settings.LOCAL / name).exists()]
    if found and not _is_own():
        raise StackError(f"LOCAL_ROOT={settings.LOCAL} holds {', '.join(found)} of somebody's own: name another folder")
    (settings.LOCAL / _MARK).touch()


def clean() -> None:
    """End the stack and remove what it has made, and nothing else that may lie in the same folder."""
    stop()
    if not _is_own():
        say(f"nothing removed: no stack was started in {settings.LOCAL}")
        return
    for name in (*_FOLDERS, "demo-made", "landing-root", "lock", _MARK):
        path = settings.LOCAL / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something else lies in it
        settings.LOCAL.rmdir()


def prepare_demo(source_uri: str = settings.SOURCE.uri()) -> None:
    """Make what the demo reads, unless it was made before: landing files, applications' tables, the schools file."""
    from include import demo

    done = settings.LOCAL / "demo-made"
    if settings.IS_DEMO and not done.exists():
        demo.make_landing_files(settings.LANDING_ROOT)
        demo.make_schools_file(settings.DEMO_WEB / "learning_modality.csv")
        demo.make_tables(source_uri)
        done.touch()


def describe() -> list[dict[str, str]]:
    """Return one row per part of the stack: its name, whether it runs, its process id and its port."""
    rows = []
    for server, embedded in servers():
        pid = embedded.pid()
        rows.append(_row(f"postgres {server.name}", pid, str(server.port)))
    for name in airflow.COMPONENTS:
        process = airflow.Component(name).process()
        port = str(settings.UI_PORT) if name == "api-server" else ""
        rows.append(_row(f"airflow {name}", process.pid if process else None, port))
    return rows


def demand_port(port: int, variable: str, what: str) -> None:
    """Raise StackError, with the holder's name and the variable that moves the port, when a port is taken."""
    if port_is_free(port):
        return
    holders = []
    for process in psutil.process_iter():  # one by one: others' processes may not be looked into
        with contextlib.suppress(psutil.Error):
            if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in process.net_connections("tcp")):
                holders.append(f"{process.name()} (process {process.pid})")
    raise StackError(
        f"port {port}, meant for {what}, is taken{' by ' + ', '.join(holders) if holders else ''}: "
        f"stop that, or choose another with {variable}=<port>"
    )


def _needed() -> tuple[str, ...]:
    """Return the servers that the stack runs on: Airflow's, and those that no connection of somebody's own replaces."""
    replaceable = {"source": "AIRFLOW_CONN_SOURCE_DB", "target": "AIRFLOW_CONN_TARGET_DB"}
    return ("airflow", *(name for name, variable in replaceable.items() if not settings.setting(variable, "")))


def _is_healthy(api: Api) -> bool:
    health = api.health()
    return all(health.get(name) == "healthy" for name in ("metadatabase", "scheduler", "triggerer", "dag_processor"))


def _row(name: str, pid: int | None, port: str) -> dict[str, str]:
    return {"part": name, "state": "running" if pid else "stopped", "pid": str(pid or ""), "port": port}


def _migrate_once() -> None:
    """Migrate Airflow's database unless this Airflow version already did so in this data folder."""
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


def _stop_databases(names: list[str]) -> None:
    stops: list[Callable[[], None]] = [embedded.stop for server, embedded in servers() if server.name in names]
    with ThreadPoolExecutor() as pool:
        for stopped in [pool.submit(stop_one) for stop_one in stops]:
            stopped.result()


def _leftovers() -> list[psutil.Process]:
    """Return processes that this stack started and that outlived their parents."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(airflow.MARK) == str(airflow.HOME):
                found.append(process)
    return found


def _check_roots() -> None:
    """Refuse a landing root that isn't there, and made-up people among the real ones of an earlier run."""
    real = settings.LOCAL / "landing-root"
    if settings.setting("LANDING_ROOT", ""):
        if "://" not in settings.LANDING_ROOT and not Path(settings.LANDING_ROOT).is_dir():
            raise StackError(f"LANDING_ROOT={settings.LANDING_ROOT} is no folder")
        real.write_text(settings.LANDING_ROOT)
    elif settings.IS_DEMO and real.exists():
        raise StackError(
            f"this stack has landed the files of {real.read_text()}: name that folder again with LANDING_ROOT=, "
            "or remove the stack's data with `make clean`; the demo's made-up rows would mix with the real ones"
        )
