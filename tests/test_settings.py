from __future__ import annotations

from pathlib import Path

import pytest

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


def test_connection_comes_from_airflows_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", "postgres://me:p%40ss@db.example.com:6000/shop?sslmode=require")
    assert settings.connection_uri("source_db") == "postgresql://me:p%40ss@db.example.com:6000/shop?sslmode=require"
    with pytest.raises(SettingError, match="AIRFLOW_CONN_ELSEWHERE"):
        settings.connection_uri("elsewhere")
