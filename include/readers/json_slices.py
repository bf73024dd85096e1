"""The parts of a JSON text as they stand in it: members by their path, and the elements of arrays.

A part is a slice of the text, so that its numbers keep every digit and its texts every escape. Where a value ends is
told by Python's json module. All but `only_value` take what it returned, or a part of that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_SPACE = re.compile(r"[ \t\r\n]*")
# No number is made, so none is too long. A text with a line break in it is no JSON, but it is told where it ends.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, strict=False)


def only_value(text: str) -> str:
    """Return a text's one value, without the space around it. Raises ValueError for a text that is none or more."""
    begin = _skip(text, 0)
    end = _end(text, begin)
    if _skip(text, end) != len(text):
        raise ValueError("goes on behind its value")
    return text[begin:end]


def part_at(text: str, path: tuple[str, ...]) -> str | None:
    """Return the part that a path names, from the text's one value down; None where there is no such member.

    Raises ValueError for an object on the way that names the member twice.
    """
    begin, end = 0, len(text)
    for name in path:
        if text[begin] != "{":
            return None
        found = [(first, last) for key, first, last in _members(text, begin) if key == name]
        if len(found) > 1:
            raise ValueError("names a member twice")
        if not found:
            return None
        begin, end = found[0]
    return text[begin:end]


def member_names(text: str) -> list[str]:
    """Return the names of an object's members; none where the text is another value."""
    return [key for key, _, _ in _members(text, 0)] if text.startswith("{") else []


def elements(text: str) -> Iterator[str]:
    """Yield the elements of an array, which is all of the text."""
    place = _skip(text, 1)
    while text[place] != "]":
        end = _end(text, place)
        yield text[place:end]
        place = _behind_comma(text, end, "]")


def _members(text: str, begin: int) -> Iterator[tuple[str, int, int]]:
    """Yield the name of each member of the object that begins there, and where its value begins and ends."""
    place = _skip(text, begin + 1)
    while text[place] != "}":
        key, place = _DECODER.raw_decode(text, place)
        first = _skip(text, _skip(text, place) + 1)  # behind the colon
        last = _end(text, first)
        yield key, first, last
        place = _behind_comma(text, last, "}")


def _behind_comma(text: str, place: int, closing: str) -> int:
    """Return where the next element begins, or where the value is closed."""
    place = _skip(text, place)
    return place if text[place : place + 1] == closing else _skip(text, place + 1)


def _end(text: str, begin: int) -> int:
    try:
        return _DECODER.raw_decode(text, begin)[1]
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _skip(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    assert found is not None
    return found.end()
