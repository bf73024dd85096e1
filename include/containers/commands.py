"""The first steps of the stack in containers: `python -m include.containers setup`, `watch` or `manifest`.

They run in the project's own image and use what the stack without Docker uses.
"""

from __future__ import annotations

import os
import sys
import time
from urllib.parse import quote

from include import settings
from include.errors import FinalError, WarehouseError
from include.local.stack import prepare_demo
from include.postgres import ConnectionFailedError, Role, ensure_role, session
from include.transform import DbtError, make_manifest

HOSTS = {settings.SOURCE: "source-db", settings.TARGET: "target-db"}  # the services of compose.yml


class SetupError(FinalError):
    """A first step can't be done; the message says which and what to do."""


def main(arguments: list[str]) -> int:
    """Run one verb: `manifest` when the image is built, `setup` before Airflow starts, `watch` as long as it runs."""
    verbs = {"manifest": make_manifest, "setup": setup, "watch": watch}
    if len(arguments) != 1 or arguments[0] not in verbs:
        print(f"usage: python -m include.containers {'|'.join(verbs)}", file=sys.stderr)
        return 2
    try:
        verbs[arguments[0]]()
    except WarehouseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def uri(server: settings.Server, user: str, database: str) -> str:
    """Return the libpq URI by which the containers reach a server."""
    return f"postgresql://{user}:{quote(server.password, safe='')}@{HOSTS[server]}:5432/{database}"


def setup() -> None:
    """Make roles and databases, what the demo reads and the dbt manifest where they are missing. Safe to repeat.

    Raises SetupError.
    """
    for server, host in HOSTS.items():
        try:
            with session(uri(server, "postgres", "postgres"), host) as connection:
                ensure_role(connection, Role(server.user, server.password, server.databases))
        except ConnectionFailedError as error:
            raise SetupError(
                f"{error}\nIts data keeps the password that it was made with: set that one again with "
                f"{server.name.upper()}_DB_PASSWORD, or remove the data with `astro dev kill`"
            ) from error
    for folder in (settings.LANDING_ROOT, settings.ARCHIVE_ROOT):
        if not os.access(folder, os.W_OK):
            raise SetupError(
                f"{folder}: the user astro (id {os.getuid()}, group {os.getgid()}) can't write there. Give the folder "
                "of your machine that is mounted there to that user or group, or let everybody write: chmod -R a+rwX"
            )
    prepare_demo(uri(settings.SOURCE, settings.SOURCE.user, settings.SOURCE.databases[0]))
    make_manifest()


def watch() -> None:
    """Make the manifest again whenever a file of dbt/ changes. A project that dbt can't parse leaves the last one."""
    told = ""
    while True:
        try:
            make_manifest()
            told = ""
        except DbtError as error:
            if str(error) != told:
                told = str(error)
                print(told, file=sys.stderr, flush=True)
        time.sleep(15 if told else 2)  # dbt takes seconds to find out that a model is still broken
