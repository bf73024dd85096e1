"""Rows of files that are tables and no text: a Parquet file or a workbook, plain or packed, opened for its reader."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from include.readers.packing import BEGIN_BYTES, copy_limited, packing_of
from include.readers.streams import Line, Stream
from include.readers.table_lines import Wanted
from include.storage import UnavailableFileError


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
