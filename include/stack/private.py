"""Files that only their owner can read, and the keys of Airflow that lie in them.

A file appears whole or not at all: a start that is killed leaves no half key, which every later start would keep.
"""

from __future__ import annotations

import secrets
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all, in place of the one that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)  # it would keep the rights that it has
    unfinished.touch(mode=0o600)
    unfinished.write_text(text, encoding="utf-8")
    unfinished.rename(path)


def make_fernet_key() -> str:
    """Return a new key with which Airflow encrypts the connections and variables that it stores."""
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


def make_secret() -> str:
    """Return a new random secret of 256 bits, in hexadecimal digits."""
    return secrets.token_hex(32)
