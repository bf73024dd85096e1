"""The secrets of Airflow on a server, made once: `warehouse stack keys`, the service `keys` of production.yml.

They lie in a folder that the services share, one file each, which only the user of Airflow (and root) can read. A key
that is there is never changed: with another Fernet key, Airflow could not read the connections and variables that it
has stored. The file of the UI's passwords gets one for each new user of UI_USERS.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from include.errors import FinalError
from include.stack.logins import ensure_passwords
from include.stack.private import make_fernet_key, make_secret, write_private

PASSWORDS = "passwords.json"  # the file of Airflow's simple auth manager


class KeysError(FinalError):
    """The folder of the keys can't be used; the message says why and what to do."""


def ensure_keys(folder: Path) -> list[str]:
    """Make the files that are missing in the folder, and the passwords of new users, and return the files' names.

    Raises KeysError, and SettingError for users or passwords that can't be read.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        passwords = folder / PASSWORDS
        before = passwords.read_bytes() if passwords.exists() else b""
        ensure_passwords(passwords)
        made = [PASSWORDS] if passwords.read_bytes() != before else []
        return made + [name for name, make in _MAKERS.items() if _made(folder / name, make)]
    except OSError as error:
        raise KeysError(
            f"{error.filename or folder}: the keys can't be written there ({error.strerror}): the folder has to belong "
            f"to the user that runs this (id {os.getuid()})"
        ) from error


def _made(path: Path, make: Callable[[Path], str]) -> bool:
    """Write what make() returns, unless the file is there."""
    if path.exists():
        return False
    write_private(path, make(path.parent))
    return True


def _database_uri(folder: Path) -> str:
    """Return where Airflow finds its own database: the service `postgres`, with the password made before this file."""
    password = (folder / "postgres_password").read_text(encoding="utf-8")
    return f"postgresql+psycopg2://postgres:{password}@postgres:5432/airflow"


_MAKERS: dict[str, Callable[[Path], str]] = {
    "fernet_key": lambda folder: make_fernet_key(),
    "secret_key": lambda folder: make_secret(),
    "jwt_secret": lambda folder: make_secret(),
    "postgres_password": lambda folder: make_secret(),
    "database_uri": _database_uri,
}
