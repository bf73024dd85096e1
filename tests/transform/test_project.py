from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from include import settings, transform
from include.stack.local.postgres import free_port
from include.transform import commands
from include.transform import project as module
from tests.transform.conftest import Project


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


@pytest.mark.parametrize(("with_demo", "said"), [(True, "on"), (False, "off")])
def test_dbt_knows_whether_the_demo_is_part_of_the_project(
    monkeypatch: pytest.MonkeyPatch, with_demo: bool, said: str
) -> None:
    monkeypatch.setattr(settings, "WITH_DEMO", with_demo)
    assert dbt_reads("postgresql://me@db/shop")["WAREHOUSE_DEMO"] == said


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

    served: list[Any] = []
    monkeypatch.setattr(commands, "make_docs", lambda: 1)  # dbt's exit code
    monkeypatch.setattr(commands.ThreadingHTTPServer, "serve_forever", lambda server: served.append(server))
    assert main(["docs", f"--port={free_port()}"]) == 1
    assert not served
    monkeypatch.setattr(commands, "make_docs", lambda: 0)
    assert main(["docs", f"--port={free_port()}"]) == 0
    (server,) = served
    assert server.server_address[0] == "127.0.0.1", "they name every table and column"
    assert server.RequestHandlerClass.keywords == {"directory": settings.DBT_DOCS}


def test_dbt_by_hand_does_not_write_what_the_dag_is_rendered_from() -> None:
    assert settings.DBT_MANIFEST.parent != settings.DBT_PROJECT / "target"


def test_manifest_is_made_once_by_two_that_need_it_at_once(tmp_path: Path) -> None:
    environment = {**os.environ, "DBT_MANIFEST": str(tmp_path / "manifest.json")}
    command = [sys.executable, "-c", "from include.transform import make_manifest; make_manifest()"]
    both = [subprocess.Popen(command, cwd=settings.PROJECT, env=environment, stderr=subprocess.PIPE) for _ in range(2)]
    assert [(process.communicate()[1], process.returncode) for process in both] == [(b"", 0), (b"", 0)]
    assert (tmp_path / "parsed" / "dbt.log").read_text().count("Running with dbt") == 1
    written = [path for path in (tmp_path / "parsed").iterdir() if path.name != "lock"]
    made = (tmp_path / "manifest.json").stat().st_mtime
    assert made < min(path.stat().st_mtime for path in written), "or a model that is edited meanwhile would be missed"


def test_project_that_dbt_cannot_parse_is_an_error_with_its_words(project: Project, tmp_path: Path) -> None:
    (project.dbt / "models" / "broken.sql").write_text("select * from {{ ref('nothing') }}")
    manifest = tmp_path / "made" / "manifest.json"
    done = project.warehouse("build", "--parse", DBT_MANIFEST=str(manifest))
    assert done.returncode == 1 and done.stderr.startswith(f"dbt can't parse the project in {project.dbt}:\n")
    assert "depends on a node named 'nothing'" in done.stderr and not manifest.exists()


def test_watch_goes_on_after_an_error_and_says_it_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from include.cli import main

    outcomes: list[BaseException | None] = [
        *(module.DbtError("one"), module.DbtError("one"), None, module.DbtError("one"), module.DbtError("two")),
        KeyboardInterrupt(),
    ]

    def make() -> None:
        outcome = outcomes.pop(0)
        if outcome:
            raise outcome

    pauses: list[float] = []
    monkeypatch.setattr(module, "make_manifest", make)
    monkeypatch.setattr("time.sleep", pauses.append)
    assert main(["build", "--watch"]) == 130
    assert capsys.readouterr().err.splitlines() == ["one", "one", "two", "interrupted"]
    assert len(pauses) == 5 and pauses[2] < pauses[0] == pauses[1] == pauses[3], "dbt takes seconds to find an error"


def test_docs_are_made_anew_once_the_project_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(settings, "DBT_DOCS", tmp_path / "docs")
    monkeypatch.setattr(settings, "DBT_MANIFEST", tmp_path / "manifest.json")
    monkeypatch.setattr(module, "run_dbt", lambda arguments, uri: called.append([*arguments, uri]) or 3)
    settings.DBT_DOCS.mkdir()
    settings.DBT_MANIFEST.touch()
    assert transform.docs_are_stale()
    catalog = settings.DBT_DOCS / "catalog.json"
    catalog.touch()
    made = settings.DBT_MANIFEST.stat().st_mtime
    for seconds, is_stale in ((5, False), (-5, True)):
        os.utime(catalog, (made + seconds, made + seconds))
        assert transform.docs_are_stale() is is_stale
    assert transform.make_docs("postgresql://mine") == 3
    (call,) = called
    assert call[:2] == ["docs", "generate"] and call[-1] == "postgresql://mine"
    assert call[call.index("--target-path") + 1] == str(settings.DBT_DOCS), "or dbt writes the DAG's manifest in place"
