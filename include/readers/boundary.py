"""Where reading a CSV is certain again behind something that can be read in two ways, or not at all."""

from __future__ import annotations

import re

from include.readers.dialect import Dialect

_START, _TEXT, _QUOTED, _CLOSED = range(4)  # of a value; within one that has no quotes, within one that has, behind it
_AT_QUOTE = (_QUOTED, _TEXT, _CLOSED, _QUOTED)  # the state after a quote, by the state before it
_AT_QUOTE_NOT_DOUBLED = (_QUOTED, _TEXT, _CLOSED, _TEXT)  # where quotes are not doubled: a quote behind a closing one
_AT_QUOTE_QUOTED = (_QUOTED, _TEXT, _CLOSED, _CLOSED)  # is text, or closes the value that had not ended yet
_AT_DELIMITER = (_START, _START, _QUOTED, _START)
_AT_OTHER_END = (_TEXT, _TEXT, _QUOTED, _CLOSED)  # a CR before the LF that ends the line
_AT_TEXT = (_TEXT, _TEXT, _QUOTED, _TEXT)  # text behind the closing quote: the value goes on without quotes,
_AT_TEXT_QUOTED = (_TEXT, _TEXT, _QUOTED, _QUOTED)  # or it has not ended yet, and the quote is part of it


class Boundary:
    """Finds where a record ends in both ways in which a quote that is not doubled can be read."""

    def __init__(self, dialect: Dialect, end: bytes) -> None:
        self._delimiter = dialect.delimiter.encode()
        self._quote = dialect.quote_char.encode() if dialect.quote_char else None
        self._escape = dialect.escape_char.encode() if dialect.escape_char else None
        marks = [mark for mark in (self._quote, self._delimiter) if mark]
        escaped = [re.escape(self._escape) + b"(?:\r\n|.)"] if self._escape else []
        begins = b"".join(re.escape(mark[:1]) for mark in (*marks, self._escape or b""))
        runs = [b"[^" + begins + b"\r\n]+", b"."]
        self._tokens = re.compile(b"|".join([*escaped, *map(re.escape, marks), *runs]), re.DOTALL)
        self._longest = max(map(len, (*marks, (self._escape or b"") + b" ")))
        self._is_double = dialect.double_quote
        self._skips_space = dialect.skip_initial_space
        self._end = end
        self._states = (_START, _START)
        self._rest = b""  # of a piece of a line: what may be the beginning of a mark
        self.is_at_line_end = False
        self.is_ambiguous = False
        self.line_ends = 0

    @property
    def is_at_record_end(self) -> bool:
        return self._states == (_START, _START)

    @property
    def is_certain(self) -> bool:
        return self.is_at_line_end and self.is_at_record_end

    def read(self, raw: bytes) -> None:
        """Go on with a line, or a piece of one."""
        self.line_ends += raw.count(self._end)
        self.is_at_line_end = raw.endswith(self._end)
        raw = self._rest + raw
        self._rest = self._read(raw, len(raw) if self.is_at_line_end else len(raw) - self._longest + 1)

    def finish(self) -> None:
        """Read what is left at the end of the file."""
        self._rest = self._read(self._rest, len(self._rest))

    def _read(self, raw: bytes, end: int) -> bytes:
        """Read the tokens that begin before a place, and return what is left."""
        place = 0
        while place < end:
            if self._states == (_QUOTED, _QUOTED) and self._escape is None:  # nothing but a quote matters
                place = raw.find(self._quote or b"", place)
                if place < 0:
                    return b""
            token = self._tokens.match(raw, place)
            assert token is not None
            place = token.end()
            self._take(token[0])
        return raw[place:]

    def _take(self, token: bytes) -> None:
        unquoted, quoted = self._states
        if token == self._quote:
            if not self._is_double:
                self.is_ambiguous |= _CLOSED in self._states
                self._states = (_AT_QUOTE_NOT_DOUBLED[unquoted], _AT_QUOTE_QUOTED[quoted])
            else:
                self._states = (_AT_QUOTE[unquoted], _AT_QUOTE[quoted])
        elif token in (self._delimiter, self._end):
            self._states = (_AT_DELIMITER[unquoted], _AT_DELIMITER[quoted])
        elif token in (b"\r", b"\n"):
            self._states = (_AT_OTHER_END[unquoted], _AT_OTHER_END[quoted])
        elif not (self._skips_space and not token.strip(b" ") and _START in self._states):
            self.is_ambiguous |= _CLOSED in self._states
            self._states = (_AT_TEXT[unquoted], _AT_TEXT_QUOTED[quoted])
