"""Contracts of Parquet files and workbooks: what they may say, and drafts that take every row of their sample."""

from __future__ import annotations

import bz2
import io
import re
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
from include.contracts.draft import draft, write_draft
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


def test_a_draft_of_a_sheet_finds_its_header_below_titles(tmp_path: Path) -> None:
    rows: list[Any] = [["Trades"], [], ["id", "day", "note"], [1, (46023.0, DATE), "a"], [2, (46024.0, DATE), "b"]]
    contract, said = drafted(tmp_path, "a.xlsx", xlsx(sheet(rows)))
    assert (contract.header_row, contract.key) == (3, ("id",))
    assert "headerRow is 3: the rows before hold one value at most, as titles do" in said
    first = draft("web", "others", tmp_path / "in/web/a.xlsx", header_row=1)
    assert "headerRow" not in first.text and "column_2" in first.text


def zipped(**files: str | bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as content:
        for name, file in files.items():
            content.writestr(re.sub(r"__(csv|pdf|parquet)$", r".\1", name), file)
    return made.getvalue()


def test_a_draft_from_a_zip_is_one_of_all_its_files(tmp_path: Path) -> None:
    """By its first file alone `day` would be the key, and each shop's rows would replace those of another."""
    days = "2026-01-01\n{0};2026-01-02\n"
    shops = {f"shop{n}__csv": f"shop;day\n{n};{days.format(n)}" for n in (2, 1, 3)}
    contract, said = drafted(tmp_path, "day.zip", zipped(**{"__MACOSX/._a.csv": "x"}, **shops))
    assert (contract.path, contract.format, contract.dialect.delimiter) == ("web/day.zip", "csv", ";")
    assert contract.key == ("shop", "day")
    assert "read 3 of the 3 files in the zip: shop1.csv, shop2.csv, shop3.csv" in said
    assert "read 6 rows, the whole sample" in said


def test_files_of_other_datasets_in_a_zip_are_named_and_no_part_of_its_draft(tmp_path: Path) -> None:
    texts = {"a__csv": "id,name\n1,a\n", "b__csv": "id,city\nx,b\n", "c__csv": "name,id\nc,2\n", "f__csv": "id\n7\n"}
    others: dict[str, str | bytes] = {"README": "Hello\n", "_.csv": ""}
    others |= {"d__pdf": b"%PDF-1.7\n", "e.csv.gz": b"\x1f\x8b\x08"}
    (tmp_path / "day.zip").write_bytes(zipped(**texts, **others))
    said: list[str] = []
    judged: list[str] = []

    def show(_: Contract, parts: list[Path], **__: Any) -> str:
        judged.extend(part.name for part in parts)
        return ""

    sample = tmp_path / "day.zip"
    file = write_draft("web.things", sample, folder=tmp_path / "contracts", report=said.append, preview=show)
    assert types(read_contract(file)) == {"id": ("integer", "bigint"), "name": ("string", "text")}
    assert judged == ["a.csv", "c.csv", "_.csv"]
    assert "read 2 rows, the whole sample" in said
    left_out = [each.partition(" ")[0] for each in said if "is left out: " in each]
    assert sorted(left_out) == ["README", "b.csv", "d.pdf", "e.csv.gz", "f.csv"]
    assert any(
        "read 3 of the 8 files in the zip: a.csv, c.csv, _.csv. " in each and ".zip!a.csv" in each for each in said
    )


def test_a_draft_from_a_zip_of_parquet_files_reads_them_all(tmp_path: Path) -> None:
    def part(**columns: list[int]) -> bytes:
        made = io.BytesIO()
        pq.write_table(pa.table(columns), made)
        return made.getvalue()

    content = zipped(a__parquet=part(id=[1, 2], n=[1, 2]), b__parquet=part(id=[1, 2], n=[3, 4]), c__parquet=part(x=[1]))
    (tmp_path / "day.zip").write_bytes(content)
    said: list[str] = []
    file = write_draft("web.things", tmp_path / "day.zip", folder=tmp_path / "contracts", report=said.append)
    assert read_contract(file).key == ("n",)
    assert any(each.startswith("read 2 of the 3 files in the zip: a.parquet, b.parquet. ") for each in said)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.zip", b"PK\x05\x06" + b"\0" * 18, "is a zip without a file: give another sample"),
        ("a.xlsx", (FILES / "encrypted.xlsx").read_bytes(), "is an encrypted workbook"),
        ("a.parquet", parquet()[:-20], "ends before its Parquet does"),
        (
            "b.parquet",
            parquet(b=pa.array([b"\xff"])),
            "holds no row .*1 lines or records are no rows; line 1: b: holds",
        ),
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
    more = "customProperties: [{property: sheet, value: Trades 2026}, {property: headerRow, value: 4}]"
    contract = write_contract(tmp_path, KINDS.replace(SERVER, f"{SERVER}, {more}"), "xlsx")
    assert (contract.sheet, contract.header_row, contract.format) == ("Trades 2026", 4, "xlsx")
