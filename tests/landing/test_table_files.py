"""Rows of Parquet files and workbooks go through the rules of their contract like those of JSON."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import io
import json
import lzma
import math
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.contracts import Contract
from include.landing import judge, replay
from include.landing.results import FileResult, FileStatus
from include.settings import PROJECT
from tests.landing.conftest import THINGS, Place, write_contract
from tests.readers.workbooks import DATE, TIMESTAMP, Cell, sheet, xlsx

KINDS = """
    apiVersion: v3.2.0
    kind: DataContract
    id: toys.things
    version: 1.0.0
    status: active
    team: {name: toys}
    servers:
      - {server: landing, type: custom, path: "toys/*", format: FORMAT}
    customProperties:
      - {property: maxBadPercent, value: 90}
    schema:
      - name: things
        physicalName: things
        logicalType: object
        properties:
          - {name: id, logicalType: integer, physicalType: bigint, primaryKey: true, primaryKeyPosition: 1,
             required: true, description: Number.}
          - {name: price, logicalType: number, physicalType: "numeric(20,2)", description: Price.}
          - {name: weight, logicalType: number, physicalType: double precision, description: Weight.}
          - {name: label, logicalType: string, physicalType: text, description: Name.}
          - {name: day, logicalType: date, physicalType: date, description: Day.}
          - {name: at, logicalType: timestamp, physicalType: timestamptz, description: Time.}
          - {name: is_new, logicalType: boolean, physicalType: boolean, description: Whether.}
"""
NESTED = """
          - name: extra
            logicalType: object
            physicalType: jsonb
            properties:
              - {name: l, logicalType: array, description: Numbers.}
              - {name: n, logicalType: number, description: Number.}
          - name: maker
            logicalType: object
            properties:
              - {name: city, logicalType: string, physicalType: text, physicalName: maker_city, description: Where.}
"""
AT = datetime(2026, 1, 31, 12, 30, 15, 123456, tzinfo=UTC)


def parquet(columns: dict[str, pa.Array]) -> bytes:
    made = io.BytesIO()
    pq.write_table(pa.table(columns), made)
    return made.getvalue()


def things_of(format_: str, folder: Path, **changes: Any) -> Contract:
    return dataclasses.replace(write_contract(folder, KINDS, format_), **changes)


def judged(contract: Contract, folder: Path, content: bytes, name: str = "a") -> tuple[FileResult, list[str]]:
    """Return what becomes of a file, and what is said of its rejected rows."""
    (folder / "toys").mkdir(exist_ok=True)
    (folder / "toys" / name).write_bytes(content)
    said: list[str] = []
    result = judge(contract, [f"toys/{name}"], root=str(folder), show=said.append)
    return result.files[0], [line.partition(" line ")[2] for line in said]


def test_parquet_lands_value_by_value_and_its_rejects_can_be_mended(tmp_path: Path, source_uri: str) -> None:
    place = Place(write_contract(tmp_path, KINDS + NESTED, "parquet"), tmp_path, source_uri)
    numbers = [Decimal("12345678901234567.89"), Decimal("-0.01"), None, None, None]
    ns = int(AT.timestamp() * 10**6) * 1000
    place.put(
        "toys/a.parquet",
        parquet(
            {
                "id": pa.array([1, 2**63 - 1, 3, 2**63, 5], pa.uint64()),
                "price": pa.array(numbers, pa.decimal128(30, 2)),
                "weight": pa.array([0.1 + 0.2, -0.0, None, 1.0, math.nan]),
                "label": pa.array(["007", "a\tb\\\n", None, "x", "y"]).dictionary_encode(),
                "day": pa.array([date(2026, 1, 31), date(1, 1, 1), None, None, None]),
                "at": pa.array([ns, -1000, ns + 1, None, None], pa.timestamp("ns", "America/New_York")),
                "is_new": pa.array([True, False, None, None, None]),
                "extra": pa.array([{"n": Decimal("0.10"), "l": [1, None]}, None, None, None, None]),
                "maker": pa.array([{"city": "Köln"}, None, {"city": None}, None, None]),
            }
        ),
    )
    result = place.land()
    assert (result.rows_loaded, result.rows_rejected) == (2, 3)
    columns = "id, price::text, weight, label, day, at, is_new, extra::text, maker_city, _file, _line"
    early = datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert place.query(f"select {columns} from toys.things order by id") == [
        (
            *(1, "12345678901234567.89", 0.30000000000000004, "007", date(2026, 1, 31), AT, True),
            *('{"l": [1, null], "n": 0.10}', "Köln", "toys/a.parquet", 1),
        ),
        (
            *(2**63 - 1, "-0.01", -0.0, "a\tb\\\n", date(1, 1, 1), early, False),
            *(None, None, "toys/a.parquet", 2),
        ),
    ]
    assert place.query("select line, code, field from landing.rejects order by line") == [
        (3, "format", "at"),
        (4, "range", "id"),
        (5, "value", ""),
    ]
    assert replay(place.contract, source_uri=source_uri).rejected == 3
    (row,) = place.query('select "row" from landing.rejects where line = 5')[0]
    assert json.loads(row)["weight"] == "nan"
    place.query("""update landing.rejects set "row" = replace("row", '"nan"', 'null') where line = 5 returning line""")
    assert replay(place.contract, source_uri=source_uri).loaded == 1
    assert place.query("select id, weight from toys.things where _line = 5") == [(5, None)]


def workbook(*rows: list[Cell | tuple[Cell, int]]) -> bytes:
    return xlsx(sheet([["id", "price", "weight", "label", "day", "at", "is_new"], *rows], first=3))


def test_a_workbook_lands_value_by_value(tmp_path: Path, source_uri: str) -> None:
    contract = things_of("xlsx", tmp_path, header_row=3)
    place = Place(contract, tmp_path, source_uri)
    content = workbook(
        [1, 1234.5, 0.1 + 0.2, "007", (46053, DATE), (46053.52100694444, TIMESTAMP), True],
        [2, 10, 5, 1234, (46053, TIMESTAMP), (46053, DATE), False],
        [],
        [3, 0.1 + 0.2, None, None, None, None, None],
        ["x", None, None, '<t="e"><v>#N/A</v>', None, None, None],
        [4.5, 1e15 + 0.3, "1", True, (46053.5, TIMESTAMP), "soon", 1],
    )
    place.put("toys/a.xlsx", content)
    result = place.land()
    assert (result.rows_loaded, result.rows_rejected) == (2, 3)
    noon = datetime(2026, 1, 31, 12, 30, 15, tzinfo=UTC)
    assert place.query(
        "select id, price::text, weight, label, day, at, is_new, _line from toys.things order by id"
    ) == [
        (1, "1234.50", 0.30000000000000004, "007", date(2026, 1, 31), noon, True, 4),
        (2, "10.00", 5.0, "1234", date(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC), False, 5),
    ]
    said = place.query("select line, code, field, reason from landing.rejects order by line")
    assert [row[:3] for row in said] == [(7, "range", "price"), (8, "value", ""), (9, "type", "id")]
    assert said[1][3] == "label: cell D8 holds an error: mend it"
    assert [part.partition(":")[0] for part in said[2][3].split("; ")] == [
        "id",
        "weight",
        "label",
        "day",
        "at",
        "is_new",
    ]


ONE = {"id": pa.array([1]), "label": pa.array(["a"])}


def zstd(content: bytes) -> bytes:
    made: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return made


@pytest.mark.parametrize("format_", ["parquet", "xlsx"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstd])
def test_a_table_is_read_packed_too(tmp_path: Path, format_: str, pack: Any) -> None:
    content = parquet(ONE) if format_ == "parquet" else xlsx(sheet([["id", "label"], [1, "a"]]))
    result, said = judged(things_of(format_, tmp_path), tmp_path, pack(content))
    assert (result.status, result.rows_loaded, said, result.note) == (FileStatus.LANDED, 1, [], "")
    limited = things_of(format_, tmp_path, max_bytes=100)
    if pack is not bytes or format_ == "xlsx":
        assert judged(limited, tmp_path, pack(content))[0].note.startswith("holds more than 100 bytes unpacked")


@pytest.mark.parametrize(
    ("format_", "content", "said"),
    [
        ("parquet", b"id,label\n1,a\n", "is no Parquet: send it again, or mend the contract's format"),
        ("parquet", b"", "is no Parquet: send it again, or mend the contract's format"),
        ("parquet", b"<!doctype html><html>", "is an HTML page, no Parquet: see what it says"),
        ("parquet", b"PARE\x1c\0\0\0abc", "is encrypted Parquet, no Parquet: send it without encryption"),
        ("parquet", xlsx(sheet([["id"], [1]])), "is an Excel workbook, no Parquet: write format: xlsx"),
        ("parquet", parquet(ONE)[:-8], "ends before its Parquet does: it was cut short, send it again"),
        ("xlsx", parquet(ONE), "is Parquet, no Excel workbook: write format: parquet in the contract"),
        ("xlsx", b"id,label\n1,a\n", "is no Excel workbook: send it again, or mend the contract's format"),
        ("xlsx", b"PK\x03\x04 and so on", "is a damaged workbook, or one that can't be read here"),
        ("csv", parquet(ONE), "is Parquet, neither JSON nor CSV: write format: parquet in the contract"),
        ("json", xlsx(sheet([["id"], [1]])), "is an Excel workbook, neither JSON nor CSV: write format: xlsx"),
        ("parquet", parquet({"label": pa.array(["a"])}), "has columns of which it lacks id: mend the file"),
        ("parquet", parquet({**ONE, "more": pa.array([1])}), "has columns of which it has 1 that the contract does"),
        ("xlsx", xlsx(sheet([["label"], ["a"]])), "has columns of which it lacks id: mend the file"),
    ],
)
def test_a_file_that_is_no_such_table_is_a_sentence(tmp_path: Path, format_: str, content: bytes, said: str) -> None:
    text = THINGS if format_ in ("csv", "json") else KINDS
    result, _ = judged(write_contract(tmp_path, text, format_), tmp_path, content)
    assert (result.status, result.note[: len(said)]) == (FileStatus.FAILED, said)


def test_who_lands_no_table_does_not_import_its_libraries() -> None:
    code = (
        "import sys, include.landing, include.contracts.draft; print({'pyarrow', 'python_calamine'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_sheet_of_the_contract_is_read(tmp_path: Path) -> None:
    both = xlsx(sheet([["note"], ["x"]]), sheet([["id", "label"], [1, "a"]]))
    assert judged(things_of("xlsx", tmp_path, sheet="Other"), tmp_path, both)[0].rows_loaded == 1
    missing = judged(things_of("xlsx", tmp_path, sheet="Trades"), tmp_path, both)[0]
    assert missing.note == "has no sheet 'Trades' but 'Data', 'Other': mend the file or the contract"


def test_a_table_that_changes_while_it_is_read_is_left_to_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["include.landing.judge"]  # the package has a function of that name

    def replaced(contract: Contract, stream: Any, file: Path) -> Any:
        file.unlink()
        file.write_bytes(parquet(ONE))
        return rows_of_table(contract, stream, file)

    rows_of_table = module.rows_of_table
    monkeypatch.setattr(module, "rows_of_table", replaced)
    result, _ = judged(things_of("parquet", tmp_path), tmp_path, parquet(ONE))
    assert result.note == "changed while it was read: it is taken up by the next run"
