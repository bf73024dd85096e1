"""What can be expected to go wrong is one sentence with the next step: no traceback, no password."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from include import settings
from include.cli import main


def refused(verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], uri: str) -> str:
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", uri)
    monkeypatch.setenv("AIRFLOW_CONN_TARGET_DB", uri)
    assert main([verb]) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("verb", ["status", "land", "transfer"])
def test_database_that_lets_nobody_in_is_one_sentence(
    verb: str, source_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    password = str(conninfo_to_dict(source_uri)["password"])
    for uri, reason in (
        (source_uri.replace(password, "WRONG"), "password authentication failed"),
        (source_uri + "_none", "does not exist"),
        ("postgresql://me:WRONG@127.0.0.1:1/shop", "Connection refused"),
        ("postgresql://me:WRONG%zz@db/shop", "AIRFLOW_CONN_SOURCE_DB is not a URI that libpq reads"),
        ("mysql://me:WRONG@db/shop", "AIRFLOW_CONN_SOURCE_DB is not a postgresql:// URI"),
    ):
        said = refused(verb, monkeypatch, capsys, uri)
        assert reason in said
        assert "WRONG" not in said and password not in said and "Traceback" not in said


def test_right_that_is_lacking_is_one_sentence(
    source_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = conninfo_to_dict(source_uri)
    with psycopg.connect(source_uri, autocommit=True) as connection:
        connection.execute("create role poor login password 'poor'")
        connection.execute("create schema landing")
        try:
            poor = f"postgresql://poor:poor@127.0.0.1:{parts['port']}/{parts['dbname']}"
            said = refused("land", monkeypatch, capsys, poor)
            assert said.startswith("source_db: permission denied for ") and "grant" in said
        finally:
            connection.execute(sql.SQL("drop role poor"))


@pytest.mark.parametrize(
    "program", [["include", "status"], ["include", "stack", "stop"], ["include", "stack", "setup"]]
)
@pytest.mark.parametrize("setting", ["AIRFLOW_UI_PORT=abc", "AIRFLOW_PARALLELISM=1", "TRANSFER_POOL_SLOTS=0"])
def test_setting_that_cannot_be_is_one_sentence_in_every_program(
    program: list[str], setting: str, tmp_path: Path
) -> None:
    name, _, value = setting.partition("=")
    done = subprocess.run(
        [sys.executable, "-m", *program],
        cwd=settings.PROJECT,
        env={**os.environ, name: value, "LOCAL_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"{name}: '{value}' is not a whole number") and done.stderr.count("\n") == 1
