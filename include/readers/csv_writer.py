"""A CSV record as a file of a dialect would have it, to be read, mended and sent again by people."""

from __future__ import annotations

from collections.abc import Container, Iterable

from include.readers.dialect import Dialect


def as_record(values: Iterable[str | None], dialect: Dialect) -> str:
    """Return values as one record without its line end. None is the first of the texts that stand for no value.

    Where a dialect has neither quotes nor escapes, a value that holds a delimiter or a line end stands as it is.
    """
    null = dialect.missing_values[0] if dialect.missing_values else ""
    texts = [null if value is None else _written(value, dialect) for value in values]
    if texts == [""] and dialect.quote_char:  # which would be a blank line
        texts = [_quoted("", dialect)]
    return dialect.delimiter.join(texts) + (dialect.delimiter if dialect.trailing_delimiter else "")


def _written(value: str, dialect: Dialect) -> str:
    special = set(f"\r\n{dialect.delimiter}{dialect.quote_char or ''}{dialect.escape_char or ''}")
    is_padded = dialect.skip_initial_space and value.startswith(" ")
    is_comment = dialect.comment_char is not None and value.startswith(dialect.comment_char)
    if not (is_padded or is_comment or set(value) & special):
        return value
    if dialect.quote_char:
        return _quoted(value, dialect)
    if dialect.escape_char and (is_padded or is_comment):
        return dialect.escape_char + value[0] + _escaped(value[1:], special, dialect)
    return _escaped(value, special, dialect)


def _quoted(value: str, dialect: Dialect) -> str:
    quote = dialect.quote_char or ""
    special = {dialect.escape_char} if dialect.double_quote else {dialect.escape_char, quote}
    value = _escaped(value, special, dialect)
    return f"{quote}{value.replace(quote, 2 * quote) if dialect.double_quote else value}{quote}"


def _escaped(value: str, special: Container[str | None], dialect: Dialect) -> str:
    if not dialect.escape_char:
        return value
    return "".join(dialect.escape_char + char if char in special else char for char in value)
