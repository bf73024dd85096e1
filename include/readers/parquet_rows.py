"""Rows of Parquet files, read piece by piece whatever the size of a row group.

Arrow turns what JSON has no value for into text, in every digit that the file has: `2026-01-31`, `23:59:59.123456789`,
`2026-01-31 23:59:59.123456789`, with a Z where the column has a zone, because Parquet then keeps UTC. Bytes are text
where they are UTF-8, as many programs write texts so. A map is an object, or, where its keys are no texts, a list of
objects with `key` and `value`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import repeat
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import types

from include.readers.streams import Line
from include.readers.table_lines import OddValueError, Wanted, check_columns, line_of
from include.storage import UnusableFileError

_AT_ONCE = 1000  # rows that are made Python values at once
_BUFFER = 1 << 16  # bytes that are read of each column at once
pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps 10 MB more of the process's memory, and is no faster
_OUT_OF_RANGE = "<value out of range"  # what Arrow writes for a time that its calendar has not
_DAMAGED = "holds damaged Parquet, or some that can't be read here ({}): send it again"


def parquet_rows(file: BinaryIO, columns: dict[str, Wanted] | None) -> Iterator[Line]:
    """Yield every row as {column: value}, numbered from 1. Without `columns` any are taken.

    Raises UnusableFileError for a file that is damaged, cut short or encrypted, or whose columns do not fit.
    """
    parquet = _open(file)
    schema = parquet.schema_arrow
    check_columns(schema.names, columns)
    targets = [_target_of_column(field.type, field.name) for field in schema]
    number = 1
    for batch in _batches(parquet):
        values, odd = [], dict[int, list[str]]()
        for name, column, target in zip(schema.names, batch.columns, targets, strict=True):
            values.append(_values(name, column, target, odd))
        rows = map(dict, map(zip, repeat(schema.names), zip(*values, strict=True)))
        if odd:
            yield from (line_of(n, row, odd.get(n - number)) for n, row in enumerate(rows, number))
        else:
            yield from zip(range(number, number + batch.num_rows), repeat(b""), rows, repeat(None))
        number += batch.num_rows


def parquet_schema(file: BinaryIO) -> pa.Schema:
    """Return the columns and types of a file, which is read from its beginning afterwards."""
    schema = _open(file).schema_arrow
    file.seek(0)
    return schema


def _open(file: BinaryIO) -> pq.ParquetFile:
    try:
        # Row groups are read through a buffer and not as a whole, so that a large one takes no memory.
        return pq.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        said = str(error)
        if "magic bytes not found in footer" in said or "file size is" in said:
            raise UnusableFileError("ends before its Parquet does: it was cut short, send it again") from None
        if "crypt" in said:
            raise UnusableFileError("is encrypted Parquet: send it without encryption") from None
        raise UnusableFileError(_DAMAGED.format(type(error).__name__)) from None


def _batches(parquet: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    try:
        yield from parquet.iter_batches(batch_size=_AT_ONCE, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        if "crypt" in str(error):
            raise UnusableFileError("is encrypted Parquet: send it without encryption") from None
        raise UnusableFileError(_DAMAGED.format(type(error).__name__)) from None


def _target_of_column(type_: pa.DataType, name: str) -> pa.DataType:
    """Return the type that a column is cast to. Raises UnusableFileError for one that has no value here."""
    if _is_uuid(type_):
        return pa.string()
    return _target(type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_, name)


def _is_uuid(type_: pa.DataType) -> bool:
    return isinstance(type_, pa.BaseExtensionType) and type_.extension_name == "arrow.uuid"


def _target(type_: pa.DataType, name: str) -> pa.DataType:
    if types.is_dictionary(type_):
        return _target(type_.value_type, name)
    if types.is_map(type_):
        return pa.map_(_target(type_.key_type, name), _target(type_.item_type, name))
    if types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        return pa.large_list(_target(type_.value_type, name))
    if types.is_struct(type_):
        fields = [pa.field(field.name, _target(field.type, name)) for field in type_]
        check_columns([field.name for field in fields], None)
        return pa.struct(fields)
    if types.is_timestamp(type_) or types.is_date(type_) or types.is_time(type_):
        return pa.string()
    if types.is_float16(type_):
        return pa.float32()
    if types.is_fixed_size_binary(type_) or types.is_binary(type_) or types.is_large_binary(type_):
        return pa.large_binary()
    is_plain = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_null)
    if any(test(type_) for test in (*is_plain, types.is_string, types.is_large_string)):
        return type_
    raise UnusableFileError(f"has a column {name!r} of the type {type_}, which JSON has no value for: cast it")


def _values(name: str, column: pa.Array, target: pa.DataType, odd: dict[int, list[str]]) -> list[Any]:
    """Return a column's values. `odd` gets a sentence for each place whose value can't be told."""
    if _is_uuid(column.type):
        return [None if value is None else str(value) for value in column.to_pylist()]
    plain = column.storage if isinstance(column, pa.ExtensionArray) else column
    plain = _in_utc(plain)
    try:
        cast = plain if plain.type == target else plain.cast(target)
        if not _needs_care(cast, plain.type):
            values: list[Any] = cast.to_pylist()
            return values
        values = cast.to_pylist()
    except UnicodeDecodeError:  # some text is none: as bytes, of which each is tried
        target = _as_bytes(target)
        values = cast.cast(target).to_pylist()
    is_time = types.is_temporal(plain.type) or types.is_nested(plain.type)
    for place, value in enumerate(values):
        try:
            values[place] = _exact(value, target, is_time=is_time)
        except OddValueError as error:
            odd.setdefault(place, []).append(f"{name}: {error}")
    return values


def _in_utc(column: pa.Array) -> pa.Array:
    """Return a column whose times have UTC as their zone, where they have one: Arrow writes a Z for it."""
    wanted = _type_in_utc(column.type)
    return column if wanted == column.type else column.cast(wanted)


def _type_in_utc(type_: pa.DataType) -> pa.DataType:
    if types.is_timestamp(type_) and type_.tz is not None:
        return pa.timestamp(type_.unit, "UTC")
    if types.is_map(type_):
        return pa.map_(_type_in_utc(type_.key_type), _type_in_utc(type_.item_type))
    if types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        inner = _type_in_utc(type_.value_type)
        return type_ if inner == type_.value_type else pa.large_list(inner)
    if types.is_struct(type_):
        return pa.struct([pa.field(field.name, _type_in_utc(field.type)) for field in type_])
    return type_


def _needs_care(column: pa.Array, original: pa.DataType) -> bool:
    """Return whether some value may be one that can't be told, or has to be turned into another."""
    if types.is_nested(original):
        return _holds_hard_values(original)
    if types.is_floating(column.type):
        return pc.all(pc.is_finite(column)).as_py() is False
    if types.is_temporal(original):
        return bool(pc.any(pc.starts_with(column, _OUT_OF_RANGE)).as_py())
    return bool(types.is_large_binary(column.type))


def _holds_hard_values(type_: pa.DataType) -> bool:
    if types.is_struct(type_):
        return any(_holds_hard_values(field.type) for field in type_)
    if types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        return _holds_hard_values(type_.value_type)
    easy = (types.is_integer, types.is_decimal, types.is_boolean, types.is_string, types.is_large_string)
    return not any(test(type_) for test in easy)


def _exact(value: Any, type_: pa.DataType, *, is_time: bool) -> Any:
    """Return a value of a cast column as JSON would have it. Raises OddValueError."""
    if value is None:
        return None
    if types.is_floating(type_):
        if not math.isfinite(value):
            raise OddValueError(f"is {value}, which is no number: write null, or leave the row out")
    elif types.is_large_binary(type_):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise OddValueError("holds bytes that are no text in UTF-8") from None
    elif types.is_string(type_):
        if is_time and value.startswith(_OUT_OF_RANGE):
            raise OddValueError("is a time that is out of range")
    elif types.is_map(type_):
        return _map(value, type_, is_time=is_time)
    elif types.is_struct(type_):
        return {field.name: _exact(value[field.name], field.type, is_time=is_time) for field in type_}
    elif types.is_large_list(type_):
        return [_exact(item, type_.value_type, is_time=is_time) for item in value]
    return value


def _map(pairs: list[tuple[Any, Any]], type_: pa.MapType, *, is_time: bool) -> Any:
    exact = [
        (_exact(key, type_.key_type, is_time=is_time), _exact(value, type_.item_type, is_time=is_time))
        for key, value in pairs
    ]
    if not any(test(type_.key_type) for test in (types.is_string, types.is_large_string, types.is_large_binary)):
        return [{"key": key, "value": value} for key, value in exact]
    made = dict(exact)
    if len(made) < len(exact):
        raise OddValueError("is a map that names a key twice: nothing says which value counts")
    return made


def _as_bytes(type_: pa.DataType) -> pa.DataType:
    """Return a type with bytes in the place of texts."""
    if types.is_string(type_) or types.is_large_string(type_):
        return pa.large_binary()
    if types.is_map(type_):
        return pa.map_(_as_bytes(type_.key_type), _as_bytes(type_.item_type))
    if types.is_large_list(type_):
        return pa.large_list(_as_bytes(type_.value_type))
    if types.is_struct(type_):
        return pa.struct([pa.field(field.name, _as_bytes(field.type)) for field in type_])
    return type_


def is_map(type_: pa.DataType) -> bool:
    """Return whether a type is that of maps."""
    return bool(types.is_map(type_))


def holds_map(type_: pa.DataType) -> bool:
    """Return whether a type is that of lists or maps that hold maps, at whatever depth."""
    if types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        return _is_or_holds_map(type_.value_type)
    return bool(types.is_map(type_)) and _is_or_holds_map(type_.item_type)


def _is_or_holds_map(type_: pa.DataType) -> bool:
    if types.is_struct(type_):
        return any(_is_or_holds_map(field.type) for field in type_)
    return bool(types.is_map(type_)) or holds_map(type_)


def logical_and_physical(type_: pa.DataType) -> tuple[str, str] | None:
    """Return the logical type and that of a column for every value of a type; None for texts and nested ones."""
    if isinstance(type_, pa.BaseExtensionType):
        return ("string", "uuid") if _is_uuid(type_) else logical_and_physical(type_.storage_type)
    if types.is_dictionary(type_):
        return logical_and_physical(type_.value_type)
    if types.is_boolean(type_):
        return "boolean", "boolean"
    if types.is_integer(type_):
        is_small = type_.bit_width < 32 or type_ == pa.int32()
        return "integer", "integer" if is_small else "bigint" if type_ != pa.uint64() else "numeric"
    if types.is_floating(type_):
        return "number", "double precision"
    if types.is_decimal(type_):
        whole, scale = max(type_.precision, type_.precision - type_.scale, type_.scale), max(type_.scale, 0)
        return "number", f"numeric({whole},{scale})"
    if types.is_date(type_):
        return "date", "date"
    return ("timestamp", "timestamptz") if types.is_timestamp(type_) else None
