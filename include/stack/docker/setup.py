"""The first steps of the stack in Docker, `warehouse stack setup`: the service `setup` of compose.yml runs them."""

from __future__ import annotations

import os
from urllib.parse import quote

from include import settings
from include.errors import FinalError
from include.postgres import ConnectionFailedError, Role, ensure_role, session
from include.stack import demo_package
from include.transform import make_manifest

HOSTS = {settings.SOURCE: "source-db", settings.TARGET: "target-db"}  # the services of compose.yml


class SetupError(FinalError):
    """A first step can't be done; the message says which and what to do."""


def uri(server: settings.Server, user: str, database: str) -> str:
    """Return the libpq URI by which the containers reach a server."""
    return f"postgresql://{user}:{quote(server.password, safe='')}@{HOSTS[server]}:5432/{database}"


def setup() -> None:
    """Make roles, databases, the demo's data and the dbt manifest where they are missing. Safe to repeat.

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
    demo = demo_package()
    if demo:
        demo.prepare_demo(uri(settings.SOURCE, settings.SOURCE.user, settings.SOURCE.databases[0]))
    make_manifest()
