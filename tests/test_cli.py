"""The program `warehouse`: commands are described, and what a person can mend is one sentence with the next step."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from include import cli, settings
from include.cli import main, make_parser
from include.stack.local import lifecycle, pipelines
from include.stack.local.postgres import PostgresServer, free_port

PAGE = (settings.PROJECT / "docs" / "command-line.md").read_text(encoding="utf-8")


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Every command and group below a parser; `prog` is its full name, such as "warehouse rejects show"."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            assert {choice.dest for choice in action._choices_actions if choice.help} == action.choices.keys()
            for command in action.choices.values():
                yield command
                yield from commands(command)


ALL = list(commands(make_parser()))
LEAVES = [command for command in ALL if command.get_default("handler")]


@pytest.mark.parametrize("command", ALL, ids=lambda command: command.prog)
def test_command_and_its_options_are_described(command: argparse.ArgumentParser) -> None:
    assert command.description
    for action in command._actions:
        assert action.help or isinstance(action, argparse._SubParsersAction), action


@pytest.mark.parametrize("command", LEAVES, ids=lambda command: command.prog)
def test_command_is_on_the_page_with_an_example_and_every_option(command: argparse.ArgumentParser) -> None:
    section = re.search(rf"^### {command.prog}\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S)
    assert section, f"docs/command-line.md has no section `### {command.prog}`"
    assert re.search(rf"^    {command.prog}", section[1], re.M), "no example"
    options = {name for action in command._actions for name in action.option_strings} - {"-h", "--help"}
    named = set(re.findall(r"--[a-z][a-z-]+", section[1]))
    assert options <= named, f"not on the page: {options - named}"
    assert named <= options, f"on the page, but no option: {named - options}"


def test_page_describes_no_command_that_is_gone() -> None:
    assert set(re.findall(r"^### (.+)$", PAGE, re.M)) == {command.prog for command in LEAVES}


def test_program_and_module_are_the_same() -> None:
    program = Path(sys.executable).parent / "warehouse"
    module = [sys.executable, "-m", "include"]
    said = [
        subprocess.run([*start, "stack", "--help"], cwd=settings.PROJECT, capture_output=True, text=True, check=True)
        for start in ([program], module)
    ]
    assert said[0].stdout == said[1].stdout and said[0].stdout.startswith("usage: warehouse stack")


def refused(verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], uri: str) -> str:
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", uri)
    monkeypatch.setenv("AIRFLOW_CONN_TARGET_DB", uri)
    assert main([verb]) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("verb", ["status", "land", "transfer"])
def test_database_that_refuses_the_connection_is_one_sentence(
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


def test_missing_right_is_one_sentence(
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


@pytest.mark.parametrize("command", [["status"], ["stack", "stop"], ["stack", "setup"]], ids=" ".join)
@pytest.mark.parametrize("setting", ["AIRFLOW_UI_PORT=abc", "AIRFLOW_PARALLELISM=1", "TRANSFER_POOL_SLOTS=0"])
def test_wrong_setting_is_one_sentence(command: list[str], setting: str, tmp_path: Path) -> None:
    name, _, value = setting.partition("=")
    done = subprocess.run(
        [sys.executable, "-m", "include", *command],
        cwd=settings.PROJECT,
        env={**os.environ, name: value, "LOCAL_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"{name}: '{value}' is not a whole number") and done.stderr.count("\n") == 1


def warehouse(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "include", *command],
        cwd=settings.PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_status_of_a_stopped_stack_names_its_parts_and_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "databases").mkdir()
    ports = {name: str(free_port()) for name in ("SOURCE_DB_PORT", "TARGET_DB_PORT", "AIRFLOW_DB_PORT")}
    done = warehouse("status", LOCAL_ROOT=str(tmp_path), **ports)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^postgres source +stopped", done.stdout, re.M) and "airflow scheduler" in done.stdout
    assert "source and target Postgres" in done.stdout and "`make start`" in done.stdout


def test_status_asks_the_server_that_another_stack_has_on_the_port(
    tmp_path: Path, source_server: PostgresServer, target_server: PostgresServer
) -> None:
    """Docker's, say: it counts rows, or says why it can't."""
    (tmp_path / "databases").mkdir()
    ports = {"SOURCE_DB_PORT": str(source_server.port), "TARGET_DB_PORT": str(target_server.port)}
    done = warehouse("status", LOCAL_ROOT=str(tmp_path), AIRFLOW_DB_PORT=str(free_port()), **ports)
    assert re.search(r"^postgres source +stopped", done.stdout, re.M)
    assert done.returncode == 1 and done.stderr.startswith("source_db: "), done.stdout + done.stderr


def test_status_without_a_stack_on_this_machine_shows_the_databases_alone(
    tmp_path: Path, source_uri: str, target_uri: str
) -> None:
    done = warehouse(
        "status", LOCAL_ROOT=str(tmp_path), AIRFLOW_CONN_SOURCE_DB=source_uri, AIRFLOW_CONN_TARGET_DB=target_uri
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("landed: nothing yet")


def test_status_fails_where_a_database_cannot_be_reached(tmp_path: Path, source_uri: str) -> None:
    (tmp_path / "databases").mkdir()
    away = "postgresql://me:secret@127.0.0.1:1/shop"
    done = warehouse("status", LOCAL_ROOT=str(tmp_path), AIRFLOW_CONN_SOURCE_DB=source_uri, AIRFLOW_CONN_TARGET_DB=away)
    assert done.returncode == 1 and done.stderr.startswith("target_db: can't connect")


def interrupt(*args: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_interrupted_command_says_so_and_exits_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("include.status.report", interrupt)
    monkeypatch.setattr(settings, "LOCAL", Path("/nowhere"))
    assert main(["status"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("verb", ["run", "start", "stop", "databases", "clean"])
def test_interrupted_start_says_that_the_stack_stays_as_it_is(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work = {"run": (pipelines, "run"), "databases": (lifecycle, "start_databases_alone")}
    monkeypatch.setattr(*work.get(verb, (lifecycle, verb)), interrupt)
    assert main(["stack", verb]) == 130
    assert "the stack stays as it is" in capsys.readouterr().err


@pytest.mark.parametrize("bug", [ValueError, OSError, KeyError])
def test_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, bug: type[Exception]) -> None:
    def fail(*uris: str) -> None:
        raise bug("x")

    monkeypatch.setattr("include.status.report", fail)
    monkeypatch.setattr(settings, "LOCAL", Path("/nowhere"))
    with pytest.raises(bug):
        main(["status"])


@pytest.mark.parametrize("place", ["file", "file/below"])
@pytest.mark.parametrize("verb", ["start", "stop", "databases", "clean"])
def test_folder_that_cannot_be_written_is_one_sentence(verb: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = warehouse("stack", verb, LOCAL_ROOT=str(tmp_path / place))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "can't be written" in done.stderr and "LOCAL_ROOT=<folder>" in done.stderr


def test_manifest_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = warehouse("build", "--parse", DBT_MANIFEST=str(tmp_path / "file" / "below" / "manifest.json"))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith(str(tmp_path / "file")) and "DBT_MANIFEST=<file>" in done.stderr


def test_no_url_of_a_request_is_logged(tmp_path: Path) -> None:
    """It may hold a key."""
    code = (
        "import httpx, sys; from include.cli import main; main(['stack', 'keys', '--folder', sys.argv[1]]);"
        "httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))).get('http://a/?key=SECRET')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "keys")], cwd=settings.PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0 and "SECRET" not in done.stdout + done.stderr, done.stderr


def test_a_command_imports_no_stage_but_its_own() -> None:
    """Or each start would take the time and the memory of all of them."""
    code = (
        "import sys; from include.cli import make_parser; make_parser('transfer');"
        "print(*[name for name in sys.modules if name.startswith(('include.landing', 'include.stack', 'airflow'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_every_command_is_found_where_it_is_defined() -> None:
    for names in cli._ADDERS:
        for name in names:
            (made,) = [a for a in make_parser(name)._actions if isinstance(a, argparse._SubParsersAction)]
            assert tuple(made.choices) == names
