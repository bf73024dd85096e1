"""Samples that are no text: Parquet files, whose types are those of their columns, and sheets of workbooks."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from include.contracts.header_guess import place_below_title
from include.contracts.model import MAX_FETCH_BYTES
from include.contracts.names import free_column
from include.contracts.sample import Sample
from include.readers import Line, opened
from include.readers.packing import BEGIN_BYTES, packing_of, unpacked
from include.readers.table_lines import Wanted
from include.readers.tables import seekable, table_rows
from include.storage import hash_of

_BLOCK_ROWS = 5000
_MOST_TITLES = 30  # rows before the header
_PARQUET = re.compile(rb"PAR1[\0-\x08\x0e-\x1f]")
_WORKBOOK = re.compile(
    rb"PK\x03\x04.{0,4000}(\[content_types\]\.xml|xl/)|PK\x03\x04.{26}mimetypeapplication/vnd\.oasis|\xd0\xcf\x11\xe0",
    re.DOTALL | re.IGNORECASE,
)


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


def read_table(
    parts: Sequence[Path], format_: str, *, rows: int | None, sheet: str | None, header_row: int
) -> tuple[Sample, list[Path]]:
    """Read the parts of a sample, of which `table_format` has told the format, and return which were read.

    A part with other columns than the first is passed over. Raises FileError for one that can't be read.
    """
    columns: dict[str, Wanted] | None = None
    if format_ == "xlsx":  # a column of texts and numbers is one of texts
        with _lines(parts, format_, columns, sheet, header_row) as lines:
            columns = _wanted(line for _, line in islice(lines, rows)) or None  # None: no row says what they hold
    seen, read = Sample(is_csv=False), [parts[0]]
    with _lines(parts, format_, columns, sheet, header_row) as lines:
        names: list[str] = []
        while block := list(islice(lines, _BLOCK_ROWS if rows is None else min(_BLOCK_ROWS, rows - seen.rows))):
            valid = [value for _, (_, _, value, problem) in block if problem is None]
            for _, (number, _, _, problem) in block:
                if problem is not None:
                    seen.leave_out(f"line {number}: {problem.reason}")
            names = names or list(next(iter(valid), {}))
            seen.add({name: [_sampled(value[name]) for value in valid] for name in names}, len(valid))
            read += dict.fromkeys(part for part, _ in block if part not in read)
            if rows is not None and seen.rows + seen.left_out >= rows:
                break
        seen.is_whole = next(lines, None) is None
    return seen, read


def told_header_row(part: Path, sheet: str | None) -> int:
    """Return the row of a sheet that has the names: the first one, or the one below titles."""
    with _lines([part], "xlsx", None, sheet, 1) as lines:
        first = [(number, value or {}) for _, (number, _, value, _) in islice(lines, _MOST_TITLES)]
    if not first:
        return 1
    names = list(first[0][1])
    title = [None if re.fullmatch("column_[0-9]+", name) else name for name in names]
    rows = [
        [value if isinstance(value, str) or value is None else repr(value) for value in row.values()]
        for _, row in first
    ]
    place = place_below_title([title, *rows])
    return first[place - 1][0] if place else 1


@contextlib.contextmanager
def _lines(
    parts: Sequence[Path], format_: str, columns: dict[str, Wanted] | None, sheet: str | None, header_row: int
) -> Iterator[Iterator[tuple[Path, Line]]]:
    """Give the lines of the parts that have the columns of the first one, each with its part."""

    def lines_of(part: Path) -> Iterator[Line]:
        with (
            opened(part, hash_of(part), format_=format_) as stream,
            seekable(stream, part, MAX_FETCH_BYTES) as file,
            table_rows(format_, file, columns, sheet=sheet, header_row=header_row, max_bytes=MAX_FETCH_BYTES) as lines,
        ):
            yield from lines

    def all_lines() -> Generator[tuple[Path, Line]]:
        names: set[str] = set()
        for part in parts:
            for number, line in enumerate(lines_of(part)):
                if line[2]:
                    names = names or set(line[2])
                    if number == 0 and set(line[2]) != names:
                        break
                yield part, line

    with contextlib.closing(all_lines()) as lines:
        yield lines


def _wanted(lines: Iterable[Line]) -> dict[str, Wanted]:
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
