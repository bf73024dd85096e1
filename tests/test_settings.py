from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from include import settings
from include.errors import SettingError


def test_environment_beats_dotenv_beats_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_DOTENV", {"PLACE": "file"})
    assert settings.setting("PLACE", "default") == "file"
    monkeypatch.setenv("PLACE", "environment")
    assert settings.setting("PLACE", "default") == "environment"
    monkeypatch.setenv("PLACE", "")
    monkeypatch.setattr(settings, "_DOTENV", {})
    assert settings.setting("PLACE", "default") == "default"


def test_dotenv_lines(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# a comment\nA=1\nexport B='two = 2'\n\nC=\nbroken\n")
    assert settings.read_dotenv(file) == {"A": "1", "B": "two = 2", "C": ""}
    assert settings.read_dotenv(tmp_path / "absent") == {}


@pytest.mark.parametrize("text", ["x", "0", "70000", "-1"])
def test_wrong_port_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TARGET_DB_PORT", text)
    with pytest.raises(SettingError, match="TARGET_DB_PORT"):
        settings.port_setting("TARGET_DB_PORT", 5433)


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("AIRFLOW_UI_HOST", "localhost", "'localhost' is no IP address: 127.0.0.1 is for this machine alone"),
        ("UI_LOGIN", "yes", "'yes' is none of on, off"),
        ("WAREHOUSE_TARGET", "production", "'production' is none of dev, ci, prod"),
        ("HISTORY_DAYS", "0", "'0' is not a whole number not below 1"),
        ("RETRY_SECONDS", "1.5", "'1.5' is not a whole number not below 0"),
        ("SOURCE_DB_PORT", "70000", "'70000' is not a whole number from 1 to 65535"),
    ],
)
def test_value_that_a_setting_cannot_have_is_named(variable: str, text: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import include.settings"],
        cwd=settings.PROJECT,
        env={**os.environ, variable: text},
        capture_output=True,
        text=True,
    )
    assert f"SettingError: {variable}: {said}" in done.stderr


def test_connection_comes_from_airflows_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", "postgres://me:p%40ss@db.example.com:6000/shop?sslmode=require")
    assert settings.connection_uri("source_db") == "postgresql://me:p%40ss@db.example.com:6000/shop?sslmode=require"
    with pytest.raises(SettingError, match="AIRFLOW_CONN_ELSEWHERE"):
        settings.connection_uri("elsewhere")


@pytest.mark.parametrize("password", ["p@ss", "a/b", "50%", "a:b?c#d", "two words"])
def test_password_of_any_characters_is_one_that_libpq_reads(password: str) -> None:
    parts = conninfo_to_dict(replace(settings.TARGET, password=password).uri())
    assert (parts["password"], parts["host"], parts["dbname"]) == (password, "127.0.0.1", "target_db")


HOME = Path("~").expanduser().resolve()
OWN_SOURCE = {"AIRFLOW_CONN_SOURCE_DB": "postgresql://me@db.example.com/shop"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {},
            {
                "RUN_AT_FIRST_START": False,
                "NEVER_MOVED": ["landing.*"],
                "WAREHOUSE_TIMEZONE": "UTC",
                "WAREHOUSE_TARGET": "prod",
                "UI_USERS": ["admin:admin"],
                "UI_LOGIN": False,
                "RETRY_SECONDS": 20,
                "RUN_TIMEOUT": 3600,
                "HISTORY_DAYS": 90,
                "TRANSFER_POOL_SLOTS": 2,
                "TRANSFER_TABLES": [],
                "DBT_MANIFEST": settings.PROJECT / "dbt/target/airflow/manifest.json",
                "LOCAL": settings.PROJECT / ".local",
                "LANDING_ROOT": settings.PROJECT / ".local" / "landing",
                "ARCHIVE_ROOT": settings.PROJECT / ".local" / "landing_archive",
            },
        ),
        ({"RETRY_SECONDS": "0", "RUN_TIMEOUT": "60", "HISTORY_DAYS": "7"}, {"RETRY_SECONDS": 0, "RUN_TIMEOUT": 60}),
        ({"HISTORY_DAYS": "7", "AIRFLOW_PARALLELISM": "9"}, {"HISTORY_DAYS": 7, "PARALLELISM": 9}),
        ({"DBT_MANIFEST": "/data/m.json"}, {"DBT_MANIFEST": Path("/data/m.json"), "DBT_DOCS": Path("/data/docs")}),
        ({"LANDING_ROOT": "/in", "ARCHIVE_ROOT": "/old/"}, {"LANDING_ROOT": "/in", "ARCHIVE_ROOT": "/old"}),
        ({"FIRST_RUN": "immediately"}, {"RUN_AT_FIRST_START": True}),
        ({"TRANSFER_EXCLUDE": "app.log, tmp.*"}, {"NEVER_MOVED": ["landing.*", "app.log", "tmp.*"]}),
        ({"UI_USERS": "ann:admin, bob:op"}, {"UI_USERS": ["ann:admin", "bob:op"]}),
        ({"AIRFLOW_UI_HOST": "0.0.0.0"}, {"UI_LOGIN": True}),
        ({"AIRFLOW_UI_HOST": "::1"}, {"UI_LOGIN": False}),
        ({"UI_LOGIN": "on"}, {"UI_LOGIN": True}),
        ({"LOCAL_ROOT": "data"}, {"LOCAL": settings.PROJECT / "data"}),
        ({"LOCAL_ROOT": "~/data"}, {"LOCAL": HOME / "data"}),
        (
            {"LANDING_ROOT": "~/in/"},
            {"LANDING_ROOT": HOME / "in", "ARCHIVE_ROOT": HOME / "in_archive", "MAKES_DEMO_DATA": False},
        ),
        (
            {"LANDING_ROOT": "s3://bucket/in"},
            {"LANDING_ROOT": "s3://bucket/in", "ARCHIVE_ROOT": "s3://bucket/in_archive", "MAKES_DEMO_DATA": False},
        ),
        (OWN_SOURCE, {"WITH_DEMO": False, "MAKES_DEMO_DATA": False}),
        (OWN_SOURCE | {"WAREHOUSE_DEMO": "on"}, {"WITH_DEMO": settings.HAS_DEMO}),
    ],
    ids=lambda values: ",".join(values) or "defaults",
)
def test_settings_are_made_of_the_variables(given: dict[str, str], expected: dict[str, Any]) -> None:
    """By a process of its own, because they are read once; from another folder, as cron calls it."""
    code = (
        "import json, sys; from include import settings\n"
        "print(json.dumps({name: getattr(settings, name) for name in sys.argv[1:]}, default=str))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *expected],
        cwd="/",
        env={"HOME": str(HOME), "DOTENV": os.devnull, "PYTHONPATH": str(settings.PROJECT), **given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {
        name: str(value) if isinstance(value, Path) else value for name, value in expected.items()
    }
