"""How texts of a file stand for numbers, for true and false, and for no value at all, as a contract says it.

The options have the names of the Frictionless Table Schema. They stand at the landing server, for the whole file, or at
a property, for its values alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from open_data_contract_standard.model import CustomProperty

NOTATION_OPTIONS = ("missingValues", "decimalChar", "groupChar", "trueValues", "falseValues")
_LISTS = ("missingValues", "trueValues", "falseValues")
_BLANKS = " \u00a0\u202f"  # of which spreadsheets take one or another between thousands
_APOSTROPHES = "'\u2019"


@dataclass(frozen=True)
class Notation:
    """How values are written. Raises ValueError, with a sentence, for one that contradicts itself."""

    missing_values: tuple[str, ...]
    decimal_char: str = "."
    group_char: str | None = None  # between thousands
    true_values: tuple[str, ...] = ("true",)
    false_values: tuple[str, ...] = ("false",)

    def __post_init__(self) -> None:
        for name, char in (("decimalChar", self.decimal_char), ("groupChar", self.group_char)):
            if char is not None and (len(char) != 1 or char.isalnum() or char in "+-\r\n\0"):
                raise ValueError(f"{name}: {char!r} can't be one: give one character that is no letter, digit or sign")
        if self.group_char is not None and self.decimal_char in self.group_chars:
            raise ValueError(f"groupChar: {self.group_char!r} is the decimalChar too")
        words = {"missingValues": self.missing_values, "trueValues": self.true_values, "falseValues": self.false_values}
        for name, texts in words.items():  # none of them empty, before they are compared
            if name != "missingValues" and not (texts and all(texts)):
                raise ValueError(f"{name}: give at least one word")
        for name, texts in words.items():
            for other, others in words.items():
                if other != name and (both := sorted(set(texts) & set(others))):
                    raise ValueError(f"{name}: {both[0]!r} is one of the {other} too")

    @property
    def group_chars(self) -> str:
        """All characters that may stand between thousands: a blank stands for no-break ones too."""
        char = self.group_char or ""
        return next((alike for alike in (_BLANKS, _APOSTROPHES) if char and char in alike), char)

    @property
    def is_plain_number(self) -> bool:
        """Whether numbers are written as JSON writes them."""
        return self.decimal_char == "." and self.group_char is None

    def number_pattern(self, *, is_integer: bool) -> re.Pattern[str]:
        """Return what a number is like: in groups of three throughout, or without any group."""
        groups = re.escape(self.group_chars)
        whole = rf"[1-9][0-9]{{0,2}}(?:([{groups}])[0-9]{{3}}(?:\1[0-9]{{3}})*)|[0-9]+" if groups else "[0-9]+"
        decimals = "" if is_integer else f"(?:{re.escape(self.decimal_char)}[0-9]+)?"
        return re.compile(f"-?(?:{whole}){decimals}")

    def number(self, text: str) -> str:
        """Return a number that is like the pattern, as JSON writes it."""
        for char in self.group_chars:
            text = text.replace(char, "")
        return text if self.decimal_char == "." else text.replace(self.decimal_char, ".")

    @property
    def example(self) -> str:
        """A number as messages show it."""
        return f"1{self.group_char or ''}234{self.decimal_char}5"


def notation_of(properties: Iterable[CustomProperty] | None, default: Notation) -> Notation:
    """Return the default with what custom properties say. Raises ValueError, with a sentence, for what can't be."""
    said: dict[str, Any] = {p.property: p.value for p in properties or [] if p.property in NOTATION_OPTIONS}
    changes: dict[str, Any] = {}
    for name, value in said.items():
        if name in _LISTS:
            changes[_snake(name)] = text_list(name, value)
        elif not isinstance(value, str):
            raise ValueError(f"{name}: {value!r} is no text: write it in quotes")
        else:
            changes[_snake(name)] = value or None if name == "groupChar" else value
    return replace(default, **changes) if changes else default


def text_list(name: str, value: Any) -> tuple[str, ...]:
    """Return a list of texts. YAML makes other values of NO, 1 and null, which is then said."""
    if type(value) is not list:
        raise ValueError(f'{name}: {value!r} is no list: write it as ["", "NA"]')
    for text in value:
        if type(text) is not str:
            raise ValueError(f"{name}: {text!r} is no text: write it in quotes")
    return tuple(value)


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda found: "_" + found[0].lower(), name)
