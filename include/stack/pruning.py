"""Removes what Airflow piles up: old rows of its own database and old logs. `warehouse stack prune`, weekly by cron.

No DAG does this. In Airflow 3 a task has no access to Airflow's database, and giving it to one task gives it to all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from include import settings
from include.errors import FinalError
from include.postgres import session
from include.report import table

LARGEST_LOG = 10 * 2**20  # bytes; a process's log that is larger is set aside, and the one before it removed
_DAY = 24 * 60 * 60


class PruneError(FinalError):
    """Airflow's database could not be pruned; the message holds the end of what Airflow said."""


def prune_local(days: int = settings.HISTORY_DAYS) -> str:
    """Prune the stack without Docker, running or not but with its databases up, and return a report.

    Raises ConnectionFailedError and PruneError.
    """
    from include.stack.local import airflow, lifecycle

    (embedded,) = [embedded for server, embedded in lifecycle.servers() if server == settings.AIRFLOW_DB]
    if not embedded.is_running():  # the stack in Docker has its database on the same port, with the same password
        raise PruneError(
            f"Airflow's own database in {embedded.folder} does not run: `make start` starts it, and the one of the "
            "stack in Docker is not pruned by this command"
        )
    with session(settings.AIRFLOW_DB.uri(), "Airflow's own database (`make start` starts it)"):
        pass
    environment = airflow.environment()
    return _prune(days, environment, [airflow.LOGS / "tasks", airflow.LOGS / "dag_files"], airflow.LOGS)


def prune_configured(days: int = settings.HISTORY_DAYS) -> str:
    """Prune the Airflow that this process's environment configures, as in Docker, and return a report.

    Docker itself rotates the logs of the processes. Raises PruneError.
    """
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    logs = Path(os.environ.get("AIRFLOW__LOGGING__BASE_LOG_FOLDER", home / "logs"))
    return _prune(days, os.environ, [logs], None)


def _prune(days: int, environment: Mapping[str, str], folders: list[Path], process_logs: Path | None) -> str:
    until = datetime.now(UTC) - timedelta(days=days)
    _clean_database(until, environment)
    removed = [path for folder in folders for path in remove_old_files(folder, until.timestamp())]
    rotated = list(rotate(process_logs)) if process_logs else []
    counts: list[dict[str, object]] = [
        {"what": "runs, tasks and events in Airflow's database", "removed": f"older than {until:%Y-%m-%d %H:%M} UTC"},
        {"what": "files of task and DAG logs", "removed": len(removed)},
        {"what": "logs of processes, set aside as .1", "removed": len(rotated)},
    ]
    return table(["what", "removed"], counts if process_logs else counts[:2])


def _clean_database(until: datetime, environment: Mapping[str, str]) -> None:
    # --skip-archive: otherwise the rows move to tables of their own, and the database grows as before.
    options = ["--skip-archive", "--yes", "--error-on-cleanup-failure"]
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "clean", "--clean-before-timestamp", until.isoformat(), *options],
        env=dict(environment),
        cwd=settings.PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = "\n".join(done.stdout.splitlines()[-20:])
        raise PruneError(f"`airflow db clean` failed, and no log was removed. It ends:\n{said}")


def remove_old_files(folder: Path, until: float) -> Iterator[Path]:
    """Remove the files below a folder that were last written before `until`, and empty folders; yields the files.

    A folder that was changed within a day stays: a task may be about to write its log there.
    """
    kept_until = time.time() - _DAY
    idle = {above for above, _, _ in os.walk(folder) if Path(above).stat().st_mtime < kept_until} - {str(folder)}
    for above, _, files in os.walk(folder, topdown=False):  # `idle` first, because removing a file changes its folder
        for path in (Path(above) / name for name in files):
            if path.lstat().st_mtime < until:
                path.unlink(missing_ok=True)
                yield path
        if above in idle and not any(Path(above).iterdir()):
            Path(above).rmdir()


def rotate(folder: Path) -> Iterator[Path]:
    """Set the large logs of running processes aside, as <log>.1, and yield them.

    The file is copied and then emptied, because the process goes on writing to it. Lines that it writes between the two
    are lost.
    """
    for log in folder.glob("*.log"):
        if log.stat().st_size > LARGEST_LOG:
            shutil.copy2(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)
            yield log
