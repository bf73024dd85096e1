"""Formats of dates and timestamps, as the standard writes them: patterns of the JDK's DateTimeFormatter.

What is carried out are the letters of `LETTERS`, quoted text and optional parts. A value fits a format exactly, or not:
there is no year 20 for 2020, no 31st of February, and no time that a zone's clocks skip or show twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_MONTHS = [
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_ISO = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(\.[0-9]+)?")
_TOKENS = re.compile(r"'(?:[^']|'')*'|([A-Za-z])\1*|.", re.DOTALL)
_USUAL = ("year", "month", "day", "hour", "minute", "second")
_CACHED = 1 << 14  # days: the same ones come again and again
_SIGNED = "[+-][0-9]{2}"


def _names(names: list[str], length: int | None = None) -> str:
    return "(?i:" + "|".join(name[:length] for name in names) + ")"


# Letters, and which field and text they stand for. JDK's M may have one digit or two, its MM has two.
LETTERS = {
    "yyyy": ("year", "[0-9]{4}"),
    "uuuu": ("year", "[0-9]{4}"),
    "yy": ("short_year", "[0-9]{2}"),
    "uu": ("short_year", "[0-9]{2}"),
    "M": ("month", "[0-9]{1,2}"),
    "MM": ("month", "[0-9]{2}"),
    "MMM": ("month_name", _names(_MONTHS, 3)),
    "MMMM": ("month_name", _names(_MONTHS)),
    "d": ("day", "[0-9]{1,2}"),
    "dd": ("day", "[0-9]{2}"),
    "E": ("weekday", _names(_DAYS, 3)),
    "EEE": ("weekday", _names(_DAYS, 3)),
    "EEEE": ("weekday", _names(_DAYS)),
    "H": ("hour", "[0-9]{1,2}"),
    "HH": ("hour", "[0-9]{2}"),
    "h": ("half_hour", "[0-9]{1,2}"),
    "hh": ("half_hour", "[0-9]{2}"),
    "a": ("half", "(?i:AM|PM)"),
    "m": ("minute", "[0-9]{1,2}"),
    "mm": ("minute", "[0-9]{2}"),
    "s": ("second", "[0-9]{1,2}"),
    "ss": ("second", "[0-9]{2}"),
    **{"S" * digits: ("fraction", f"[0-9]{{{digits}}}") for digits in range(1, 10)},
    "X": ("offset", f"Z|{_SIGNED}(?:[0-9]{{2}})?"),
    "XX": ("offset", f"Z|{_SIGNED}[0-9]{{2}}"),
    "XXX": ("offset", f"Z|{_SIGNED}:[0-9]{{2}}"),
    "x": ("offset", f"{_SIGNED}(?:[0-9]{{2}})?"),
    "xx": ("offset", f"{_SIGNED}[0-9]{{2}}"),
    "xxx": ("offset", f"{_SIGNED}:[0-9]{{2}}"),
    "Z": ("offset", f"{_SIGNED}[0-9]{{2}}"),
    "VV": ("zone", "[A-Za-z][A-Za-z0-9_+/-]*"),
}
_OF_TIME = ("hour", "half_hour", "half", "minute", "second", "fraction", "offset", "zone")


class TimeFormat:
    """A format, and the zone of values that have none. Raises ValueError, with a sentence, for one that can't be read.

    Without a pattern the values are written as ISO 8601 has them, and only the zone matters.
    """

    def __init__(self, pattern: str | None, zone: str | None = None, *, is_date: bool = False) -> None:
        for name, text in (("format", pattern), ("defaultTimezone", zone)):
            if text is not None and type(text) is not str:
                raise ValueError(f"{name}: {text!r} is no text: write it in quotes")
        self.pattern = pattern
        self._zone = None if zone is None else _zone(zone)
        self._regex = None
        if pattern is None:
            return
        source, sure, maybe = _compiled(pattern)
        _check(sure, maybe, is_date=is_date)
        if self._zone is not None and sure & {"offset", "zone"}:
            raise ValueError(f"defaultTimezone: every value of the format {pattern!r} has a zone of its own")
        self._regex = re.compile(source)
        self._is_date = is_date
        self._usual = [self._regex.groupindex[name] for name in _USUAL] if maybe == set(_USUAL) else None

    def read(self, text: str) -> str:
        """Return a value in the form of ISO 8601. Raises ValueError, with a sentence, for one that does not fit."""
        if self._regex is None:
            found = _ISO.fullmatch(text)
            if found is None:
                return text  # with a zone of its own, or no time at all, which its schema says
            return _moment(found[1], found[2], found[3] or "", self._zone)
        matched = self._regex.fullmatch(text)
        if matched is None:
            raise ValueError(f"is not of the format {self.pattern}")
        if self._usual is not None and not self._is_date:  # saves two thirds of the time
            year, month, day_of_month, hour, minute, second = matched.group(*self._usual)
            day = _iso_day(year, month, day_of_month)
            return _moment(day, _clock(hour, minute or "00", second or "00"), "", self._zone)
        parts = {name: part for name, part in matched.groupdict().items() if part is not None}
        day = _day(parts)
        time = _clock(_hour(parts), parts.get("minute", "00"), parts.get("second", "00"))
        fraction = f".{parts['fraction']}" if "fraction" in parts else ""
        if self._is_date:
            if time.strip("0:") or fraction.strip("0."):
                raise ValueError("is a time of the day, not a whole day")
            return day
        if "offset" in parts:
            return f"{day}T{time}{fraction}{_offset(parts['offset'])}"
        if "zone" not in parts:
            return _moment(day, time, fraction, self._zone)
        try:
            zone = _zone(parts["zone"])
        except ValueError:
            raise ValueError("has a zone that is not known") from None
        return _moment(day, time, fraction, zone)


def _moment(day: str, time: str, fraction: str, zone: ZoneInfo | None) -> str:
    """Return a local time with its offset, or in UTC; without a zone as it is."""
    if zone is None:
        return f"{day}T{time}{fraction}"
    if (offset := _offset_of_day(day, zone)) is not None:
        return f"{day}T{time}{fraction}{offset}"
    try:
        local = datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=zone)
    except ValueError:
        raise ValueError("is no time of the calendar") from None
    if local.utcoffset() != local.replace(fold=1).utcoffset():
        skipped = _in_utc(local).astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None)
        how = "does not exist in" if skipped else "happens twice in"
        raise ValueError(f"{how} {zone.key}, where clocks are changed then")
    return _in_utc(local).replace(tzinfo=None).isoformat() + fraction + "Z"


@lru_cache(_CACHED)
def _offset_of_day(day: str, zone: ZoneInfo) -> str | None:
    """Return the offset that a zone has on a whole day, None where it changes or has seconds.

    No zone has changed its clocks twice on a day, so it is that of midnight, noon and the next midnight.
    """
    try:
        begin = datetime.fromisoformat(day).replace(tzinfo=zone)
        times = (begin, begin + timedelta(hours=12), begin + timedelta(days=1))
        offsets = {time.utcoffset() for time in times}
    except (ValueError, OverflowError):
        return None
    offset = begin.isoformat()[19:]
    return offset if len(offsets) == 1 and len(offset) == 6 else None


def _zone(name: str) -> ZoneInfo:
    try:
        if name not in ("localtime", "posixrules", "Factory"):  # which differ from machine to machine
            return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # the name of a folder among them
        pass
    raise ValueError(f"{name!r} is no time zone: give one such as Europe/Berlin or UTC")


def _compiled(pattern: str) -> tuple[str, set[str], set[str]]:
    """Return a format as a regular expression, the fields that every value has, and those that it may have."""
    parts: list[str] = []
    depth, sure, maybe, before = 0, set[str](), set[str](), ""
    for part in _tokens(pattern):
        if part == "[":
            depth += 1
            parts.append("(?:")
        elif part == "]":
            depth -= 1
            if depth < 0:
                raise ValueError(f"{pattern!r} closes an optional part that was not opened")
            parts.append(")?")
        elif part[0].isascii() and part[0].isalpha():
            field, source = _field(part)
            if field in maybe:
                raise ValueError(f"{pattern!r} names the {field.replace('_', ' ')} twice")
            if before and _is_number(before) and _is_number(part) and 1 in (len(before), len(part)):
                raise ValueError(f"{pattern!r} does not say where {before} ends and {part} begins")
            parts.append(f"(?P<{field}>{source})")
            maybe.add(field)
            sure |= set() if depth else {field}
            before = part
        else:
            text = part if part[0] != "'" else part[1:-1].replace("''", "'") or "'"
            parts.append(re.escape(text))
            before = ""
    if depth:
        raise ValueError(f"{pattern!r} does not close an optional part")
    return "".join(parts), sure, maybe


def _tokens(pattern: str) -> Iterator[str]:
    for found in _TOKENS.finditer(pattern):
        if found[0] in ("'", "#", "{", "}"):
            raise ValueError(f"{pattern!r} holds {found[0]!r}, which is no text: put text in quotes, as 'T'")
        yield found[0]


def _field(token: str) -> tuple[str, str]:
    if token not in LETTERS:
        advice = {"D": "d is the day", "Y": "y is the year", "z": "XXX and VV are zones"}.get(token[0], "")
        there = ", ".join(letters for letters in LETTERS if len(letters) < 5 or letters[0] != "S")
        raise ValueError(f"{token!r} is none of the letters that are read{advice and ': ' + advice}: {there}")
    return LETTERS[token]


def _is_number(token: str) -> bool:
    return LETTERS[token][1].startswith("[0-9]")


def _check(sure: set[str], maybe: set[str], *, is_date: bool) -> None:
    """Raise ValueError for fields that do not make a date, or a time."""
    for one, other in (("year", "short_year"), ("month", "month_name"), ("hour", "half_hour"), ("offset", "zone")):
        if one in maybe and other in maybe:
            raise ValueError(f"format: it names the {one} in two ways")
    for what, letters in (({"year", "short_year"}, "yyyy"), ({"month", "month_name"}, "MM"), ({"day"}, "dd")):
        if not sure & what:
            raise ValueError(f"format: it has no {letters}, so a value is no day")
    if ("half_hour" in maybe) != ("half" in maybe) or ("half_hour" in sure) != ("half" in sure):
        raise ValueError("format: h counts to 12 and a says AM or PM: they stand together, or there is H")
    has_hour = maybe & {"hour", "half_hour"}
    if is_date and maybe & {"offset", "zone"}:
        raise ValueError("format: a day has no zone: give the property the logicalType timestamp")
    if not is_date and not sure & {"hour", "half_hour"}:
        raise ValueError("format: it has no HH, so a value is a day: give the property the logicalType date")
    order = [bool(has_hour), "minute" in maybe, "second" in maybe, "fraction" in maybe]
    if order != sorted(order, reverse=True) or (not has_hour and maybe & set(_OF_TIME)):
        raise ValueError("format: it has a smaller part of the day without the larger one")


def _day(parts: dict[str, str]) -> str:
    year = parts["year"] if "year" in parts else "20" + parts["short_year"]
    names = [month[:3].lower() for month in _MONTHS]
    month = str(names.index(parts["month_name"][:3].lower()) + 1) if "month_name" in parts else parts["month"]
    day = _iso_day(year, month, parts["day"])
    if "weekday" in parts:
        weekday = _DAYS[date.fromisoformat(day).weekday()]
        if not weekday.lower().startswith(parts["weekday"].lower()):
            raise ValueError("is another day of the week")
    return day


@lru_cache(_CACHED)
def _iso_day(year: str, month: str, day: str) -> str:
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        raise ValueError("is no day of the calendar") from None


def _hour(parts: dict[str, str]) -> str:
    if "half" not in parts:
        return parts.get("hour", "00")
    hour = int(parts["half_hour"])
    if not 1 <= hour <= 12:
        raise ValueError("is no time of the calendar")
    return str(hour % 12 + (12 if parts["half"].upper() == "PM" else 0))


def _clock(hour: str, minute: str, second: str) -> str:
    time = f"{hour:0>2}:{minute:0>2}:{second:0>2}"
    if time > "24" or time[3] > "5" or time[6] > "5":
        raise ValueError("is no time of the calendar")
    return time


def _offset(text: str) -> str:
    if text == "Z":
        return text
    return f"{text[:3]}:{text[-2:] if len(text) > 3 else '00'}"


def _in_utc(local: datetime) -> datetime:
    try:
        return local.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside of the years 1 to 9999 in UTC") from None
