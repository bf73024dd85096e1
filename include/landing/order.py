"""The order of a dataset's deliveries: which of two files holds the newer state.

The contract says what it goes by (`deliveryOrder`): the path in natural order, a part of the path, or the time of the
file. In natural order numbers count by their value, so o_9 comes before o_10, and a date as it stands.

A delivery's position is a text that landing.files keeps. Positions with the same beginning, up to _END, are comparable:
of two of them, compared byte by byte, the greater is the later delivery. Names that differ in more than their numbers
say nothing about time ("north.csv" and "south.csv"), so their positions do not begin alike, and the later arrival
counts as the newer.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from include.contracts import Contract
from include.landing.zips import zip_of
from include.storage import Root

_NUMBERS = re.compile(r"([0-9]+)")
_END = "\x01"  # of the part of a position that says with which others it can be compared


class Delivery(NamedTuple):
    """A file's path below the landing root and its position among the deliveries."""

    path: str
    position: str


def in_order(contract: Contract, paths: list[str], root: Root) -> list[Delivery]:
    """Return the files in the order of their deliveries, the oldest first; equals follow their paths."""
    order = contract.delivery_order
    found = []
    for path in paths:
        part = _part(order, path, root)
        delivery = Delivery(path, _position(order, part))
        by_part = b"" if order == "name" or not part else delivery.position.encode()
        found.append((by_part, natural(path), delivery))
    return [delivery for *_, delivery in sorted(found)]


def natural(text: str) -> list[tuple[int, str]]:
    """Return a sort key that compares the numbers in a text by value and all else by code point."""
    parts = _NUMBERS.split(text)
    return [(int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)]


def name_position(path: str) -> str:
    """Return the position of a path in the order `name`."""
    return _position("name", path)


def comparable(position: str) -> str:
    """Return with what every position begins that this one can be compared with."""
    return position[: position.index(_END) + 1]


def _part(order: str, path: str, root: Root) -> str:
    """Return what orders a file: its path, a part of it, or its time. A path without the part has an empty one."""
    if order == "name":
        return path
    if order == "modified":
        return datetime.fromtimestamp(root.modified(zip_of(path)), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    found = re.search(order, path)
    return (found[1] or "") if found else ""


def _position(order: str, part: str) -> str:
    """Return the position. Of a number it has the count of digits first, so that its bytes order it by value."""
    shown = part.encode("utf-8", "backslashreplace").decode()
    if order == "name":
        form = _NUMBERS.sub("#", shown)
        return f"name:{form}{_END}{' '.join(map(_number, _NUMBERS.findall(shown)))}"
    if not part:
        return f"none:{_END}"  # nothing to compare by: such a file counts from its arrival
    return f"{order}{_END}{_NUMBERS.sub(lambda found: _number(found[0]), shown)}"


def _number(digits: str) -> str:
    value = digits.lstrip("0") or "0"
    return f"{len(value):04}{value}"
