"""How the project prints: tables of figures, and how far a long job is. Knows no stage and no table of theirs."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, TextIO

from rich.console import Console
from rich.status import Status
from rich.table import Table as RichTable
from rich.text import Text

_WIDEST = 10_000  # columns: a table is never folded, because people pipe it and logs have no width


@dataclass(frozen=True)
class Section:
    """A titled table: what a stage says of itself in a summary. `rows` are dicts by column name.

    `note` is a sentence below it, such as what is left over from earlier.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[dict[str, Any]]
    note: str = ""

    def __str__(self) -> str:
        text = f"{self.title}\n{table(self.columns, self.rows)}" if self.rows else f"{self.title}: nothing yet"
        return f"{text}\n{self.note}" if self.note else text


def table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as aligned text with a heading line. Numbers stand to the right; an absent value is empty."""
    grid = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for column in columns:
        numeric = bool(rows) and all(isinstance(row.get(column), int | float) for row in rows)
        grid.add_column(column, justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*(Text(_shown(row.get(column))) for column in columns))
    console = Console(file=io.StringIO(), width=_WIDEST, color_system=None)
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


class Progress:
    """One line that says how far a job is: rewritten in place on a terminal, and a line of its own in a log.

    In a log a line appears only when it says something new, or the same still after `again` seconds, and at most every
    `every` seconds. Use it in a `with` block: the terminal's line goes when the block ends.
    """

    def __init__(self, *, every: float = 0.0, again: float = float("inf"), stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._console = Console(file=self._stream, highlight=False)
        self._status: Status | None = None
        self._began = time.monotonic()
        self._every, self._again, self._printed_at, self._last = every, again, float("-inf"), ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def show(self, text: str) -> None:
        """Show how far the job is."""
        now = time.monotonic()
        if text == self._last and now - self._printed_at < self._again:
            return
        line = Text(f"[{now - self._began:4.0f} s] {text}")
        if self._console.is_terminal:
            self._last, self._printed_at = text, now
            line.truncate(self._console.width - 3, overflow="ellipsis")
            if self._status is None:
                self._status = self._console.status(line)
                self._status.start()
            else:
                self._status.update(line)
        elif now - self._printed_at >= self._every:
            self._last, self._printed_at = text, now
            print(line.plain, file=self._stream, flush=True)


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
