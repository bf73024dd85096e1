"""JSON rows: one a line, or as `JsonValues` finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, repeat
from typing import Any

from include.readers.json_values import JsonValues
from include.readers.streams import (
    CHUNK,
    KEPT_BYTES,
    Line,
    Stream,
    Unreadable,
    UnreadableRowError,
    line_blocks,
    problem_of,
)

# Lines that are parsed at once. With 200 and more, their values no longer fit into the processor's cache, and a million
# rows take a second longer.
_AT_ONCE = 50


_LoadsAll = Callable[[list[bytes]], list[Any]] | None


def json_rows(
    stream: Stream, max_bytes: int, loads: Callable[[bytes], Any], loads_all: _LoadsAll = None
) -> Iterator[Line]:
    """Yield every value of a file: parsed, or with the problem `json`, `encoding` or `too_long`.

    The file's beginning tells how its values stand: in an array, which begins with [; over several lines, where { is
    alone on the first line, or that line goes on in one that is indented; else one a line. `max_bytes` is the longest
    value that is parsed. `loads` parses one and raises ValueError, or UnreadableRowError with the problem. `loads_all`
    may parse many at once, and raises ValueError where they need `loads` one by one. Raises UnusableFileError for an
    array that was cut short or is damaged so that nothing says where its next value begins.
    """
    first = stream.read(CHUNK)
    while first and not first.strip() and (more := stream.read(CHUNK)):
        first += more
    begin = first.lstrip()
    if begin.startswith(b"[") or _goes_on(begin):
        return iter(JsonValues(stream, first, max_bytes, loads))
    return _lines(stream, first, max_bytes, loads, loads_all)


def _goes_on(begin: bytes) -> bool:
    """Return whether an object goes on in the next line, which is indented then, or its first line is a brace alone."""
    line, _, rest = begin.partition(b"\n")
    line = line.strip()
    is_open = line.startswith(b"{") and line.endswith((b"{", b"[", b",", b":"))
    return line == b"{" or (is_open and rest[:1] in (b" ", b"\t"))


def _lines(
    stream: Stream, first_block: bytes, max_bytes: int, loads: Callable[[bytes], Any], loads_all: _LoadsAll
) -> Iterator[Line]:
    end = b"\r" if b"\r" in first_block.strip() and b"\n" not in first_block else b"\n"
    too_long = 0  # number of the last line that was, of which more pieces may come
    for first, block in line_blocks(stream, max_bytes, end, first_block):
        if len(block[0]) > max_bytes or first == too_long or max(map(len, block)) > max_bytes:
            for number, raw in enumerate(block, first):
                if len(raw) <= max_bytes and number != too_long:
                    yield from _one_by_one(number, [raw], loads)
                elif number != too_long:
                    reason = f"the line is longer than {max_bytes} bytes"
                    yield (number, raw[:KEPT_BYTES], None, Unreadable("too_long", reason))
                    too_long = number
            continue
        for place in range(0, len(block), _AT_ONCE):
            lines = block[place : place + _AT_ONCE]
            try:
                values = loads_all(lines) if loads_all is not None else None
            except ValueError:
                values = None
            if values is None:
                yield from _one_by_one(first + place, lines, loads)
            else:
                yield from zip(count(first + place), lines, values, repeat(None))


def _one_by_one(first: int, lines: list[bytes], loads: Callable[[bytes], Any]) -> Iterator[Line]:
    """Yield lines with their values, or with what is wrong with them. Blank ones are passed over."""
    for number, raw in enumerate(lines, first):
        try:
            value = loads(raw)
        except UnreadableRowError as error:
            yield (number, raw, None, Unreadable(error.code, error.reason))
        except ValueError:
            if raw.strip():
                cut = "" if raw.endswith((b"\n", b"\r")) else "; the file ends in it"
                yield (number, raw, None, problem_of(raw, "json", f"the line is not JSON{cut}"))
        else:
            yield (number, raw, value, None)
