"""How the records of a CSV are cut into values. The names are those of the Frictionless Table Dialect, and of CSVW."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Dialect:
    """A dialect of CSV. `include.contracts.dialect` reads one from a contract, and refuses what contradicts itself."""

    delimiter: str = ","  # of any length
    quote_char: str | None = '"'  # None: a quote is text like any other
    double_quote: bool = True  # a quote in a quoted value is doubled
    escape_char: str | None = None  # takes from the character behind it what it means in the dialect
    escape_sequences: bool = False  # and makes a line feed of an n, a tab of a t, as MySQL and PostgreSQL do
    header: bool = True
    skip_rows: int = 0  # lines before the header, or before the first record
    skip_footer_rows: int = 0  # records at the end
    comment_char: str | None = None  # what a line begins with that is no record
    trailing_delimiter: bool = False  # one stands behind the last value too
    skip_initial_space: bool = False  # behind a delimiter, before a quote too
    trim: bool = False  # white space around every value, within quotes too
    missing_values: tuple[str, ...] = ("",)  # texts that stand for no value

    @property
    def raw_missing_values(self) -> frozenset[str]:
        r"""Those that hold the escape, as \N does: they are told by the text before it loses its escapes."""
        escape = self.escape_char
        return frozenset(text for text in self.missing_values if escape and escape in text)

    @property
    def is_plain(self) -> bool:
        """Whether Python's csv module reads it right."""
        return len(self.delimiter) == 1 and self.double_quote and self.escape_char is None
