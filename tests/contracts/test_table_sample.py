"""Contracts of Parquet files and workbooks: what they may say, and drafts that take every row of their sample."""

from __future__ import annotations

import bz2
import io
import zipfile
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.contracts import Contract, ContractError, read_contract
from include.contracts.check import check_file
from include.contracts.draft import write_draft
from include.landing import judge
from tests.landing.conftest import write_contract
from tests.landing.test_table_files import KINDS
from tests.readers.workbooks import DATE, FILES, TIMESTAMP, sheet, xlsx


def drafted(folder: Path, name: str, content: bytes, **options: Any) -> tuple[Contract, list[str]]:
    """Draft from a sample, check the draft, and judge the sample by it: every row must be valid."""
    sample = folder / "in" / "web" / name
    sample.parent.mkdir(parents=True, exist_ok=True)
    sample.write_bytes(content)
    said: list[str] = []
    file = write_draft("web.things", sample, folder=folder / "contracts", report=said.append, **options)
    assert sample.read_bytes() == content
    assert check_file(file) == []
    contract = read_contract(file)
    result = judge(contract, [f"web/{name}"], root=str(folder / "in"), show=said.append)
    assert [(each.note, each.rows_rejected) for each in result.files if each.rows_rejected or each.note] == []
    assert result.rows_loaded > 0
    return contract, said


def types(contract: Contract) -> dict[str, tuple[str, str]]:
    return {column.name: (column.spec.logicalType or "", column.type) for column in contract.columns}


def parquet(**columns: Any) -> bytes:
    made = io.BytesIO()
    amounts = [Decimal("1.50"), None, Decimal("2.00")]
    columns = columns or {
        "id": pa.array([Decimal(1), Decimal(2), Decimal(3)], pa.decimal128(38, 0)),
        "amount": pa.array(amounts, pa.decimal128(12, 2)),
        "count": pa.array([1, None, 2], pa.int8()),
        "huge": pa.array([2**64 - 1, None, 1], pa.uint64()),
        "ratio": pa.array([1.0, 2.0, None], pa.float32()),
        "day": pa.array([date(2026, 1, 31), None, date(1, 1, 1)]),
        "at": pa.array([1000, None, 2000], pa.timestamp("ns", "UTC")),
        "text": pa.array(["2026-01-31", "1.5", "x"]),
        "empty": pa.array([None, None, None], pa.date32()),
        "who": pa.array([{"n": Decimal("0.1"), "name": "a"}, None, {"n": None, "name": "b"}]),
        "tags": pa.array([["a"], [], None]),
        "lines": pa.array([[{"sku": "x", "n": 1.5}], [], None]),
        "labels": pa.array([[("a", 1)], [], [("b", 2)]], pa.map_(pa.string(), pa.int8())),
        "label sets": pa.array([[[("a", 1)]], [], None], pa.list_(pa.map_(pa.string(), pa.int8()))),
        "of": pa.array([{"it": [("a", 1)]}, None, None], pa.struct([("it", pa.map_(pa.string(), pa.int8()))])),
    }
    pq.write_table(pa.table(columns), made)
    return made.getvalue()


@pytest.mark.parametrize("packed", [False, True])
def test_a_draft_from_parquet_has_the_types_of_its_columns(tmp_path: Path, packed: bool) -> None:
    name = "2026.parquet.bz2" if packed else "2026.parquet"
    contract, said = drafted(tmp_path, name, bz2.compress(parquet()) if packed else parquet())
    assert types(contract) == {
        "id": ("number", "numeric(38,0)"),
        "amount": ("number", "numeric(12,2)"),
        "count": ("integer", "integer"),
        "huge": ("integer", "numeric"),
        "ratio": ("number", "double precision"),
        "day": ("date", "date"),
        "at": ("timestamp", "timestamptz"),
        "text": ("string", "text"),
        "empty": ("date", "date"),
        "who_n": ("number", "numeric(1,1)"),
        "who_name": ("string", "text"),
        "tags": ("array", "jsonb"),
        "lines": ("array", "jsonb"),
        "labels": ("object", "jsonb"),
        "label_sets": ("array", "jsonb"),
        "of_it": ("object", "jsonb"),
    }
    specs = {column.name: column.spec for column in contract.columns}
    assert [name for name, spec in specs.items() if spec.items] == ["lines"]  # keys of maps are no properties
    assert (contract.path, contract.format, contract.key) == ("web/2026.parquet", "parquet", ("id",))
    assert said[0] == "read 3 rows, the whole sample"


def test_a_draft_from_a_workbook_has_the_types_of_its_cells(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        ["id", "code", "amount", "count", "day", "at", "paid", "note"],
        [1, "007", 1.5, 1, (46053, DATE), (46053, DATE), True, "a"],
        [2, 12, 2, 2, (46054, DATE), (46053.5, TIMESTAMP), False, None],
    ]
    content = xlsx(sheet([["x"], ["y"]]), sheet(rows, first=3))
    contract, _ = drafted(tmp_path, "a.xlsx", content, sheet="Other", header_row=3)
    assert types(contract) == {
        "id": ("integer", "bigint"),
        "code": ("string", "text"),
        "amount": ("number", "double precision"),
        "count": ("integer", "bigint"),
        "day": ("date", "date"),
        "at": ("timestamp", "timestamptz"),
        "paid": ("boolean", "boolean"),
        "note": ("string", "text"),
    }
    assert (contract.sheet, contract.header_row, contract.key) == ("Other", 3, ("id",))
    with pytest.raises(ContractError, match="has 2 sheets \\('Data', 'Other'\\): name one as sheet"):
        write_draft("web.others", tmp_path / "in/web/a.xlsx", folder=tmp_path / "contracts")


def test_a_draft_from_a_zip_is_one_of_its_first_file(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as content:
        content.writestr("__MACOSX/._a.csv", "x")
        content.writestr("b.csv", "id;name\n1;a\n")
        content.writestr("a.csv", "id;name\n2;b\n")
    contract, said = drafted(tmp_path, "day.zip", made.getvalue())
    assert (contract.path, contract.format, contract.dialect.delimiter) == ("web/day.zip", "csv", ";")
    assert said[0] == "read a.csv, the first of 2 files in the zip"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.zip", b"PK\x05\x06" + b"\0" * 18, "is a zip without a file: give another sample"),
        ("a.xlsx", (FILES / "encrypted.xlsx").read_bytes(), "is an encrypted workbook"),
        ("a.parquet", parquet()[:-20], "ends before its Parquet does"),
        ("b.parquet", parquet(b=pa.array([b"\xff"])), "holds no row .*1 lines or records are no rows; row 1: b: holds"),
        ("b.xlsx", xlsx(sheet([["x"]])), "holds no row to draft a contract from: give a larger sample"),
        ("c.xlsx", xlsx(sheet([["x", "x"], [1, 2]])), "names the column 'x' twice: rename one of them"),
        ("d.xlsx", xlsx(sheet([["x"], ["a"]])), "has no header in row 4 .*: say which row it is, as headerRow in .*"),
        ("a.json.bz2", bz2.compress(b'{"id": 1}\n')[:-5], "ends within its bzip2 stream"),
    ],
)
def test_a_sample_that_can_not_be_read_is_a_sentence(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ContractError, match=f"{name}: {said}"):
        write_draft("web.things", tmp_path / name, folder=tmp_path / "contracts", header_row=4 if name[0] == "d" else 1)


SERVER = 'path: "toys/*", format: FORMAT'


@pytest.mark.parametrize(
    ("format_", "more", "said"),
    [
        ("xlsx", "customProperties: [{property: sheet, value: 3}]", "sheet: 3 is no name of a sheet"),
        ("xlsx", "customProperties: [{property: headerRow, value: 0}]", "headerRow: 0 is no row of a sheet"),
        ("xlsx", "customProperties: [{property: headerRow, value: true}]", "headerRow: True is no row of a sheet"),
        ("json", "customProperties: [{property: sheet, value: a}]", "'sheet' is none that is carried out"),
        ("parquet", "customProperties: [{property: headerRow, value: 2}]", "'headerRow' is none that is carried out"),
        ("parquet", "encoding: UTF-8", "encoding: 'UTF-8' is not carried out: parquet files say it themselves"),
        ("xlsx", 'delimiter: ";"', "delimiter: ';' is not carried out: xlsx files say it themselves"),
    ],
)
def test_an_option_that_is_not_carried_out_is_refused(tmp_path: Path, format_: str, more: str, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        write_contract(tmp_path, KINDS.replace(SERVER, f"{SERVER}, {more}"), format_)


def test_the_sheet_and_its_header_row_are_read(tmp_path: Path) -> None:
    more = "customProperties: [{property: sheet, value: Sales 2026}, {property: headerRow, value: 4}]"
    contract = write_contract(tmp_path, KINDS.replace(SERVER, f"{SERVER}, {more}"), "xlsx")
    assert (contract.sheet, contract.header_row, contract.format) == ("Sales 2026", 4, "xlsx")
