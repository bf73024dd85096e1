"""Values of Parquet come exactly, those that JSON has no value for as texts, or their row is a problem."""

from __future__ import annotations

import datetime as dt
import io
import json
import math
import tracemalloc
import uuid
from decimal import Decimal
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.readers.parquet_rows import logical_and_physical, parquet_rows
from include.readers.table_lines import Wanted
from include.storage import UnusableFileError


def written(columns: dict[str, pa.Array], **options: Any) -> io.BytesIO:
    made = io.BytesIO()
    pq.write_table(pa.table(columns), made, **options)
    made.seek(0)
    return made


def values(array: pa.Array, **options: Any) -> list[Any]:
    """Return an array's values after a way through a file; for a row that is a problem, what is wrong."""
    lines = parquet_rows(written({"v": array}, **options), None)
    return [value["v"] if problem is None else problem.reason for _, _, value, problem in lines]


DAY = dt.date(2026, 1, 31)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([-128, 127, None], pa.int8()), [-128, 127, None]),
        (pa.array([2**16 - 1], pa.uint16()), [65535]),
        (pa.array([-(2**63), 2**63 - 1], pa.int64()), [-(2**63), 2**63 - 1]),
        (pa.array([2**63, 2**64 - 1], pa.uint64()), [2**63, 2**64 - 1]),
        (pa.array([Decimal("1.50"), None], pa.decimal128(38, 2)), [Decimal("1.50"), None]),
        (pa.array([Decimal("9" * 70 + ".000001")], pa.decimal256(76, 6)), [Decimal("9" * 70 + ".000001")]),
        (pa.array([0.1, -0.0, 5e-324], pa.float64()), [0.1, -0.0, 5e-324]),
        (pa.array([0.1], pa.float32()), [0.10000000149011612]),
        (pa.array([0.5], pa.float32()).cast(pa.float16()), [0.5]),
        (pa.array([True, False, None]), [True, False, None]),
        (pa.nulls(2), [None, None]),
        (pa.array(["é", "", "00123", None]), ["é", "", "00123", None]),
        (pa.array(["a", "b", "a", None]).dictionary_encode(), ["a", "b", "a", None]),
        (pa.array([b"text", None], pa.binary()), ["text", None]),
        (pa.array([b"ab"], pa.binary(2)), ["ab"]),
        (pa.array([uuid.UUID(int=5).bytes, None], pa.uuid()), [str(uuid.UUID(int=5)), None]),
        (pa.array([DAY, dt.date(1, 1, 1), None]), ["2026-01-31", "0001-01-01", None]),
        (pa.array([1], pa.time32("ms")), ["00:00:00.001"]),
        (pa.array([86399999999999], pa.time64("ns")), ["23:59:59.999999999"]),
        (pa.array([1, None], pa.timestamp("ms")), ["1970-01-01 00:00:00.001", None]),
        (pa.array([1], pa.timestamp("us")), ["1970-01-01 00:00:00.000001"]),
        (pa.array([1, -1], pa.timestamp("ns")), ["1970-01-01 00:00:00.000000001", "1969-12-31 23:59:59.999999999"]),
        (pa.array([1], pa.timestamp("us", "Europe/Berlin")), ["1970-01-01 00:00:00.000001Z"]),
        (pa.array([1], pa.timestamp("ms", "+05:30")), ["1970-01-01 00:00:00.001Z"]),
        (pa.array([[1, None], [], None]), [[1, None], [], None]),
        (pa.array([[1.5, 2.0]], pa.list_(pa.float32(), 2)), [[1.5, 2.0]]),
        (pa.array([[1]], pa.list_(pa.timestamp("ns", "Asia/Tokyo"))), [["1970-01-01 00:00:00.000000001Z"]]),
        (pa.array([{"a": {"d": [DAY]}}, None, {"a": None}]), [{"a": {"d": ["2026-01-31"]}}, None, {"a": None}]),
        (pa.array([{"n": Decimal("1.10")}], pa.struct([("n", pa.decimal128(9, 2))])), [{"n": Decimal("1.10")}]),
        (pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())), [{"k": 1}, {}, None]),
        (pa.array([[(1, b"x")], []], pa.map_(pa.int32(), pa.binary())), [[{"key": 1, "value": "x"}], []]),
    ],
)
def test_a_value_is_exactly_the_one_in_the_file(array: pa.Array, expected: list[Any]) -> None:
    found = values(array)
    assert found == expected
    assert [(type(a), str(a)) for a in found] == [(type(a), str(a)) for a in expected]  # 1 is no True, -0.0 no 0.0


@pytest.mark.parametrize(
    ("array", "said", "shown"),
    [
        (pa.array([math.nan, 1.5]), "v: is nan, which is no number", "nan"),
        (pa.array([-math.inf, 1.5], pa.float32()), "v: is -inf, which is no number", "-inf"),
        (pa.array([[math.nan], [1.5]]), "v: is nan, which is no number", ["nan"]),
        (pa.array([b"\xff", b"a"]), "v: holds bytes that are no text", "\\xff"),
        (pa.array([b"\xff", b"a"]).cast(pa.string(), safe=False), "v: holds bytes that are no text", "\\xff"),
        (
            pa.array([[b"\xff"], [b"a"]]).cast(pa.list_(pa.string()), safe=False),
            "v: holds bytes that are no text",
            ["\\xff"],
        ),
        (pa.array([10**15, 1], pa.timestamp("ms")), "v: is a time that is out of range", None),
        (pa.array([[10**15], [1]], pa.list_(pa.timestamp("ms"))), "v: is a time that is out of range", None),
        (
            pa.array([[("a", 1), ("a", 2)], []], pa.map_(pa.string(), pa.int64())),
            "v: is a map that names a key twice",
            [["a", 1], ["a", 2]],
        ),
    ],
)
def test_a_value_that_can_not_be_told_is_a_problem_of_its_row(array: pa.Array, said: str, shown: Any) -> None:
    ids = pa.array([Decimal("1.10"), Decimal(2)], pa.decimal128(30, 2))
    odd, fine = parquet_rows(written({"id": ids, "v": array}), None)
    assert (odd[0], odd[2], fine[0], fine[3]) == (1, None, 2, None)
    assert odd[3] is not None
    assert odd[3].reason.startswith(said)
    row = json.loads(odd[1], parse_float=Decimal)
    assert row["id"] == Decimal("1.10")
    assert shown is None or row["v"] == shown


def test_rows_are_numbered_over_row_groups_and_batches() -> None:
    file = written({"v": pa.array(range(3500))}, row_group_size=1200)
    assert [(number, row["v"] + 1) for number, _, row, _ in parquet_rows(file, None)] == [
        (n, n) for n in range(1, 3501)
    ]


def test_a_large_row_group_takes_little_memory() -> None:
    file = written({"v": pa.array([f"{n:04000}" for n in range(5_000)])}, use_dictionary=False, compression="none")
    before = pa.total_allocated_bytes()
    tracemalloc.start()  # what Arrow reads of a file that Python has opened is Python's
    lines = islice(parquet_rows(file, None), None, None, 100)
    assert max(pa.total_allocated_bytes() - before for _ in lines) < 10 << 20  # of 20 MB
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_columns_that_do_not_fit_are_an_error_of_the_file() -> None:
    content = written({"id": pa.array([1]), "v": pa.array([2])}).getvalue()
    for columns, said in (
        ({"id": Wanted()}, "has 1 that the contract does not know"),
        ({"id": Wanted(), "v": Wanted(), "w": Wanted(required=True)}, "lacks w"),
    ):
        with pytest.raises(UnusableFileError, match=said):
            list(parquet_rows(io.BytesIO(content), columns))
    made = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["v", "v"]), made)
    with pytest.raises(UnusableFileError, match="names the column 'v' twice"):
        list(parquet_rows(made, None))
    with pytest.raises(UnusableFileError, match=r"has a column 'v' of the type duration\[s\].*cast it"):
        values(pa.array([1], pa.duration("s")))


def test_a_damaged_cut_or_encrypted_file_is_a_sentence() -> None:
    content = written(
        {"v": pa.array([f"{n * 7919 % 10007}" for n in range(20_000)])}, write_page_checksum=True
    ).getvalue()
    garbled = content[:5000] + b"\xff" * 50 + content[5050:]
    bare = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    altered = written({"v": pa.array(["one"])}, write_page_checksum=True, **bare).getvalue().replace(b"one", b"ome")
    for bad, said in (
        (content[:-20], "ends before its Parquet does: it was cut short"),
        (content[: len(content) // 2], "ends before its Parquet does: it was cut short"),
        (b"PAR1", "ends before its Parquet does: it was cut short|holds damaged Parquet"),
        (garbled, "holds damaged Parquet"),
        (altered, "holds damaged Parquet"),
        (content[:-60] + b"\xff" * 30 + content[-30:], "holds damaged Parquet"),
        (content[:-4] + b"PARE", "is encrypted Parquet: send it without encryption"),
    ):
        with pytest.raises(UnusableFileError, match=said):
            list(parquet_rows(io.BytesIO(bad), None))


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        (pa.int16(), ("integer", "integer")),
        (pa.uint32(), ("integer", "bigint")),
        (pa.uint64(), ("integer", "numeric")),
        (pa.float32(), ("number", "double precision")),
        (pa.decimal128(12, 2), ("number", "numeric(12,2)")),
        (pa.decimal128(5, -2), ("number", "numeric(7,0)")),
        (pa.dictionary(pa.int8(), pa.date32()), ("date", "date")),
        (pa.timestamp("ns"), ("timestamp", "timestamptz")),
        (pa.uuid(), ("string", "uuid")),
        (pa.string(), None),
        (pa.list_(pa.int8()), None),
    ],
)
def test_a_draft_takes_the_type_that_holds_every_value(type_: pa.DataType, expected: Any) -> None:
    assert logical_and_physical(type_) == expected


MOMENTS = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59))


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.text(st.characters(codec="utf-8")),
            st.none() | MOMENTS,
            st.none() | st.decimals(-(10**20), 10**20, places=3),
            st.none() | st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=3), max_size=3),
        ),
        min_size=1,
        max_size=10,
    ),
    st.sampled_from(["none", "snappy", "gzip", "zstd", "lz4", "brotli"]),
)
@settings(max_examples=50)
def test_what_is_written_is_what_is_read(rows: list[tuple[Any, ...]], compression: str) -> None:
    types = [pa.int64(), pa.float64(), pa.string(), pa.timestamp("us"), pa.decimal128(30, 3), pa.list_(pa.string())]
    columns = {f"c{n}": pa.array([row[n] for row in rows], type_) for n, type_ in enumerate(types)}
    lines = list(parquet_rows(written(columns, compression=compression, row_group_size=3), None))
    for row, (_, _, found, problem) in zip(rows, lines, strict=True):
        assert problem is None
        exact = [*row[:3], None if row[3] is None else row[3].isoformat(" ", "microseconds"), *row[4:]]
        assert list(found.values()) == exact
