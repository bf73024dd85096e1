"""Samples that are no text: Parquet files, whose types are those of their columns, and sheets of workbooks."""

from __future__ import annotations

import contextlib
import re
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from include.contracts.model import MAX_FETCH_BYTES, ContractError
from include.contracts.names import free_column
from include.contracts.sample import Sample
from include.readers import Line, opened
from include.readers.packing import BEGIN_BYTES, packing_of, unpacked
from include.readers.tables import Wanted, copy_limited, seekable, table_rows
from include.storage import hash_of

_BLOCK_ROWS = 5000
_PARQUET = re.compile(rb"PAR1[\0-\x08\x0e-\x1f]")
_WORKBOOK = re.compile(
    rb"PK\x03\x04.{0,4000}(\[content_types\]\.xml|xl/)|PK\x03\x04.{26}mimetypeapplication/vnd\.oasis|\xd0\xcf\x11\xe0",
    re.DOTALL | re.IGNORECASE,
)


@contextlib.contextmanager
def out_of_zip(sample: Path, report: Callable[[str], None]) -> Iterator[Path]:
    """Give the sample or, where it is a zip of files, the first of them by name. A workbook is none."""
    if table_format(sample) is not None or not (sample.is_file() and zipfile.is_zipfile(sample)):
        yield sample
        return
    with zipfile.ZipFile(sample) as packed, tempfile.TemporaryDirectory() as folder:
        shown = [i for i in packed.infolist() if not i.is_dir() and not re.search(r"(^|/)(\.|__MACOSX/)", i.filename)]
        if not shown:
            raise ContractError("is a zip without a file: give another sample")
        first = min(shown, key=lambda info: info.filename)
        if first.flag_bits & 1:
            raise ContractError("is an encrypted zip: give one without a password")
        report(f"read {first.filename}, the first of {len(shown)} files in the zip")
        file = Path(folder, Path(first.filename.replace("\\", "/")).name)
        try:
            with packed.open(first) as stream, file.open("wb") as out:
                copy_limited(stream, out, MAX_FETCH_BYTES)
        except (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError):
            raise ContractError(f"{first.filename} is damaged in the zip: give another sample") from None
        yield file


def table_format(sample: Path) -> str | None:
    """Return parquet or xlsx for a sample that is one, packed or not; None for another."""
    if not sample.is_file():  # what comes through a pipe can be read but once
        return None
    with sample.open("rb") as raw:
        packing = packing_of(raw.read(BEGIN_BYTES))
        raw.seek(0)
        begin = (unpacked(raw, packing) if packing is not None else raw).read(4096)
    if _PARQUET.match(begin):
        return "parquet"
    return "xlsx" if _WORKBOOK.match(begin) else None


def read_table(sample: Path, format_: str, *, rows: int | None, sheet: str | None, header_row: int) -> Sample:
    """Read a sample, of which `table_format` has told the format. Raises FileError for one that can't be read."""
    columns: dict[str, Wanted] | None = None
    if format_ == "xlsx":  # a column of texts and numbers is one of texts
        with _lines(sample, format_, columns, sheet, header_row) as lines:
            columns = _wanted(islice(lines, rows)) or None  # None: no row says what its columns hold
    seen = Sample(is_csv=False)
    with _lines(sample, format_, columns, sheet, header_row) as lines:
        names: list[str] = []
        while block := list(islice(lines, _BLOCK_ROWS if rows is None else min(_BLOCK_ROWS, rows - seen.rows))):
            valid = [value for _, _, value, problem in block if problem is None]
            seen.left_out += len(block) - len(valid)
            problems = (f"row {number}: {problem.reason}" for number, _, _, problem in block if problem is not None)
            seen.why_left_out = seen.why_left_out or next(problems, "")
            names = names or list(next(iter(valid), {}))
            seen.add({name: [_sampled(value[name]) for value in valid] for name in names}, len(valid))
            if rows is not None and seen.rows + seen.left_out >= rows:
                break
        seen.is_whole = next(lines, None) is None
    return seen


@contextlib.contextmanager
def _lines(
    sample: Path, format_: str, columns: dict[str, Wanted] | None, sheet: str | None, header_row: int
) -> Iterator[Iterator[Line]]:
    with (
        opened(sample, hash_of(sample), format_=format_) as stream,
        seekable(stream, sample, MAX_FETCH_BYTES) as file,
        table_rows(format_, file, columns, sheet=sheet, header_row=header_row, max_bytes=MAX_FETCH_BYTES) as lines,
    ):
        yield lines


def _wanted(lines: Iterator[Line]) -> dict[str, Wanted]:
    """Return what the columns of a sheet hold, as far as it decides how their cells are read."""
    kinds: dict[str, set[str]] = {}
    for _, _, value, problem in lines:
        if problem is None:
            for name, cell in value.items():
                kinds.setdefault(name, set()).add(_kind(cell))
    wanted = {}
    for name, found in kinds.items():
        found -= {""}
        kind = ""
        if len(found) > 1:
            kind = "timestamp" if found == {"date", "timestamp"} else "string"
        wanted[name] = Wanted(kind=kind)
    return wanted


def _kind(cell: Any) -> str:
    if isinstance(cell, str):
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", cell):
            return "date"
        return "timestamp" if re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T", cell) else "text"
    return "" if cell is None else "boolean" if isinstance(cell, bool) else "number"


def _sampled(value: Any) -> Any:
    """Return a value as a sample takes it: its type comes from the file, and a whole number may be a key."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {key: _sampled(part) for key, part in value.items()}
    return [_sampled(part) for part in value] if isinstance(value, list) else value


def set_types(properties: list[dict[str, Any]], sample: Path) -> None:
    """Give properties that were drafted from a Parquet file the types of its columns."""
    from include.readers.parquet_rows import parquet_schema

    with (
        opened(sample, hash_of(sample), format_="parquet") as stream,
        seekable(stream, sample, MAX_FETCH_BYTES) as file,
    ):
        _set_types(properties, list(parquet_schema(file)), (), set(_columns(properties)))


def _columns(properties: list[dict[str, Any]]) -> Iterator[str]:
    for prop in properties:
        if "physicalType" in prop:
            yield prop.get("physicalName", prop["name"])
        else:
            yield from _columns(prop["properties"])


def _set_types(properties: list[dict[str, Any]], fields: list[Any], above: tuple[str, ...], taken: set[str]) -> None:
    from include.readers.parquet_rows import holds_map, is_map, logical_and_physical

    by_name = {field.name: field for field in fields}
    for prop in properties:
        field = by_name[prop["name"]]
        if holds_map(field.type):
            prop.pop("items", None)
        if prop["logicalType"] == "object" and "physicalType" not in prop:
            if is_map(field.type):
                _make_one_column(prop, above, taken)
            else:
                _set_types(prop["properties"], list(field.type), (*above, prop["name"]), taken)
            continue
        types = logical_and_physical(field.type)
        if types is None:
            continue
        prop["logicalType"], prop["physicalType"] = types
        custom = [each for each in prop.get("customProperties", []) if each["property"] != "arrivesAs"]
        prop.pop("customProperties", None)
        if custom:
            prop["customProperties"] = custom
        if prop["logicalType"] != "string":
            prop.pop("logicalTypeOptions", None)


def _make_one_column(prop: dict[str, Any], above: tuple[str, ...], taken: set[str]) -> None:
    """Make a map, which has other keys in other rows, one column of jsonb. A struct has a column for each value."""
    taken.difference_update(_columns(prop.pop("properties")))
    column = free_column("_".join((*above, prop["name"])), taken)
    taken.add(column)
    if column != prop["name"]:
        prop["physicalName"] = column
    prop["physicalType"] = "jsonb"
