"""JSON, one value a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from include.readers.streams import KEPT_BYTES, Line, Stream, Unreadable, numbered_lines, problem_of


def json_lines(stream: Stream, max_bytes: int, loads: Callable[[bytes], Any]) -> Iterator[Line]:
    """Yield every line that is not blank: parsed, or with the problem `json`, `encoding` or `too_long`.

    `max_bytes` is the longest line that is parsed; `loads` parses one and raises ValueError.
    """
    too_long = 0  # number of the last line that was, of which more pieces may come
    for number, raw in numbered_lines(stream, max_bytes):
        if len(raw) > max_bytes or number == too_long:
            if number != too_long:
                reason = f"the line is longer than {max_bytes} bytes"
                yield (number, raw[:KEPT_BYTES], None, Unreadable("too_long", reason))
            too_long = number
            continue
        try:
            value = loads(raw)
        except ValueError:
            if raw.strip():
                cut = "" if raw.endswith(b"\n") else "; the file ends in it"
                yield (number, raw, None, problem_of(raw, "json", f"the line is not JSON{cut}"))
            continue
        yield (number, raw, value, None)
