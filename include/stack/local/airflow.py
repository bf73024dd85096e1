"""Airflow as four ordinary processes, scheduler, dag-processor, api-server and triggerer, and the demo's web server.

They run detached from the terminal that started them and write their logs to .local/logs. Files in .local/run hold
their process ids, each with the process's start time: an operating system gives the id of an ended process to another
one, and without the start time `stop` would end that one.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from include import settings
from include.contracts import read_contracts
from include.errors import FinalError
from include.stack import demo_package
from include.stack.logins import ensure_passwords
from include.stack.private import make_fernet_key, make_secret, write_private

HOME = settings.LOCAL / "airflow"
os.environ.setdefault("AIRFLOW_HOME", str(HOME))  # without it, importing Airflow makes the folder ~/airflow
LOGS = settings.LOCAL / "logs"
RUN = settings.LOCAL / "run"
# --skip-serve-logs: the api-server reads the task logs from the disk that all share, so no log server needs a port.
COMPONENTS: dict[str, tuple[str, ...]] = {
    "api-server": ("airflow", "api-server"),
    "scheduler": ("airflow", "scheduler", "--skip-serve-logs"),
    "dag-processor": ("airflow", "dag-processor"),
    "triggerer": ("airflow", "triggerer", "--skip-serve-logs"),
}
DEMO = demo_package()
if DEMO:
    COMPONENTS |= DEMO.programs()
# Imported once by the process that workers are forked from. Libraries only: a change in a module of this project must
# reach the next task without a restart.
PRELOAD = (
    "airflow.providers.standard.decorators.python",
    "airflow.sdk.execution_time.task_runner",
    "cosmos.converter",
    "cosmos.operators.watcher",
    "cosmos.plugin.airflow3",
    "dbt.adapters.postgres",
    "dbt.cli.main",
    "jsonschema_rs",
    "open_data_contract_standard.model",
    "psycopg",
)
MARK = "WAREHOUSE_STACK"  # a variable of every process of a stack; its value is that stack's Airflow home
PASSWORDS = HOME / "ui_passwords.json"  # of the UI's users, by name
_OF_AIRFLOW = ("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_")  # variables that Airflow reads itself


def _url(host: str) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.UI_PORT}"


# Where the programs of this machine reach the api-server, and where people do. 0.0.0.0 and :: are every address.
LOCAL_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.UI_HOST, settings.UI_HOST)  # noqa: S104
LOCAL_URL = _url(LOCAL_HOST)
_HOSTS = {"127.0.0.1": "localhost", "0.0.0.0": socket.gethostname(), "::": socket.gethostname()}  # noqa: S104
UI_URL = _url(_HOSTS.get(settings.UI_HOST, settings.UI_HOST))


class AirflowError(FinalError):
    """Airflow could not be prepared or started; the message holds the end of the log that says why."""


def environment() -> dict[str, str]:
    """Return the environment of every process of the local stack: the shell's, with `own_environment` on top."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OF_AIRFLOW)}
    for name in ("NO_PROXY", "no_proxy"):  # tasks call the api-server on this machine
        kept[name] = ",".join(filter(None, [kept.get(name), *dict.fromkeys(["127.0.0.1", "localhost", LOCAL_HOST])]))
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    return {**kept, **own_environment()}


def settings_digest() -> str:
    """Return a checksum of what running processes keep: their settings and the code of the triggerer."""
    code = [
        path.read_text(encoding="utf-8") for path in sorted((settings.PROJECT / "include/orchestration").glob("*.py"))
    ]
    return hashlib.sha256(json.dumps([own_environment(), code], sort_keys=True).encode()).hexdigest()


def own_environment() -> dict[str, str]:
    """Return the variables that the stack sets, and those of Airflow that the user has set in the shell or in .env.

    The user's win over the stack's defaults. What the stack needs wins over the user's.
    """
    return {
        **_airflow_defaults(),
        **settings.settings_that_begin_with(*_OF_AIRFLOW),
        **_needed_by_the_stack(),
        **_settings_of_the_project(),
    }


def overridden_variables() -> list[str]:
    """Return the names of the user's variables of Airflow that do not count, because the stack needs other values."""
    needed = _needed_by_the_stack()
    forms = {name + suffix for name in needed for suffix in ("", "_CMD", "_SECRET")}  # Airflow reads all three
    users = settings.settings_that_begin_with("AIRFLOW__", "AIRFLOW_HOME")
    return [name for name, value in users.items() if name in forms and needed.get(name) != value]


def _airflow_defaults() -> dict[str, str]:
    """Return settings of Airflow that suit a small machine and this project; a user may want others."""
    return {
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": str(settings.PARALLELISM),
        "AIRFLOW__API__BASE_URL": UI_URL,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "15",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "2",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",  # tasks of a killed scheduler start again soon
        # Workers are forked from a process that has imported what tasks need. Otherwise each one imports it again.
        "AIRFLOW__SCHEDULER__MP_START_METHOD": "forkserver",
        "AIRFLOW__CORE__MP_FORKSERVER_PRELOAD": ",".join(PRELOAD),
        "AIRFLOW__COSMOS__DBT_DOCS_PROJECTS": json.dumps(
            {"warehouse": {"dir": str(settings.DBT_DOCS), "index": "index.html", "name": "dbt docs"}}
        ),
        "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
    }


def _needed_by_the_stack() -> dict[str, str]:
    """Return settings of Airflow without which the stack's parts do not find each other, or lose what they protect."""
    keys = _secret_keys()
    passwords = ui_passwords() if settings.UI_LOGIN else {}
    # Tokens of before must not outlive a change of logins, so their key changes with these.
    jwt = hashlib.sha256(json.dumps([keys["jwt"], passwords]).encode()).hexdigest() if passwords else keys["jwt"]
    return {
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__DAGS_FOLDER": str(settings.PROJECT / "dags"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": str(not settings.UI_LOGIN),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(settings.UI_USERS),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(PASSWORDS),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{LOCAL_URL}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": keys["fernet"],
        "AIRFLOW__API__SECRET_KEY": keys["api"],
        "AIRFLOW__API_AUTH__JWT_SECRET": jwt,
        "AIRFLOW__API__HOST": settings.UI_HOST,
        "AIRFLOW__API__PORT": str(settings.UI_PORT),
        "AIRFLOW__API__SSL_CERT": "",  # tasks reach the api-server by an address that no certificate names
        "AIRFLOW__API__SSL_KEY": "",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": settings.AIRFLOW_DB.uri().replace("://", "+psycopg2://", 1),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(LOGS / "tasks"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(LOGS / "dag_files"),
        "AIRFLOW__COSMOS__CACHE_DIR": str(settings.LOCAL / "cosmos"),  # /tmp/cosmos is shared by all users and clones
        "AIRFLOW__COSMOS__ENABLE_WATCHER_RELIABLE_RETRY": "False",  # include/orchestration decides about retries
    }


def _settings_of_the_project() -> dict[str, str]:
    """Return what DAGs and tasks of this project read."""
    ours = {
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "False",
        "AIRFLOW_CONN_SOURCE_DB": settings.connection_uri("source_db"),
        "AIRFLOW_CONN_TARGET_DB": settings.connection_uri("target_db"),
        "LANDING_ROOT": settings.LANDING_ROOT,
        "ARCHIVE_ROOT": settings.ARCHIVE_ROOT,
        **{name: settings.setting(name, "") for name in _settings_of_tasks()},
        **(DEMO.environment() if DEMO else {}),
        "WAREHOUSE_DEMO": "on" if settings.WITH_DEMO else "off",
        "PYTHONPATH": str(settings.PROJECT),
        MARK: str(HOME),
        "SPT_NOENV": "1",  # processes of Airflow rename themselves, and must not write over their variables for that
    }
    if sys.platform == "darwin":
        ours["OBJC_DISABLE_INITIALIZE_FORK_SAFETY"] = "YES"
    return ours


def _settings_of_tasks() -> list[str]:
    contracts = read_contracts()
    urls = [contract.url_setting for contract in contracts if contract.url_setting]
    tokens = [contract.token.setting for contract in contracts if contract.token and contract.token.setting]
    transfer = ["TRANSFER_MODES", "TRANSFER_TABLES", "TRANSFER_EXCLUDE"]
    warehouse = ["WAREHOUSE_SCHEDULE", "WAREHOUSE_TIMEZONE", "WAREHOUSE_TARGET", "DBT_SCHEMA_PREFIX"]
    return ["FIRST_RUN", "RETRY_SECONDS", "LANDING_PROXY", *transfer, *warehouse, *urls, *tokens]


def _secret_keys() -> dict[str, str]:
    """Return the keys that Airflow's processes share. They are made once, in a file that only its owner can read."""
    path = HOME / "keys.json"
    if not path.exists():
        write_private(path, json.dumps({"fernet": make_fernet_key(), "api": make_secret(), "jwt": make_secret()}))
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return found


def ui_passwords() -> dict[str, str]:
    """Return the passwords of the UI's users by name, kept in PASSWORDS. A new user gets one. Raises SettingError."""
    return ensure_passwords(PASSWORDS)


def migrate() -> None:
    """Bring Airflow's own database to the installed version. Raises AirflowError."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / "migrate.log"
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env=environment(),
            cwd=settings.PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise AirflowError(f"`airflow db migrate` failed. {log} ends:\n{end_of(log)}")


@dataclass(frozen=True)
class Component:
    """One process of the stack, with its log and the file that holds its process id."""

    name: str

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"

    @property
    def record(self) -> Path:
        return RUN / f"{self.name}.json"

    def process(self) -> psutil.Process | None:
        """Return the running process. None where there is none, or where its id now belongs to another process."""
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
            process = psutil.Process(record["pid"])
            same = abs(start_of(process) - record["started"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, KeyError, psutil.Error):
            return None
        return process if same else None

    def start(self) -> None:
        """Start the process unless it runs already."""
        if self.process():
            return
        for folder in (LOGS, RUN):
            folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", *COMPONENTS[self.name]],
                env=environment(),
                cwd=settings.PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started = start_of(psutil.Process(child.pid))
        record = {"pid": child.pid, "started": started, "settings": settings_digest()}
        self.record.write_text(json.dumps(record), encoding="utf-8")

    def has_old_settings(self) -> bool:
        """Return whether the process runs with other settings than this call's."""
        return bool(self.process()) and json.loads(self.record.read_text())["settings"] != settings_digest()

    def stop(self, patience: float = 15.0) -> None:
        """End the process and its children: with SIGTERM first, with SIGKILL after `patience` seconds."""
        process = self.process()
        if process:
            family = [process, *process.children(recursive=True)]
            _signal_all([process], signal.SIGTERM)
            psutil.wait_procs([process], timeout=patience)
            # Most children end with their parent. Those that do not are of no use without it.
            _, left = psutil.wait_procs(family, timeout=1)
            _signal_all(left, signal.SIGKILL)
            psutil.wait_procs(left, timeout=5)
        self.record.unlink(missing_ok=True)


def start_of(process: psutil.Process) -> float:
    """Return when a process started, as a number of seconds that does not change when somebody sets the clock."""
    # Linux counts start times from the boot. psutil adds the time of the boot, which Linux works out from the present
    # time: both move when the clock is set, and their difference does not.
    return float(process.create_time() - (psutil.boot_time() if sys.platform == "linux" else 0))


def _signal_all(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue


def start() -> None:
    """Start each process that does not run yet, and return before they are healthy."""
    for name in COMPONENTS:
        Component(name).start()


def stop() -> None:
    """End all processes and wait until they are gone. The scheduler ends first, so that no new task begins."""
    Component("scheduler").stop()
    others = [Component(path.stem) for path in RUN.glob("*.json") if path.stem != "scheduler"]
    with ThreadPoolExecutor() as pool:
        list(pool.map(Component.stop, others))


def dead_component() -> Component | None:
    """Return a component that was started and has ended by itself, or None."""
    for name in COMPONENTS:
        component = Component(name)
        if component.record.exists() and not component.process():
            return component
    return None


def end_of(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log file."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]) if log.exists() else ""
