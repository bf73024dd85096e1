"""The secrets that a server's first start makes: whole, private, and the same ever after."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from include import settings
from include.cli import main
from include.stack.docker.keys import KeysError, ensure_keys


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    made = ensure_keys(folder)
    before = contents(folder)
    assert sorted(made) == sorted(before)
    assert ensure_keys(folder) == []
    assert contents(folder) == before
    (folder / "jwt_secret").unlink()
    assert ensure_keys(folder) == ["jwt_secret"]
    after = contents(folder)
    assert after.pop("jwt_secret") != before.pop("jwt_secret")
    assert after == before


def test_nobody_else_can_read_a_key(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o777)
    previous = os.umask(0)
    try:
        ensure_keys(folder)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_keys_are_what_airflow_takes_and_differ_from_start_to_start(tmp_path: Path) -> None:
    ensure_keys(tmp_path / "one")
    ensure_keys(tmp_path / "two")
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    Fernet(one["fernet_key"]).encrypt(b"x")
    assert len(one["secret_key"]) >= 32 and len(one["jwt_secret"]) >= 64 and one["secret_key"] != one["jwt_secret"]
    assert list(json.loads(one["passwords.json"])) == ["admin"]
    assert f":{one['postgres_password']}@" in one["database_uri"]
    assert [name for name in one if one[name] == two[name]] == []


def test_interrupted_start_leaves_no_half_key(tmp_path: Path) -> None:
    (tmp_path / "fernet_key.unfinished").write_text("half")
    ensure_keys(tmp_path)
    Fernet((tmp_path / "fernet_key").read_text())
    assert not (tmp_path / "fernet_key.unfinished").exists()


def test_folder_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("")
    with pytest.raises(KeysError, match="keys can't be written there"):
        ensure_keys(tmp_path / "keys")


def test_new_user_gets_a_password_at_the_next_start_and_others_keep_theirs(tmp_path: Path) -> None:
    """By the program itself, because it reads UI_USERS when it starts; as the service `keys` does."""

    def start(**variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "include", "stack", "keys", "--folder", str(tmp_path / "keys")],
            cwd=settings.PROJECT,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
        )

    assert start().returncode == 0
    before = contents(tmp_path / "keys")
    done = start(UI_USERS="admin:admin, ann:viewer")
    after = contents(tmp_path / "keys")
    passwords = json.loads(after.pop("passwords.json"))
    assert done.stdout == f"{tmp_path / 'keys'}: made passwords.json\n"
    assert json.loads(before.pop("passwords.json")) == {"admin": passwords["admin"]} and after == before
    assert list(passwords) == ["admin", "ann"] and passwords["admin"] != passwords["ann"]
    assert not [password for password in passwords.values() if password in done.stdout + done.stderr]
    assert "every key is there" in start(UI_USERS="admin:admin, ann:viewer").stdout
    done = start(UI_USERS="admin:boss")
    assert done.returncode == 1 and done.stderr.startswith("UI_USERS: 'admin:boss' is no list of users")
    assert contents(tmp_path / "keys") == {**after, "passwords.json": json.dumps(passwords)}


def test_command_prints_names_and_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stack", "keys", "--folder", str(tmp_path / "keys")]) == 0
    said = capsys.readouterr().out
    assert "fernet_key" in said
    assert [text for text in contents(tmp_path / "keys").values() if text in said] == []
