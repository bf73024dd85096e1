"""Parquet files and Excel workbooks of a contract, read as rows like those of JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from open_data_contract_standard.model import SchemaProperty

from include.contracts import Contract
from include.readers import Line, Stream
from include.readers.table_lines import Wanted
from include.readers.tables import seekable, table_rows


@contextmanager
def rows_of_table(contract: Contract, stream: Stream, file: Path) -> Iterator[Iterator[Line]]:
    """Give the rows of an open file. Raises FileError for one that can't be read, or whose columns do not fit."""
    columns = {str(spec.name): _wanted(spec) for spec in contract.properties}
    with (
        seekable(stream, file, contract.max_bytes) as unpacked,
        table_rows(
            contract.format,
            unpacked,
            columns,
            sheet=contract.sheet,
            header_row=contract.header_row,
            max_bytes=contract.max_bytes,
        ) as rows,
    ):
        yield rows


def _wanted(spec: SchemaProperty) -> Wanted:
    keeps_digits = (spec.physicalType or "").startswith(("numeric", "jsonb"))
    return Wanted(bool(spec.required), spec.logicalType or "string", keeps_digits)
