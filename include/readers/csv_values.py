"""The values of CSV records that Python's csv module can't read, or not strictly: it knows delimiters of one character
alone, takes text behind a closing quote where quotes are not doubled, and drops every escape whatever stands behind it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from include.readers.dialect import Dialect

# As MySQL (LOAD DATA) and PostgreSQL (COPY) read them.
_SEQUENCES = {"0": "\0", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "Z": "\x1a"}


class UnknownEscapeError(Exception):
    """A record could be read to its end, but holds an escape that means nothing there: what stands behind it."""


class ValueReader:
    """Reads records as csv.reader does in strict mode: from an iterator of lines, raising csv.Error.

    A value that is null by its raw text (`Dialect.raw_missing_values`) is None.
    """

    def __init__(self, lines: Iterator[str], dialect: Dialect) -> None:
        self._lines = lines
        self._dialect = dialect
        self._delimiter = dialect.delimiter
        self._quote = dialect.quote_char
        self._escape = dialect.escape_char
        self._nulls = dialect.raw_missing_values
        escape = [re.escape(self._escape)] if self._escape else []
        self._unquoted_stops = re.compile("|".join([re.escape(self._delimiter), *escape, "\r", "\n"]))
        self._quoted_stops = re.compile("|".join([re.escape(self._quote or "\0"), *escape]))
        self._text, self._place = "", 0  # the line that is read, and how far
        self._unknown: str | None = None  # what stands behind an escape that means nothing there

    def __iter__(self) -> ValueReader:
        return self

    def __next__(self) -> list[str | None]:
        self._text, self._place, self._unknown = next(self._lines), 0, None
        if (values := self._split()) is not None:
            return values
        values = []
        is_last = False
        while not is_last:
            if self._dialect.skip_initial_space:
                self._place += len(self._text) - self._place - len(self._text[self._place :].lstrip(" "))
            value: str | None
            if self._quote and self._text.startswith(self._quote, self._place):
                value, is_last = self._quoted()
            else:
                value, is_last = self._unquoted()
            values.append(value)
        if self._unknown is not None:
            raise UnknownEscapeError(self._unknown)
        return values

    def _split(self) -> list[str | None] | None:
        """Return the values of a line that has neither quotes nor escapes, but for those of a null."""
        if (self._quote and self._quote in self._text) or self._dialect.skip_initial_space:
            return None
        line = self._text.rstrip("\r\n")
        if "\r" in line or "\n" in line:
            return None
        values = line.split(self._delimiter)
        escape, nulls = self._escape, self._nulls
        if escape and not all(escape not in value or value in nulls for value in values):
            return None
        return [None if value in nulls else value for value in values]

    def _unquoted(self) -> tuple[str | None, bool]:
        """Read a value to the delimiter or line end behind it. Returns it, and whether it is the record's last one."""
        if self._nulls and (null := self._null_here()):
            self._place += len(null)
            is_last = not self._text.startswith(self._delimiter, self._place)
            self._place += 0 if is_last else len(self._delimiter)
            return None, is_last
        parts: list[str] = []
        while True:
            found = self._unquoted_stops.search(self._text, self._place)
            end = found.start() if found else len(self._text)
            parts.append(self._text[self._place : end])
            self._place = found.end() if found else end
            if found is None or found[0] != self._escape:
                break
            parts.append(self._escaped())
        is_last = found is None or found[0] != self._delimiter
        if is_last and self._text[end:].strip("\r\n"):
            raise csv.Error("a line end of another kind outside quotes")
        return "".join(parts), is_last

    def _null_here(self) -> str | None:
        """Return the null that is the whole next value."""
        for null in self._nulls:
            if self._text.startswith(null, self._place):
                behind = self._text[self._place + len(null) :]
                if behind.startswith(self._delimiter) or not behind.strip("\r\n"):
                    return null
        return None

    def _quoted(self) -> tuple[str, bool]:
        """Read a quoted value with its quotes, and what ends it."""
        quote = self._quote or ""
        parts: list[str] = []
        self._place += len(quote)
        while True:
            found = self._quoted_stops.search(self._text, self._place)
            if found is None:
                parts.append(self._text[self._place :])
                self._next_line(is_needed=True)
                continue
            parts.append(self._text[self._place : found.start()])
            self._place = found.end()
            if found[0] == self._escape:
                parts.append(self._escaped())
            elif self._dialect.double_quote and self._text.startswith(quote, self._place):
                parts.append(quote)
                self._place += len(quote)
            else:
                break
        if self._text.startswith(self._delimiter, self._place):
            self._place += len(self._delimiter)
            return "".join(parts), False
        if self._text[self._place :].strip("\r\n"):
            raise csv.Error("text behind a closing quote")
        return "".join(parts), True

    def _escaped(self) -> str:
        """Read what stands behind an escape, and return what both mean."""
        if self._place >= len(self._text):
            self._unknown = ""
            return ""
        char = "\r\n" if self._text.startswith("\r\n", self._place) else self._text[self._place]
        self._place += len(char)
        if self._place == len(self._text) and char[-1] in "\r\n":
            self._next_line(is_needed=False)
        if not char.isalnum():
            return char
        if self._dialect.escape_sequences and char in _SEQUENCES:
            return _SEQUENCES[char]
        self._unknown = char
        return char

    def _next_line(self, *, is_needed: bool) -> None:
        try:
            self._text, self._place = next(self._lines), 0
        except StopIteration:
            if is_needed:
                raise csv.Error("unexpected end of data") from None
            self._text, self._place = "", 0
