"""The demo in Docker: made by the first start, unless files or source are the user's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import pytest

from include import settings
from include.stack.demo import web
from tests.stack.docker.compose import merged
from tests.stack.docker.test_compose_model import SERVICES, targets


def read_settings(service: str, variables: dict[str, str]) -> dict[str, Any]:
    """Return what include.settings makes of the environment that a service gets."""
    code = (
        "import json; from include import settings; "
        "names = ('MAKES_DEMO_DATA', 'LANDING_ROOT', 'ARCHIVE_ROOT'); "
        "print(json.dumps({name: getattr(settings, name) for name in names}"
        " | {'SCHOOLS_URL': settings.setting('SCHOOLS_URL', '')}))"
    )
    environment = {**merged(variables)["services"][service]["environment"], "DOTENV": os.devnull}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


OWN_SOURCE = {"AIRFLOW_CONN_SOURCE_DB": "postgresql://me:secret@db.example.com/shop"}
OWN_FILES = {"LANDING_ROOT": "/data/in"}
OWN_URL = {"SCHOOLS_URL": "https://example.com/schools.csv"}
DEMO_URL = "http://demo-web:8080/learning_modality.csv"


@pytest.mark.parametrize(
    ("variables", "is_demo", "url"),
    [
        ({}, True, DEMO_URL),
        (OWN_URL, True, OWN_URL["SCHOOLS_URL"]),
        (OWN_SOURCE, False, ""),
        (OWN_FILES, False, ""),
        (OWN_FILES | OWN_URL, False, OWN_URL["SCHOOLS_URL"]),
    ],
)
def test_the_first_start_makes_the_demo_unless_files_or_source_are_the_users_own(
    variables: dict[str, str], is_demo: bool, url: str
) -> None:
    setup, scheduler = read_settings("setup", variables), read_settings("scheduler", variables)
    assert setup["MAKES_DEMO_DATA"] is is_demo
    assert scheduler["SCHOOLS_URL"] == url
    for name in ("LANDING_ROOT", "ARCHIVE_ROOT"):
        assert setup[name] == scheduler[name]
        assert setup[name] in targets("scheduler"), "files are made where nothing is mounted"


def test_the_demos_url_leads_to_the_demos_server() -> None:
    url = urlsplit(SERVICES["scheduler"]["environment"]["SCHOOLS_URL"])
    command = SERVICES[url.hostname]["command"]
    assert str(url.port) in command
    assert command[-1] == SERVICES["setup"]["environment"]["LOCAL_ROOT"] + "/" + web.FOLDER.name
    assert command[-1].removesuffix("/web") in targets(url.hostname)
