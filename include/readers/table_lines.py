"""What the readers of tables, Parquet and Excel workbooks, share: what a column should hold, and how a row is given.

Their values come as JSON's would: texts, numbers with every digit (int, float, Decimal), true and false, lists and
objects. What JSON has no value for comes as a text: a date, a time. What can't be told exactly makes its row a problem.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from include.readers.exact_json import shown_key
from include.readers.streams import Line, Unreadable
from include.storage import UnusableFileError


class Wanted(NamedTuple):
    """What is expected of a column."""

    required: bool = False
    kind: str = ""  # the logical type; empty where nobody knows yet
    keeps_digits: bool = False  # a number of any length


class OddValueError(Exception):
    """A value can't be told exactly. The message completes the sentence that begins with the column's name."""


def check_columns(names: list[str], columns: dict[str, Wanted] | None) -> None:
    """Raise UnusableFileError for names that do not fit the columns of a contract, or where one stands twice."""
    twice = [name for name in names if names.count(name) > 1]
    if columns is None:
        missing, unknown = [], []
    else:
        missing = [name for name, wanted in columns.items() if wanted.required and name not in names]
        unknown = [name for name in names if name not in columns]
    if missing or unknown:
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"has {len(unknown)} that the contract does not know"] if unknown else []
        raise UnusableFileError(f"has columns of which it {' and '.join(parts)}: mend the file or the contract")
    if twice:
        raise UnusableFileError(f"names the column {shown_key(twice[0])} twice: rename one of them")


def line_of(number: int, row: dict[str, Any], odd: list[str] | None) -> Line:
    """Return a row, with its problem where some of its values could not be told."""
    if not odd:
        return (number, b"", row, None)
    return (number, orjson.dumps(_shown(row), default=str), None, Unreadable("value", "; ".join(odd)))


def _shown(value: Any) -> Any:
    """Return a value as a reject shows it: numbers digit by digit, and what is no JSON as a text."""
    if isinstance(value, dict):
        return {str(key): _shown(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        return orjson.Fragment(str(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    return value
