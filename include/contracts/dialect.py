"""The dialect that a contract's landing server says, read into a `Dialect` and a `Notation`, or refused.

The standard has `delimiter` and `encoding` of a server. Every other option is a custom property of it, under its name
in the Frictionless Table Dialect, and in CSV on the Web where that has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from open_data_contract_standard.model import SchemaProperty, Server

from include.contracts.notation import notation_of
from include.contracts.notation_check import every_property, server_notation
from include.readers import Dialect

DIALECT_OPTIONS = (
    *("quoteChar", "doubleQuote", "escapeChar", "escapeSequences", "header", "skipRows", "skipFooterRows"),
    *("commentChar", "trailingDelimiter", "skipInitialSpace", "trim"),
)
_NO_CHAR = "\r\n\0"


def read_dialect(server: Server, properties: Iterable[SchemaProperty]) -> Dialect:
    """Return how a server's files are cut into values. Raises ValueError, with a sentence, for what can't be.

    `properties` are the contract's: a text that one of them takes for a value is none that the reader may drop.
    """
    if server.format != "csv":
        return _refuse_all(server)
    said: dict[str, Any] = {p.property or "": p.value for p in server.customProperties or []}
    quote = _char(said, "quoteChar", '"')
    escape = _char(said, "escapeChar", None)
    dialect = Dialect(
        delimiter=read_delimiter("," if server.delimiter is None else server.delimiter),
        quote_char=quote,
        double_quote=_flag(said, "doubleQuote", default=quote is not None),
        escape_char=escape,
        escape_sequences=_flag(said, "escapeSequences"),
        header=_flag(said, "header", default=True),
        skip_rows=_count(said, "skipRows"),
        skip_footer_rows=_count(said, "skipFooterRows"),
        comment_char=_text(said, "commentChar"),
        trailing_delimiter=_flag(said, "trailingDelimiter"),
        skip_initial_space=_flag(said, "skipInitialSpace"),
        trim=_flag(said, "trim"),
        missing_values=_reader_nulls(server, list(every_property(properties)), escape),
    )
    _check(dialect, said)
    return dialect


def read_delimiter(written: str) -> str:
    r"""Return what stands between the values of a CSV; a tab may be written as \t. Raises ValueError for none."""
    delimiter = written.replace("\\t", "\t")
    if not delimiter or set(delimiter) & set(_NO_CHAR):
        raise ValueError(f"delimiter: {written!r} can't be one: give one character or more, \\t for a tab, no line end")
    return delimiter


def _refuse_all(server: Server) -> Dialect:
    for each in server.customProperties or []:
        if each.property in DIALECT_OPTIONS:
            raise ValueError(f"{each.property}: is an option of CSV, and the format is {server.format}")
    return Dialect(missing_values=())


def _reader_nulls(server: Server, properties: list[SchemaProperty], escape: str | None) -> tuple[str, ...]:
    """Return the texts that the reader takes for no value: those with an escape, and the empty one if all agree."""
    default = server_notation(server)
    own = [notation_of(prop.customProperties, default).missing_values for prop in properties]
    for texts in own:
        for text in set(texts) - set(default.missing_values):
            if escape and escape in text:
                raise ValueError(f"missingValues: {text!r} holds the escapeChar: state it at the server")
    empty = [""] if all("" in texts for texts in (default.missing_values, *own)) else []
    return (*empty, *(text for text in default.missing_values if escape and escape in text))


def _check(dialect: Dialect, said: dict[str, Any]) -> None:
    """Raise ValueError for options that contradict each other."""
    chars = {
        "quoteChar": dialect.quote_char,
        "escapeChar": dialect.escape_char,
        "commentChar": dialect.comment_char,
        "delimiter": dialect.delimiter,
    }
    for place, (name, char) in enumerate(chars.items()):
        for other, text in list(chars.items())[place + 1 :]:
            if char and text and (char in text if other == "delimiter" else char[0] == text[0]):
                raise ValueError(f"{name}: {char!r} stands in the {other} {text!r} too")
    if dialect.comment_char and dialect.comment_char.startswith(dialect.delimiter):
        raise ValueError(f"commentChar: {dialect.comment_char!r} begins with the delimiter")
    if dialect.quote_char is None and said.get("doubleQuote"):
        raise ValueError("doubleQuote: there is no quoteChar")
    if dialect.escape_sequences and dialect.escape_char is None:
        raise ValueError("escapeSequences: there is no escapeChar")
    if dialect.skip_initial_space and dialect.delimiter.isspace():
        raise ValueError("skipInitialSpace: the delimiter is white space itself")
    for text in said.get("missingValues") or [] if dialect.trim else []:
        if text != text.strip():
            raise ValueError(f"missingValues: {text!r} begins or ends with white space, which trim takes away")


def _char(said: dict[str, Any], name: str, default: str | None) -> str | None:
    """Return an option of one character, None for "" and none."""
    if name not in said:
        return default
    char = said[name]
    if char is None or char in ("", "none"):
        return None
    if not isinstance(char, str) or len(char) != 1 or char in _NO_CHAR or char.isalnum() or char == " ":
        raise ValueError(f"{name}: {char!r} can't be one: give one character, no letter or digit, or none")
    return char


def _text(said: dict[str, Any], name: str) -> str | None:
    text = said.get(name)
    if text is not None and (not isinstance(text, str) or not text.strip() or set(text) & set(_NO_CHAR)):
        raise ValueError(f"{name}: {text!r} can't be one: give what such a line begins with")
    return text


def _flag(said: dict[str, Any], name: str, *, default: bool = False) -> bool:
    value = said.get(name, default)
    if type(value) is not bool:
        raise ValueError(f"{name}: {value!r} is neither true nor false")
    return value


def _count(said: dict[str, Any], name: str) -> int:
    value = said.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name}: {value!r} is no number from 0 up")
    return value
