"""What a date, a timestamp and an e-mail address are: one rule, for the rows that land and for drafts of contracts.

The patterns are those of landing's JSON schema. What a pattern can't say, that a day is in the calendar or that a
column can hold a moment, `as_date` and `as_timestamp` check.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import NoReturn

import jsonschema_rs

DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
TIMESTAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,12})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?$"
EMAIL = jsonschema_rs.EmailOptions(require_tld=True, allow_domain_literal=False, allow_display_text=False)

_MICROSECONDS = len("2026-01-31T23:59:59.999999")
_FINER = re.compile(r"\.[0-9]{6}[0-9]*[1-9]")

_date, _timestamp = re.compile(DATE).fullmatch, re.compile(TIMESTAMP).fullmatch
is_email = jsonschema_rs.Draft202012Validator(
    {"type": "string", "format": "email"}, validate_formats=True, email_options=EMAIL
).is_valid


class RejectedValueError(Exception):
    """A value passes the JSON schema and fits no column. Raised inside an encoder, which turns it into a Problem."""

    def __init__(self, code: str, reason: str, path: str) -> None:
        super().__init__(reason)
        self.code, self.reason, self.path = code, reason, path


def reject(code: str, reason: str, path: str) -> NoReturn:
    """Raise RejectedValueError, as one expression that generated code can call."""
    raise RejectedValueError(code, reason, path)


def as_date(value: str, path: str) -> str:
    """Return the day of a date, or of a timestamp at midnight UTC."""
    day = value[:10]
    try:
        date.fromisoformat(day)
    except ValueError:
        reject("format", "is no day of the calendar", path)
    if len(value) > 10 and value[10:].strip("T 0:.Z+"):
        reject("format", "is a time of the day, not a whole day", path)
    return day


def as_timestamp(value: str, path: str) -> str:
    """Return a timestamp with its zone; one without a zone is UTC."""
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        reject("format", "is no time of the calendar", path)
    if len(value) > _MICROSECONDS and _FINER.search(value):
        reject("format", "is finer than a microsecond, which its column would round", path)
    if time.tzinfo is None:
        return value + "+00"
    if abs(time.utcoffset() or timedelta()) >= timedelta(hours=16):
        reject("format", "has a zone that no place on earth has", path)
    if not 1 < time.year < 9999:
        try:
            time.astimezone(UTC)
        except OverflowError:
            reject("range", "is outside of the years 1 to 9999 in UTC", path)
    return value


def is_date(text: str) -> bool:
    """Return whether a column of dates takes the text."""
    if not _date(text):
        return False
    try:
        as_date(text, "")
    except RejectedValueError:
        return False
    return True


def is_timestamp(text: str) -> bool:
    """Return whether a column of timestamps takes the text, to the microsecond."""
    if not _timestamp(text):
        return False
    try:
        as_timestamp(text, "")
    except RejectedValueError:
        return False
    return True
