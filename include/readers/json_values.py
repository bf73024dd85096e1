"""JSON values in an array, or one after the other over several lines, read one by one whatever the file's size.

Where a value ends is told by Python's json module, or, where each stands on a line of its own, by the line's end. Then
the caller's parser reads it. A bad value whose end is known is one reject, as is one that is too long. A damaged one is
a reject up to where the next one certainly begins, and counts as so many rows as it has lines. Where nothing is certain
any more, the file can't be used.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from include.readers.streams import CHUNK, KEPT_BYTES, Line, Stream, Unreadable, UnreadableRowError, problem_of
from include.storage import UnusableFileError

_SPACE = re.compile(r"[ \t\r\n]*")
_SPACE_OR_COMMA = re.compile(r"[ \t\r\n,]*")
_BRACKETS = re.compile(r'"(?:[^"\\\n]|\\.)*"?|[{}\[\]]')  # and texts, none of which goes over a line end
_FOLLOWS = re.compile(r"[ \t\r\n]*(?:,[ \t\r\n]*[{\[\]]|[\]{]|\Z)")  # a next value, the array's end or the file's
_CLOSES = {"{": "}", "[": "]"}
_SCALAR = re.compile(r"[^,\]\n]*")
_QUOTE_OR_BRACKET = re.compile(r'["{}\[\]]')
_REST_OF_TEXT = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)  # without a way back, which would take memory
_INDENT = 1000  # characters before a value that are kept, to see how its line begins
_NEAR = 32  # characters; an error so close to the end of what was read may be due to that end


class JsonValues:
    """The values of a stream, of which `first` was read already: of arrays, or one after the other."""

    def __init__(self, stream: Stream, first: bytes, max_bytes: int, loads: Callable[[bytes], Any]) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._loads = loads
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._scan = json.JSONDecoder(strict=False).raw_decode  # a line end within a text does not hide the value's end
        self._text = self._decoder.decode(first)
        self._break = "\r" if "\r" in self._text and "\n" not in self._text else "\n"
        self._is_end = not first
        self._place = 0  # in the text
        self._number = 1  # of the line that the place is in
        self._line_end = -1  # of that line, as far as it is known

    def __iter__(self) -> Iterator[Line]:
        depth = 0  # 1 in an array
        while self._pass(_SPACE_OR_COMMA if depth else _SPACE):
            char = self._text[self._place]
            if char == "[" and not depth:
                depth = 1
                self._go_to(self._place + 1)
            elif char == "]" and depth:
                depth = 0
                self._go_to(self._place + 1)
                if self._pass(_SPACE) and self._text[self._place] != "[":
                    raise UnusableFileError(f"goes on behind the end of its array in line {self._number}: mend it")
            else:
                yield self._value(depth)
        if depth:
            raise UnusableFileError("ends within its array: it was cut short, send it again")

    def _pass(self, what: re.Pattern[str]) -> bool:
        """Go behind white space, and return whether something is there."""
        while True:
            found = what.match(self._text, self._place)
            assert found is not None
            self._go_to(found.end())
            if self._place < len(self._text):
                return True
            if not self._more():
                return False

    def _go_to(self, place: int) -> None:
        self._number += self._text.count(self._break, self._place, place)
        self._place = place

    def _more(self) -> bool:
        """Read on, so much that a value is not begun too often. Returns whether there was something."""
        if self._is_end:
            return False
        block = self._stream.read(max(CHUNK, len(self._text) - self._place))
        self._is_end = not block
        line_end = max(0, self._text.rfind("\n", 0, self._place))  # of the line before, to see where this one begins
        kept = line_end if self._place - line_end < _INDENT else self._place
        self._text = self._text[kept:] + self._decoder.decode(block, final=self._is_end)
        self._place, self._line_end = self._place - kept, -1
        return not self._is_end

    def _value(self, depth: int) -> Line:
        number = self._number
        line = self._value_of_line(number)
        if line is not None:
            return line
        while True:
            try:
                _, end = self._scan(self._text, self._place)
                break
            except json.JSONDecodeError as error:
                is_cut = error.pos > len(self._text) - _NEAR or error.msg.startswith("Unterminated")
            except RecursionError:
                return self._damaged(depth)
            if is_cut and len(self._text) - self._place > self._max_bytes:
                return self._too_long()
            if not is_cut or not self._more():
                return self._damaged(depth)
        if end == len(self._text) and self._text[end - 1] not in '}]"' and self._more():  # a number may go on
            return self._value(depth)
        return self._parsed(number, end)

    def _value_of_line(self, number: int) -> Line | None:
        """Return the value that the rest of the line holds; None where it is not one value."""
        if self._line_end < self._place:
            self._line_end = self._text.find("\n", self._place)
            if self._line_end < 0:
                self._line_end = len(self._text)
        rest = self._text[self._place : self._line_end] if self._line_end < len(self._text) else ""
        rest = rest.rstrip(", \t\r")
        if not rest.endswith("}") or len(rest) > self._max_bytes:
            return None
        raw = rest.encode("utf-8", "surrogateescape")
        try:
            value = self._loads(raw)
        except ValueError:
            return None
        self._place += len(rest)
        return (number, raw, value, None)

    def _parsed(self, number: int, end: int) -> Line:
        """Return the value that ends there."""
        raw = self._text[self._place : end].encode("utf-8", "surrogateescape")
        self._go_to(end)
        if len(raw) > self._max_bytes:
            return (number, raw[:KEPT_BYTES], None, self._length_problem())
        try:
            return (number, raw, self._loads(raw), None)
        except UnreadableRowError as error:
            return (number, raw, None, Unreadable(error.code, error.reason))
        except ValueError:
            return (number, raw, None, problem_of(raw, "json", "the value is not JSON"))

    def _damaged(self, depth: int) -> Line:
        """Pass over a value that is no JSON, to where the next one certainly begins."""
        number = self._number
        end = self._balanced_end()
        is_one = end is not None
        while end is None:
            end = self._next_line_like_this()
            if end is not None or len(self._text) - self._place > self._max_bytes or not self._more():
                break
        if end is None and not depth and self._is_end:
            end = len(self._text)
        if end is None:
            raise UnusableFileError(
                f"can't be read from line {number} on: a value begins there that is no JSON, and nothing says where "
                "the next one begins; mend it, or send it again"
            )
        raw = self._text[self._place : end].encode("utf-8", "surrogateescape")
        self._go_to(end)
        cut = "; the file ends in it" if end == len(self._text) and not depth else ""
        lines = 1 if is_one else raw.rstrip().count(self._break.encode()) + 1
        return (number, raw, None, problem_of(raw, "json", f"the value is not JSON{cut}", lines))

    def _balanced_end(self) -> int | None:
        """Return where the brackets of a value are closed, where another value or the end follows."""
        if self._text[self._place] not in "{[":
            found = _SCALAR.match(self._text, self._place)
            return max(found.end(), self._place + 1) if found else None
        while True:
            open_ones: list[str] = []
            for found in _BRACKETS.finditer(self._text, self._place):
                if found[0] in _CLOSES:
                    open_ones.append(_CLOSES[found[0]])
                elif found[0] in "]}" and open_ones.pop() != found[0]:
                    return None
                if not open_ones:
                    follows = _FOLLOWS.match(self._text, found.end())
                    is_last = follows is not None and follows.end() == len(self._text) and not self._is_end
                    if not is_last:
                        return found.end() if follows else None
                    break
            if len(self._text) - self._place > self._max_bytes or not self._more():
                if self._is_end and not open_ones:
                    continue  # once more, now that it is clear what follows
                return None

    def _next_line_like_this(self) -> int | None:
        """Return where the next line begins that opens an object like the line of the damaged value does.

        That is certain where what a value holds stands on its first line, or further to the right in the lines below.
        """
        begin = self._text.rfind("\n", 0, self._place) + 1
        indent = self._text[begin : self._place]
        if indent.strip() or (begin == 0 and self._number > 1) or self._text[self._place] != "{":
            return None
        first_end = self._text.find("\n", self._place)
        if first_end < 0:
            return None
        following = self._text[first_end + 1 :]
        is_deeper = following.startswith(indent) and following[len(indent) : len(indent) + 1] in (" ", "\t")
        if self._text[self._place + 1 : first_end].strip() == "" and not is_deeper:
            return None
        found = self._text.find("\n" + indent + "{", self._place)
        return None if found < 0 else found + 1 + len(indent)

    def _too_long(self) -> Line:
        """Pass over a value that is too long to be read, to where its quotes and brackets say that it ends."""
        number = self._number
        kept = self._text[self._place : self._place + KEPT_BYTES].encode("utf-8", "surrogateescape")[:KEPT_BYTES]
        depth, is_in_text = 0, False
        while True:
            # A backslash at the end of what was read belongs to what comes next.
            stop = len(self._text) if self._is_end else len(self._text.rstrip("\\"))
            place = self._place
            while place < stop:
                if is_in_text:
                    rest = _REST_OF_TEXT.match(self._text, place, stop)
                    place = rest.end() if rest else place
                    is_in_text = place == stop
                else:
                    found = _QUOTE_OR_BRACKET.search(self._text, place, stop)
                    if found is None:
                        break
                    place = found.start()
                    is_in_text = found[0] == '"'
                    depth += (found[0] in "{[") - (found[0] in "}]")
                place += 1
                if depth == 0 and not is_in_text:
                    self._go_to(place)
                    return (number, kept, None, self._length_problem())
            self._go_to(stop)
            if not self._more():
                raise UnusableFileError(
                    f"has a value of more than {self._max_bytes} bytes in line {number}, and nothing says where it "
                    "ends: mend it, or raise maxRowBytes in the contract"
                )

    def _length_problem(self) -> Unreadable:
        return Unreadable("too_long", f"the value is longer than {self._max_bytes} bytes")
