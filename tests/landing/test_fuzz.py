"""Whatever bytes a file holds: no crash, every row is counted, every rejected one is kept with line and reason."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.landing.merge import create_stage
from include.landing.rows import RowSchema
from include.landing.tables import create_tables
from include.postgres import Connection
from tests.landing.conftest import SHOP, THINGS, Place, write_contract

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ROW = st.fixed_dictionaries(
    {}, optional={"id": st.integers(-5, 5) | JSON, "label": st.text() | JSON, "secret": JSON, "more": JSON}
)
LINE = st.one_of(
    ROW.map(lambda row: json.dumps(row).encode()),
    ROW.map(lambda row: json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=60),
)
FILE = st.one_of(
    st.lists(LINE, max_size=12).map(b"\n".join),
    st.lists(LINE, max_size=6).map(b"\r\n".join),
    st.lists(LINE, max_size=6).map(b"\n".join).map(gzip.compress),
    st.tuples(st.lists(LINE, max_size=6).map(b"\n".join).map(gzip.compress), st.integers(1, 40)).map(
        lambda drawn: drawn[0][: -drawn[1]]
    ),
    st.binary(max_size=200),
)  # fmt: skip
CSV = st.one_of(
    st.lists(st.lists(st.text(alphabet='ab1,"\n\r;\0é', max_size=6), max_size=5).map(",".join), max_size=8)
    .map("\n".join)
    .map(lambda text: b"id,label,secret\n" + text.encode()),
    st.binary(max_size=120).map(lambda data: b"id,label,secret\n" + data),
    st.binary(max_size=60),
)
RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def fuzzed(source_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("fuzz")
    with psycopg.connect(source_server.uri(), autocommit=True) as connection:
        connection.execute("create database fuzz")
        yield source_server.uri("fuzz"), folder
        connection.execute("drop database fuzz with (force)")


def _check(place: Place, content: bytes) -> None:
    place.put(f"toys/n/things.{place.contract.format}", content)
    (file,) = place.land_anyway().files
    assert file.status in ("landed", "already_landed", "held", "failed")
    assert file.rows_read == file.rows_loaded + file.rows_duplicate + file.rows_rejected
    if file.status in ("held", "failed"):
        assert file.note
        (place.root / file.path).unlink()
    assert place.query("select count(*) from landing.rejects where reason = '' or code = '' or line < 1") == [(0,)]
    if file.status == "landed":
        stored = place.query(
            "select (select count(*) from landing.rejects r where r.sha256 = f.sha256) = rows_rejected from"
            " landing.files f order by loaded_at desc limit 1"
        )
        assert stored == [(True,)]


@RELAXED
@given(content=FILE)
def test_any_bytes_are_landed_or_rejected_with_a_reason(fuzzed: tuple[str, Path], content: bytes) -> None:
    uri, folder = fuzzed
    contract = write_contract(folder, THINGS.replace("value: 3}", "value: 8}"))
    _check(Place(contract, folder, uri), content)


@RELAXED
@given(content=CSV)
def test_any_csv_is_landed_or_rejected_with_a_reason(fuzzed: tuple[str, Path], content: bytes) -> None:
    uri, folder = fuzzed
    contract = write_contract(folder / "csv", THINGS, "csv")
    _check(Place(contract, folder / "csv", uri), content)


ODD = ["0", "-0", "00.5", "1e5", "NaN", "2026-02-30", "0000-01-01", "2026-W01-1", "9999-12-31T23:59:59-15:59"]
ODD += ["0001-01-01T00:00:00+15:59", "9" * 38, "-0.0", "a@b.co", "\ud7ff", "\uffff", 2**31, 2**63, 1.0, -0.0, 1e308]
SAMPLES: dict[str, dict[str, Any]] = {
    "shop.orders": {
        "transaction_id": "t",
        "transaction_time": "2026-01-01T00:00:00",
        "customer_id": "1",
        "delivery_address": {"address": "a", "postcode": "b", "city": "c", "country": "d"},
        "purchases": {
            "products": [{"sku": 1, "quanitity": 2, "price": "1.50", "total": "3.00"}],
            "total_cost": "3.00",
        },
    },
    "shop.wares": {"sku": 1, "name": "a", "price": "1.50", "category": "b", "popularity": 0.5},
    "shop.people": {
        "id": "1", "first_name": "a", "last_name": "b", "email": "a@example.com", "date_of_birth": "1980-01-31",
        "phone_number": None, "segment": None, "address": "a", "city": "b", "country": "c", "postcode": "d",
        "last_change": "2026-01-01",
    },
}  # fmt: skip


def _places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, part in parts for place in [(*above, key), *_places(part, (*above, key))]]


@pytest.mark.parametrize("name", SAMPLES)
@RELAXED
@given(data=st.data())
def test_a_row_with_any_value_at_any_place_is_rejected_or_taken_by_postgres(
    fuzzed: tuple[str, Path], name: str, data: st.DataObject
) -> None:
    schema, connection = _prepared(fuzzed[0], name)
    row = json.loads(json.dumps(SAMPLES[name]))
    assert isinstance(schema.encode(row), str)
    place = data.draw(st.sampled_from(_places(row)))
    target = row
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = data.draw(JSON | st.sampled_from(ODD))
    made = schema.encode(row)
    if isinstance(made, str):
        with connection.cursor().copy("copy stage from stdin") as copy:
            copy.write(f"{made}\tfile\t1\n")
    else:
        assert made
        assert all(problem.code and problem.reason for problem in made)


@cache
def _prepared(uri: str, name: str) -> tuple[RowSchema, Connection]:
    connection = psycopg.connect(uri, autocommit=True)
    create_tables(connection, [SHOP[name]])
    create_stage(connection, SHOP[name])
    return RowSchema(SHOP[name]), connection
