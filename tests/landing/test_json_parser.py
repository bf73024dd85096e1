"""JSON is landed with every digit and every value, or rejected with a word."""

from __future__ import annotations

import io
import json
from decimal import Decimal, localcontext
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.contracts import Contract
from include.landing import replay
from include.landing.json_parser import JsonParser
from include.landing.rows import RowSchema
from include.landing.values import EXACT
from include.readers import UnreadableRowError, json_rows
from tests.landing.conftest import SHOP, THINGS, Place, write_contract

NUMBERS = (
    THINGS
    + """
          - {name: n, logicalType: number, physicalType: numeric}
          - {name: scaled, logicalType: number, physicalType: "numeric(30,20)"}
          - {name: float, logicalType: number, physicalType: double precision}
          - {name: big, logicalType: integer, physicalType: bigint}
          - {name: free, logicalType: array, physicalType: jsonb}
          - name: inner
            logicalType: object
            physicalType: jsonb
            properties:
              - {name: amount, logicalType: number}
              - {name: count, logicalType: integer}
"""
)

EXACT_NUMBERS = [
    "-80241446968629135069",
    "-80241446968629135070",
    "123456789012345678901234567890",
    "100000000000000000000000000001",
    "18446744073709551616",
    "0.1000000000000000055511151231257827",
    "1234567890123456.7",
    "9007199254740993.0",
    "12345678901234567e3",
    "1.2345e-90",
    "1e22",
    "0.1",
    "-7",
    "9" * 99 + "." + "9" * 99,
]


def test_numeric_and_jsonb_columns_get_every_digit(things: Place) -> None:
    things.contract = write_contract(things.folder, NUMBERS)
    lines = [
        f'{{"id": {n}, "n": {text}, "free": [{text}, {{"a": {text}}}], "inner": {{"amount": {text}}}}}'
        for n, text in enumerate(EXACT_NUMBERS)
    ]
    things.put("one", "\n".join(lines).encode())
    assert things.land().rows_loaded == len(EXACT_NUMBERS)
    found = things.query(
        "select n::text, free ->> 0, free -> 1 ->> 'a', inner_ ->> 'amount' from"
        ' (select id, n, free, "inner" as inner_ from toys.things) as t order by id'
    )
    for text, row in zip(EXACT_NUMBERS, found, strict=True):
        assert [Decimal(value) for value in row] == [Decimal(text)] * 4, text


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ('{"id": 1, "n": 1' + "0" * 100 + "}", "range"),
        ('{"id": 1, "n": 1.2345e-320}', "range"),
        ('{"id": 1, "free": [1.2345e-320]}', "range"),
        ('{"id": 1, "free": [1' + "0" * 100 + "]}", "range"),
        ('{"id": 1, "n": 1e400}', "json"),
        ('{"id": 1, "big": 123456789012345678901234567890}', "range"),
        ('{"id": 1, "inner": {"count": 18446744073709551616}}', "range"),
        ('{"id": 1, "scaled": 0.123456789012345678901}', "range"),
        ('{"id": 1, "n": NaN}', "json"),
    ],
)
def test_a_number_that_can_not_be_kept_is_rejected(things: Place, row: str, code: str) -> None:
    things.contract = write_contract(things.folder, NUMBERS)
    other = '{"id": 2, "scaled": 0.12345678901234567890, "float": 0.12345678901234567890}'
    things.put("one", f"{row}\n{other}\n".encode())
    things.land()
    assert things.query("select line, code from landing.rejects") == [(1, code)]
    assert things.query("select id, scaled::text, float from toys.things") == [
        (2, "0.12345678901234567890", 0.12345678901234568)
    ]


def test_a_mended_row_is_replayed_with_every_digit(things: Place) -> None:
    things.contract = write_contract(things.folder, NUMBERS)
    things.put("one", b'{"id": 1}\n{"id": "x", "n": 123456789012345678901234567890}\n')
    things.land()
    things.query("""update landing.rejects set "row" = replace("row", '"x"', '2') returning 1""")
    assert replay(things.contract, source_uri=things.uri).loaded == 1
    assert things.query("select n::text from toys.things where id = 2") == [("123456789012345678901234567890",)]


@pytest.mark.parametrize(
    ("row", "key"),
    [
        (b'{"id":1,"id":2}', "'id'"),
        (b'{"id": 1, "\\u0069d": 1}', "'id'"),
        (b'{"id": 1, "inner": {"count": 1, "amount": 2, "count" : 1}}', "'count'"),
        (b'{"id": 1, "free": [[{"a": 1}, {"b": {}, "b": {"c": "x:y"}}]]}', "'b'"),
        (b'{"id": 1, "label": "a\\u003ab", "label": "c"}', "'label'"),
        (b'{"id": 1, "label": "c", "label": "a\\u003Ab"}', "'label'"),  # as many colons as it has keys and texts
        (b'{"id": 1, "who@example.com": 1, "who@example.com": 2}', "'\\(a long or odd key\\)'"),
    ],
)
def test_an_object_that_names_a_key_twice_is_rejected_by_its_name(things: Place, row: bytes, key: str) -> None:
    parse = JsonParser(write_contract(things.folder, NUMBERS)).loads
    with pytest.raises(UnreadableRowError, match=f"names the key {key} twice in one object") as caught:
        parse(row)
    assert caught.value.code == "duplicate_key"


def test_what_only_looks_like_a_key_twice_is_a_row(things: Place) -> None:
    parse = JsonParser(write_contract(things.folder, NUMBERS)).loads
    for row in (
        b'{"label": "\\u003a\\"id\\":1", "id" : 1, "free": [{"id": 1}, {"id": 2}]}',
        b'{"a:b": ":", "c": "\\":"}',
    ):
        assert parse(row) == json.loads(row)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(':"\\a', max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(st.tuples(st.text(':"ab', max_size=1), inner), max_size=3).map(tuple)
    ),
    max_leaves=12,
)


def written(value: Any) -> str:
    """Write a JSON value, an object as its pairs."""
    if isinstance(value, tuple):
        return "{" + ", ".join(f"{json.dumps(key)}:{written(part)}" for key, part in value) + "}"
    return "[" + ",".join(map(written, value)) + "]" if isinstance(value, list) else json.dumps(value)


def names_twice(value: Any) -> bool:
    if isinstance(value, tuple):
        return len({key for key, _ in value}) < len(value) or any(names_twice(part) for _, part in value)
    return isinstance(value, list) and any(map(names_twice, value))


@given(value=JSON)
@settings(deadline=None, max_examples=1000)
def test_every_key_that_is_named_twice_is_found_and_no_other(value: Any) -> None:
    parse = JsonParser(SHOP["shop.people"]).loads
    raw = written(value).encode()
    if names_twice(value):
        with pytest.raises(UnreadableRowError):
            parse(raw)
    else:
        assert parse(raw) == orjson.loads(raw)


BORDERS = [2**63, 2**64, 10**18, 10**19, 10**20, 922 * 10**16, 93 * 10**17, 2**53]


@pytest.mark.parametrize("border", BORDERS)
def test_integers_around_every_border_keep_their_digits(numeric: Contract, border: int) -> None:
    parser = JsonParser(numeric)
    for number in {sign * (border + step) for sign in (1, -1) for step in (-2, -1, 0, 1, 2, 10**9)}:
        for text in (f"{number}", f"{number}.0", f"{number}e0", f"{number}E-1", f"{number}.5e+3"):
            row = f'{{"id": 1, "n": {text}, "free": [[{text}], {{"a": {text}}}], "inner": {{"amount":{text}}}}}'
            value = parser.loads(row.encode())
            found = [value["n"], value["free"][0][0], value["free"][1]["a"], value["inner"]["amount"]]
            assert [Decimal(str(each)) for each in found] == [Decimal(text)] * 4, text


DIGITS = st.text("0123456789", min_size=1, max_size=30)


@pytest.fixture(scope="module")
def numeric(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    return write_contract(tmp_path_factory.mktemp("numeric"), NUMBERS)


@given(
    sign=st.sampled_from(["", "-"]),
    whole=DIGITS,
    part=st.none() | DIGITS,
    power=st.none() | st.integers(-40, 40) | st.integers(-400, 290),
)
@settings(deadline=None, max_examples=1000)
def test_any_number_is_written_as_it_came(
    numeric: Contract, sign: str, whole: str, part: str | None, power: int | None
) -> None:
    text = f"{sign}{whole.lstrip('0') or '0'}" + (f".{part}" if part else "")
    text += f"e{power}" if power is not None else ""
    schema = RowSchema(numeric)
    number = Decimal(text)
    try:
        with localcontext(EXACT):
            line = schema.encode(JsonParser(numeric).loads(f'{{"id": 1, "n": {text}, "free": [{text}]}}'.encode()))
    except json.JSONDecodeError:
        assert abs(number) > Decimal("1.7e308")
        return
    if not isinstance(line, str):
        assert number.adjusted() >= 100 or int(number.as_tuple().exponent) < -100
        return
    values = line.split("\t")
    assert Decimal(values[3]) == Decimal(text)
    assert Decimal(values[7].strip("[]")) == Decimal(text)


@pytest.mark.parametrize(
    "odd", [b'{"id":1,"id":1}', b'{"n": 123456789012345678901}', b'{"label": "\\u003a"}', b"x", b""]
)
def test_one_odd_row_of_many_costs_no_other(numeric: Contract, odd: bytes) -> None:
    parser = JsonParser(numeric)
    rows = [b'{"id": %d}\n' % number for number in range(120)]
    rows[70] = odd + b"\n"
    lines = list(json_rows(io.BytesIO(b"".join(rows)), 100, parser.loads, parser.loads_all))
    found = {number: value for number, _, value, problem in lines if problem is None and number != 71}
    assert found == {number + 1: {"id": number} for number in range(120) if number != 70}
    with pytest.raises(ValueError):
        parser.loads_all(rows)


def test_many_rows_are_parsed_at_once_where_nothing_is_odd(numeric: Contract) -> None:
    rows = [b'{"id": %d, "n": 1.5}\n' % number for number in range(50)]
    assert JsonParser(numeric).loads_all(rows) == [{"id": number, "n": 1.5} for number in range(50)]
