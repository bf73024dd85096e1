"""Names: which a folder, a file and a dbt source may have, and which tables a pattern means.

Postgres lets a name hold any character. A folder, a contract's file and a table of a dbt source are called with small
letters, digits and _ alone, so an odd name is folded: "App Data" becomes app_data. The contract keeps the real name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable
from fnmatch import fnmatchcase
from itertools import count

from include.names import qualified

MAX_NAME_BYTES = 63  # of a name in Postgres, which cuts a longer one
# What every table has, and what landing adds to each row (see include/landing/tables.py).
SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
LANDING_COLUMNS = frozenset({"_file", "_line", "_loaded_at", "_xid"})

SOURCE_NAME = re.compile(r"[a-z][a-z0-9_]*")
DATASET_NAME = re.compile(r"[a-z][a-z0-9_-]*")


def fold(name: str) -> str:
    """Return a name as a folder, a file and a dbt source may have it; a plain one as it is."""
    if SOURCE_NAME.fullmatch(name):
        return name
    letters = unicodedata.normalize("NFKD", name.casefold())
    without_accents = "".join(letter for letter in letters if not unicodedata.combining(letter))
    folded = re.sub(r"[^a-z0-9]+", "_", without_accents).strip("_")
    return folded if folded[:1].isalpha() else f"t_{folded}".rstrip("_")


def free_names(names: Iterable[str], among: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return each name folded, and numbered where the folded one is taken: of "Orders" and "orders", orders_2.

    A plain name keeps itself. `among` are all names of the place, also those that nobody asks for now: a folded name is
    never one of these, so that it does not depend on the order in which names are asked for.
    """
    used, plain, found = set(taken), {name for name in among if fold(name) == name}, {}
    for name in sorted(names, key=lambda name: (name not in plain, name)):
        is_free = name in plain and name not in used
        found[name] = name if is_free else first_free(fold(name), used | plain)
        used.add(found[name])
    return found


def first_free(name: str, taken: Container[str]) -> str:
    """Return the name, numbered where it is taken: orders_2."""
    if name not in taken:
        return name
    return next(numbered for number in count(2) if (numbered := f"{name}_{number}") not in taken)


def free_column(name: str, taken: Container[str]) -> str:
    """Return a name of the world outside as a column may have it, another one than those that are taken.

    Letters and digits of any script stay, in small letters; accents of Latin ones go, and what is left becomes "_". It
    is cut to what Postgres takes, and numbered where two would be the same. A column of Postgres or of landing keeps
    its name to itself: xmin becomes xmin_column.
    """
    decomposed = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", name).casefold())
    letters: list[str] = []
    for letter in decomposed:
        is_accent = unicodedata.combining(letter) and letters and letters[-1].isascii()
        if not is_accent:
            is_kept = letter == "_" or unicodedata.category(letter)[0] in "LMN"
            letters.append(letter if is_kept else " ")
    plain = unicodedata.normalize("NFC", "_".join("".join(letters).split())) or "column"
    if plain in SYSTEM_COLUMNS | LANDING_COLUMNS:
        plain = f"{plain.strip('_')}_column"
    made = _cut(plain, MAX_NAME_BYTES)
    numbers = count(2)
    while made in taken:
        number = f"_{next(numbers)}"
        made = _cut(plain, MAX_NAME_BYTES - len(number)) + number
    return made


def _cut(name: str, max_bytes: int) -> str:
    return name.encode()[:max_bytes].decode(errors="ignore")


def matches(schema: str, table: str, pattern: str) -> bool:
    """Return whether a shell pattern of schema.table means this table."""
    return fnmatchcase(qualified(schema, table), pattern)


def names_exactly(schema: str, table: str, pattern: str) -> bool:
    """Return whether a pattern is the name of this table."""
    return pattern in (qualified(schema, table), f"{schema}.{table}")
