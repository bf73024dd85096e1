from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from include import settings, transform
from include.stack.local.postgres import free_port
from include.transform import commands


def dbt_reads(uri: str) -> dict[str, str]:
    """What dbt connects with: the five values of dbt/profiles.yml, and libpq's own variables."""
    variables = transform.profile_variables(uri)
    return {name.removeprefix("TARGET_DB_"): value for name, value in variables.items()}


@pytest.mark.parametrize(
    ("uri", "host", "port", "user", "password", "name"),
    [
        ("postgresql://me:secret@db.example.com:6000/shop", "db.example.com", "6000", "me", "secret", "shop"),
        ("postgresql://me%40team:p%40%2F%25%3A@db/shop", "db", "5432", "me@team", "p@/%:", "shop"),
        ("postgresql://me:secret@[::1]:6000/a%20b", "::1", "6000", "me", "secret", "a b"),
        ("postgresql://me@%2Fvar%2Frun%2Fpostgresql/shop", "/var/run/postgresql", "5432", "me", "", "shop"),
        ("postgresql:///shop?host=/tmp&port=6000&user=me", "/tmp", "6000", "me", "", "shop"),
        ("postgresql://me@db", "db", "5432", "me", "", "me"),
    ],
)
def test_dbt_connects_where_the_uri_says(uri: str, host: str, port: str, user: str, password: str, name: str) -> None:
    expected = {"HOST": host, "PORT": port, "USER": user, "PASSWORD": password, "NAME": name}
    assert dbt_reads(uri).items() >= expected.items()


def test_parameters_of_the_uri_reach_libpq() -> None:
    """A managed database demands sslmode, and a private authority sslrootcert."""
    read = dbt_reads("postgresql://me@db/shop?sslmode=verify-full&sslrootcert=/a%20b.pem&options=-csearch_path%3Dx")
    assert read.items() >= {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/a b.pem"}.items()
    assert read["PGOPTIONS"] == "-csearch_path=x"
    assert "PGCONNECT_TIMEOUT" not in read


def test_dbt_refuses_a_server_without_encryption_where_the_uri_demands_it(target_uri: str) -> None:
    uri = f"{target_uri}?sslmode=require"
    code = f"from include.transform import run_dbt; raise SystemExit(run_dbt(['debug', '--connection'], {uri!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=settings.PROJECT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "server does not support SSL" in done.stdout
    assert conninfo_to_dict(target_uri)["password"] not in done.stdout + done.stderr


def test_taken_port_of_the_docs_is_named_with_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    from include.cli import main

    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        assert main(["docs", f"--port={port}"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"port {port}, meant for the dbt docs") and "DBT_DOCS_PORT=<port>" in said


def test_docs_that_dbt_cannot_make_are_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    from include.cli import main

    served: list[object] = []
    monkeypatch.setattr(commands, "make_docs", lambda: 1)  # dbt's exit code
    monkeypatch.setattr(commands.ThreadingHTTPServer, "serve_forever", lambda server: served.append(server))
    assert main(["docs", f"--port={free_port()}"]) == 1
    assert not served
    monkeypatch.setattr(commands, "make_docs", lambda: 0)
    assert main(["docs", f"--port={free_port()}"]) == 0
    assert len(served) == 1


def test_dbt_by_hand_does_not_write_what_the_dag_is_rendered_from() -> None:
    assert settings.DBT_MANIFEST.parent != settings.DBT_PROJECT / "target"


def test_manifest_is_made_once_by_two_that_need_it_at_once(tmp_path: Path) -> None:
    environment = {**os.environ, "DBT_MANIFEST": str(tmp_path / "manifest.json")}
    command = [sys.executable, "-c", "from include.transform import make_manifest; make_manifest()"]
    both = [subprocess.Popen(command, cwd=settings.PROJECT, env=environment, stderr=subprocess.PIPE) for _ in range(2)]
    assert [(process.communicate()[1], process.returncode) for process in both] == [(b"", 0), (b"", 0)]
    assert (tmp_path / "parsed" / "dbt.log").read_text().count("Running with dbt") == 1
