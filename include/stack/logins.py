"""The users of Airflow's UI, and the passwords that are made for them before Airflow starts.

They are made here and not by Airflow, because it prints those that it makes to the api-server's log.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from include import settings
from include.errors import SettingError
from include.stack.private import write_private

_ROLES = ("admin", "op", "user", "viewer")  # of Airflow's SimpleAuthManager


def ui_users() -> dict[str, str]:
    """Return the role of each user of the UI. Raises SettingError for a UI_USERS that can't be read or has no admin."""
    pairs = [user.partition(":") for user in settings.UI_USERS]
    users = {name: role for name, _, role in pairs}
    if "admin" not in users.values() or len(users) < len(pairs) or "" in users or not set(users.values()) <= {*_ROLES}:
        raise SettingError(
            f"UI_USERS: {','.join(settings.UI_USERS)!r} is no list of users such as ann:admin,bob:viewer: each with a "
            f"name of its own and one of the roles {', '.join(_ROLES)}, and at least one an admin"
        )
    return users


def ensure_passwords(file: Path) -> dict[str, str]:
    """Return the passwords of the UI's users by name, kept in a file of Airflow's SimpleAuthManager.

    A new user gets one; a password that is there is never changed, also of a user who is none any more. Raises
    SettingError.
    """
    users = ui_users()
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        passwords = {name: str(found.get(name) or secrets.token_urlsafe(16)) for name in users}
    except (ValueError, AttributeError):
        raise SettingError(
            f"{file} holds no JSON object of users and passwords: mend it, or remove it and new ones are made"
        ) from None
    if passwords.items() - found.items():
        write_private(file, json.dumps({**found, **passwords}))
    return passwords
