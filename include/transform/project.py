"""How dbt is run: one command on the project, the manifest that the warehouse DAG is rendered from, and the docs.

dbt connects to target_db through dbt/profiles.yml, which is filled from the connection's URI, and builds in the schemas
of one of its targets (see `include.transform.targets`).
"""

from __future__ import annotations

import difflib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from psycopg.pq import Conninfo

from include import settings
from include.errors import FinalError, TransientError
from include.transform.targets import schema_of, target_flags, target_variables

PARSED = settings.DBT_MANIFEST.parent / "parsed"  # what dbt writes when it parses the project
PARTIAL_PARSE = "partial_parse.msgpack"


def build(
    selection: str | None = None,
    *,
    unit_tests: bool = False,
    target: str = settings.WAREHOUSE_TARGET,
    target_uri: str | None = None,
) -> int:
    """Build and test what dbt's selection says, by default everything, and return dbt's exit code.

    Unit tests check the SQL and not the data, so they run only where somebody asks for them. Raises
    NothingSelectedError.
    """
    arguments = ["build"]
    arguments += [] if unit_tests else ["--exclude-resource-type", "unit_test"]
    arguments += ["--select", selection] if selection else []
    result = _invoke(arguments, target_uri, target)
    if selection and result.success and not getattr(result.result, "results", None):
        raise NothingSelectedError(_nothing_selected(selection))
    return 0 if result.success else 1


def run_dbt(arguments: Sequence[str], target_uri: str | None = None) -> int:
    """Run one dbt command on the project and return its exit code: 1 where a model, a test or dbt itself failed."""
    return 0 if _invoke(arguments, target_uri).success else 1


def _invoke(arguments: Sequence[str], target_uri: str | None, target: str = settings.WAREHOUSE_TARGET) -> Any:
    from dbt.cli.main import dbtRunner

    os.environ.update(profile_variables(target_uri or settings.connection_uri("target_db")) | target_variables(target))
    os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "False")
    folder = str(settings.DBT_PROJECT)
    return dbtRunner().invoke([*arguments, *target_flags(target), "--project-dir", folder, "--profiles-dir", folder])


def _nothing_selected(selection: str) -> str:
    models = settings.DBT_PROJECT / "models"
    names = {path.stem: path.relative_to(models).with_suffix("") for path in sorted(models.rglob("*.sql"))}
    words = re.findall(r"\w+", selection)
    close = [name for word in words for name in difflib.get_close_matches(word, names, n=1)]
    meant = f" (did you mean {' or '.join(dict.fromkeys(close))}?)" if close else ""
    return "\n  ".join(
        [
            f"--select {selection!r} matches nothing that can be built or tested{meant}. The models are:",
            *(".".join(path.parts) for path in names.values()),
        ]
    ) + (
        "\nA name selects one model, +name also what it reads, name+ also what reads it, and marts.finance a folder; "
        "unit tests count with --unit-tests alone"
    )


class DbtError(FinalError):
    """dbt can't parse its project or serve its docs; the message says why."""


class NothingSelectedError(FinalError):
    """A selection matches no model and no test. The message names it and lists the models."""


class DbtRunError(TransientError):
    """dbt could not reach its database or could not finish; its own messages say why."""


def manifest_is_stale() -> bool:
    """Return whether the manifest is missing, older than a file of the dbt project, or made with other settings."""
    if not settings.DBT_MANIFEST.exists() or not _made_with().exists() or _made_with().read_text() != _parse_settings():
        return True
    made = settings.DBT_MANIFEST.stat().st_mtime
    for path in settings.DBT_PROJECT.rglob("*"):
        if path.relative_to(settings.DBT_PROJECT).parts[0] in ("target", "logs"):
            continue
        # A folder is younger than the manifest when a file in it was removed since.
        if (path.is_dir() or path.suffix in (".sql", ".yml", ".md", ".csv")) and path.stat().st_mtime > made:
            return True
    return False


def _made_with() -> Path:
    """Return the file beside the manifest that holds the settings it was made with."""
    return settings.DBT_MANIFEST.with_suffix(".made-with")


def _parse_settings() -> str:
    return json.dumps({**project_variables(), "marts": schema_of("marts")})


def project_variables() -> dict[str, str]:
    """Return the environment variables that dbt_project.yml reads."""
    return {"WAREHOUSE_DEMO": "on" if settings.WITH_DEMO else "off"}


def make_manifest() -> None:
    """Have dbt write the manifest that the warehouse DAG is rendered from, if it is stale. Raises DbtError.

    A reader finds the old manifest or the new one, never half of one. Of two calls at once the second waits for the
    first, and finds its work done.
    """
    if not manifest_is_stale():
        return
    try:
        PARSED.mkdir(parents=True, exist_ok=True)
        with (PARSED / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if manifest_is_stale():
                _parse()
    except OSError as error:
        raise DbtError(
            f"{PARSED}: dbt's manifest can't be written there ({error.strerror}): make the folder writable, or name "
            "another file with DBT_MANIFEST=<file>"
        ) from None


def _parse() -> None:
    began = time.time()
    variables = profile_variables(settings.connection_uri("target_db")) | target_variables()
    done = subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", "parse", *target_flags(), "--profiles-dir=."],
        cwd=settings.DBT_PROJECT,
        env={**os.environ, **variables, "DBT_TARGET_PATH": str(PARSED), "DBT_LOG_PATH": str(PARSED)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DbtError(f"dbt can't parse the project in {settings.DBT_PROJECT}:\n{done.stdout}{done.stderr}")
    partial = PARSED / PARTIAL_PARSE
    if PARSED.is_relative_to(settings.DBT_PROJECT) and partial.exists():  # Cosmos looks for it in target/
        target = settings.DBT_PROJECT / "target"
        target.mkdir(exist_ok=True)
        shutil.copy(partial, target)
    made = PARSED / "manifest.json"
    os.utime(made, (began, began))  # a file that was edited while dbt parsed is younger than the manifest then
    made.replace(settings.DBT_MANIFEST)
    _made_with().write_text(_parse_settings())


def watch_project() -> NoReturn:
    """Make the manifest again whenever a file of dbt/ changes. It stays while dbt can't parse the project."""
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
    """Return the environment variables through which dbt connects where a postgresql:// URI says.

    TARGET_DB_* are those of dbt/profiles.yml. Parameters such as sslmode go into libpq's own variables, which the
    driver of dbt reads.
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
        **project_variables(),
    }


def make_docs(target_uri: str | None = None) -> int:
    """Make the dbt docs of the tables in the target and return dbt's exit code.

    They have a folder of their own, so that dbt does not write the DAG's manifest in place.
    """
    folder, parsed = str(settings.DBT_DOCS), str(PARSED / PARTIAL_PARSE)
    arguments = ["--target-path", folder, "--log-path", folder, "--partial-parse-file-path", parsed]
    return run_dbt(["docs", "generate", *arguments], target_uri)


def docs_are_stale() -> bool:
    """Return whether the dbt docs are missing or older than the manifest."""
    made = settings.DBT_DOCS / "catalog.json"
    return not made.exists() or made.stat().st_mtime < settings.DBT_MANIFEST.stat().st_mtime
