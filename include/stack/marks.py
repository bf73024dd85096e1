"""The lines of a file that belong to the demo alone, between two marks."""

from __future__ import annotations

from include.errors import FinalError

BEGIN, END = "demo: begin", "demo: end"


class MarksError(FinalError):
    """The marks of a file don't pair up; the message says in which line."""


def without_demo(text: str, path: str) -> str:
    """Return a file's text without the demo's lines. Raises MarksError where the marks don't pair up."""
    kept, inside = [], False
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if BEGIN in line or END in line:
            if inside == (BEGIN in line):
                raise MarksError(f"{path} line {number}: `{BEGIN}` and `{END}` do not pair up")
            inside = BEGIN in line
        elif not inside:
            kept.append(line)
    if inside:
        raise MarksError(f"{path}: a `{BEGIN}` has no `{END}`")
    return "".join(kept)
