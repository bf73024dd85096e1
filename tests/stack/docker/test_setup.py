"""The first steps in Docker make what is missing, on an embedded server in place of the service's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from include import settings
from include.stack.docker import setup as steps
from include.stack.docker.setup import SetupError, setup
from include.stack.local.postgres import PostgresServer

SERVER = replace(settings.SOURCE, user="of_setup", password="a/b@c", databases=("of_setup_one", "of_setup_two"))


@pytest.fixture
def made(source_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The steps after the databases, as far as they were called; landing files in `tmp_path`."""
    called: list[str] = []

    def uri(server: settings.Server, user: str, database: str) -> str:
        return source_server.uri(database) if user == "postgres" else source_server.uri(database, user, server.password)

    monkeypatch.setattr(steps, "HOSTS", {SERVER: "source-db"})
    monkeypatch.setattr(steps, "uri", uri)
    monkeypatch.setattr(steps, "demo_package", lambda: None)
    monkeypatch.setattr(steps, "make_manifest", lambda: called.append("manifest"))
    for name in ("LANDING_ROOT", "ARCHIVE_ROOT"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(settings, name, str(tmp_path / name))
    yield called
    with psycopg.connect(source_server.uri(), autocommit=True) as connection:
        for database in SERVER.databases:
            connection.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(database)))
        connection.execute("drop role if exists of_setup")


def test_role_and_databases_are_made_and_then_the_manifest(made: list[str], source_server: PostgresServer) -> None:
    for _ in range(2):  # each start of the stack does it again
        setup()
    assert made == ["manifest", "manifest"]
    for database in SERVER.databases:
        with psycopg.connect(source_server.uri(database, SERVER.user, SERVER.password)) as connection:
            connection.execute("create schema mine")


@pytest.mark.parametrize("name", ["LANDING_ROOT", "ARCHIVE_ROOT"])
def test_folder_that_cannot_be_written_is_named_before_anything_is_made_in_it(
    made: list[str], tmp_path: Path, name: str
) -> None:
    (tmp_path / name).rmdir()
    with pytest.raises(SetupError, match=rf"{tmp_path / name}: the user astro .* can't write there.*chmod"):
        setup()
    assert made == []


def test_changed_password_is_one_sentence_with_its_variable(made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "uri", lambda *_: "postgresql://postgres:WRONG@127.0.0.1:1/postgres")
    with pytest.raises(SetupError, match=r"SOURCE_DB_PASSWORD, or remove the data with `astro dev kill`") as caught:
        setup()
    assert "WRONG" not in str(caught.value) and made == []


def test_password_of_any_characters_is_one_that_libpq_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "HOSTS", {SERVER: "source-db"})
    parts = conninfo_to_dict(steps.uri(SERVER, "postgres", "postgres"))
    assert (parts["password"], parts["host"], parts["port"]) == (SERVER.password, "source-db", "5432")
