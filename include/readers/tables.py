"""Rows of files that are tables and no text, Parquet and Excel workbooks: what their readers share.

Their values come as JSON's would: texts, numbers with every digit (int, float, Decimal), true and false, lists and
objects. What JSON has no value for comes as a text: a date, a time. What can't be told exactly makes its row a problem.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import orjson

from include.readers.packing import BEGIN_BYTES, packing_of
from include.readers.streams import CHUNK, Line, Stream, Unreadable
from include.storage import UnavailableFileError, UnusableFileError


class Wanted(NamedTuple):
    """What is expected of a column."""

    required: bool = False
    kind: str = ""  # the logical type; empty where nobody knows yet
    keeps_digits: bool = False  # a number of any length


class OddValueError(Exception):
    """A value can't be told exactly. The message completes the sentence that begins with the column's name."""


@contextlib.contextmanager
def seekable(stream: Stream, file: Path, max_bytes: int) -> Iterator[BinaryIO]:
    """Give what an open file holds, for reading at any place: the file itself, or a copy where it is packed.

    `stream` is the file as `opened` gives it. Raises UnusableFileError for one that is larger than max_bytes unpacked.
    """
    with file.open("rb") as itself:
        if packing_of(itself.read(BEGIN_BYTES)) is None:
            raw: Any = stream  # a BufferedReader over the file that is hashed
            if not os.path.samestat(os.fstat(itself.fileno()), os.fstat(raw.raw.fileno())):
                raise UnavailableFileError("changed while it was read: it is taken up by the next run")
            itself.seek(0)
            yield itself
            return
    with tempfile.TemporaryFile(prefix="landing-") as copy:
        copy_limited(stream, copy, max_bytes)
        copy.seek(0)
        yield copy


def copy_limited(stream: Stream, target: BinaryIO | io.RawIOBase, max_bytes: int) -> None:
    """Copy what is unpacked to a file. Raises UnusableFileError where it is more than max_bytes."""
    size = 0
    while block := stream.read(CHUNK):
        size += len(block)
        if size > max_bytes:
            raise too_large(max_bytes)
        target.write(block)


def too_large(max_bytes: int) -> UnusableFileError:
    """Return the error of a file that holds more than may be unpacked."""
    return UnusableFileError(
        f"holds more than {max_bytes} bytes unpacked: raise maxBytes in the contract if that is right"
    )


@contextlib.contextmanager
def table_rows(
    format_: str,
    file: BinaryIO,
    columns: dict[str, Wanted] | None,
    *,
    sheet: str | None,
    header_row: int,
    max_bytes: int,
) -> Iterator[Iterator[Line]]:
    """Give the rows of a Parquet file or a workbook, whose readers are imported for those who need them alone."""
    if format_ == "parquet":
        from include.readers.parquet_rows import parquet_rows

        rows = parquet_rows(file, columns)
    else:
        from include.readers.excel_rows import excel_rows

        rows = excel_rows(file, columns, sheet=sheet, header_row=header_row, max_bytes=max_bytes)
    with contextlib.closing(cast(Any, rows)):
        yield rows


def check_columns(names: list[str], columns: dict[str, Wanted] | None) -> None:
    """Raise UnusableFileError for names that do not fit the columns of a contract, or where one stands twice."""
    twice = [name for name in names if names.count(name) > 1]
    if columns is None:
        missing, unknown = [], []
    else:
        missing = [name for name, wanted in columns.items() if wanted.required and name not in names]
        unknown = [name for name in names if name not in columns]
    if missing or unknown:
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"has {len(unknown)} that the contract does not know"] if unknown else []
        raise UnusableFileError(f"has columns of which it {' and '.join(parts)}: mend the file or the contract")
    if twice:
        raise UnusableFileError(f"names the column {twice[0]!r} twice: rename one of them")


def line_of(number: int, row: dict[str, Any], odd: list[str] | None) -> Line:
    """Return a row, with its problem where some of its values could not be told."""
    if not odd:
        return (number, b"", row, None)
    return (number, orjson.dumps(_shown(row), default=str), None, Unreadable("value", "; ".join(odd)))


def _shown(value: Any) -> Any:
    """Return a value as a reject shows it: numbers digit by digit, and what is no JSON as a text."""
    if isinstance(value, dict):
        return {str(key): _shown(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        return orjson.Fragment(str(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    return value
