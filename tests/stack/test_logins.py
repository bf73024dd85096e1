"""Who may log in to the UI, and the file of the passwords."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from include import settings
from include.errors import SettingError
from include.stack.logins import ensure_passwords, ui_users


def test_passwords_are_made_once_for_each_user_and_are_their_owners_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ui_passwords.json"
    monkeypatch.setattr(settings, "UI_USERS", ["ann:admin"])
    first = ensure_passwords(file)
    monkeypatch.setattr(settings, "UI_USERS", ["ann:admin", "bob:viewer"])
    both = ensure_passwords(file)
    assert both["ann"] == first["ann"] != both["bob"] and min(map(len, both.values())) >= 16
    assert json.loads(file.read_text()) == both and file.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(settings, "UI_USERS", ["bob:admin"])
    assert ensure_passwords(file) == {"bob": both["bob"]}
    monkeypatch.setattr(settings, "UI_USERS", ["cem:admin"])
    new = ensure_passwords(file)
    assert json.loads(file.read_text()) == {**both, **new}, "a user who comes back has the old password"


@pytest.mark.parametrize("empty", ['""', "null"])
def test_empty_password_is_none_and_a_new_one_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty: str
) -> None:
    file = tmp_path / "ui_passwords.json"
    file.write_text(f'{{"ann": {empty}}}')
    monkeypatch.setattr(settings, "UI_USERS", ["ann:admin"])
    made = ensure_passwords(file)
    assert len(made["ann"]) >= 16 and json.loads(file.read_text()) == made


@pytest.mark.parametrize("text", ["[1]", "{", '"x"'])
def test_spoilt_file_of_passwords_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "passwords.json").write_text(text)
    with pytest.raises(SettingError, match=r"/passwords\.json holds no JSON object"):
        ensure_passwords(tmp_path / "passwords.json")


@pytest.mark.parametrize("users", ["ann", "ann:boss", ":admin", "ann:viewer,ann:admin", "ann:viewer", "ann:admin:team"])
def test_wrong_users_are_named(monkeypatch: pytest.MonkeyPatch, users: str) -> None:
    monkeypatch.setattr(settings, "UI_USERS", users.split(","))
    with pytest.raises(SettingError, match=r"UI_USERS: .* at least one an admin"):
        ui_users()
