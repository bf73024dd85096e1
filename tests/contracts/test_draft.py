"""A contract drafted from a sample takes every row of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from include.contracts import ContractError, read_contract
from include.contracts.check import check_file
from include.contracts.draft import write_draft
from tests.landing.conftest import Place


def test_a_drafted_contract_takes_every_row_of_its_sample(tmp_path: Path, source_uri: str) -> None:
    rows = [
        {
            "order-no": f"A{n}",
            "placed": f"2026-01-0{n % 9 + 1}T10:00:00",
            "who": {"mail": f"a{n}@example.com", "age": n if n % 2 else None},
            "lines": [{"sku": n, "price": "1.50"}],
            "total": "1.50",
            "weight": n / 4,
            "gift": n % 2 == 0,
        }
        for n in range(1, 30)
    ]
    sample = tmp_path / "sample.json"
    sample.write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = write_draft("web.orders", sample, folder=tmp_path / "contracts", schedule="0 2 * * *")
    assert check_file(file) == []
    contract = read_contract(file)
    assert contract.key == ("order_no",)
    assert {c.name: c.type for c in contract.columns} == {
        "order_no": "text",
        "placed": "timestamptz",
        "who_mail": "text",
        "who_age": "bigint",
        "lines": "jsonb",
        "total": "numeric",
        "weight": "double precision",
        "gift": "boolean",
    }
    assert [(c.name, c.personal) for c in contract.columns if c.personal] == [("who_mail", "email")]
    place = Place(contract, tmp_path, source_uri)
    place.put("web/orders.json", sample.read_bytes())
    result = place.land()
    assert (result.rows_loaded, result.rows_rejected) == (29, 0)
    with pytest.raises(ContractError, match="is there already"):
        write_draft("web.orders", sample, folder=tmp_path / "contracts")


def test_a_contract_is_drafted_from_a_csv_with_its_own_delimiter(tmp_path: Path, source_uri: str) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_text('id;day;amount;note\n1;2026-01-01;1.5;"a;b"\n2;2026-01-02;2;\n')
    contract = read_contract(write_draft("web.days", sample, folder=tmp_path / "contracts"))
    assert [(c.name, c.type, c.required) for c in contract.columns] == [
        ("id", "bigint", True),
        ("day", "date", True),
        ("amount", "numeric", True),
        ("note", "text", False),
    ]
    place = Place(contract, tmp_path, source_uri)
    place.put("web/days.csv", sample.read_bytes())
    assert place.land().rows_loaded == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "holds no row to draft a contract from"),
        ("no rows\n", "holds no row to draft a contract from"),
        ('{"a": 1}\n{"a": "x"}\n', r"a: holds values of several types \(int, str\)"),
        ('{"a": 1.5}\n', "holds no text or integer that could be the key"),
        (None, "can't be read .No such file or directory.: name a file of the dataset"),
    ],
)
def test_no_contract_is_drafted_from_a_sample_that_shows_too_little(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    sample = tmp_path / "sample.json"
    if content is not None:
        sample.write_text(content)
    with pytest.raises(ContractError, match=f"sample.json: {reason}"):
        write_draft("web.orders", sample, folder=tmp_path / "contracts")
    assert not (tmp_path / "contracts").exists()
