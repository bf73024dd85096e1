"""Rows of any values, written as JSON in any layout, come back value by value from what COPY is given."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from include.landing.json_parser import JsonParser
from include.landing.rows import RowSchema
from include.landing.values import EXACT
from include.readers import json_rows
from tests.landing.conftest import THINGS, write_contract

CONTRACT = (
    THINGS.rstrip()
    + """
          - {name: big, logicalType: integer, physicalType: bigint}
          - {name: exact, logicalType: number, physicalType: numeric}
          - {name: whole, logicalType: integer, physicalType: numeric}
          - {name: double, logicalType: number, physicalType: double precision}
          - {name: flag, logicalType: boolean, physicalType: boolean}
          - {name: day, logicalType: date, physicalType: date}
          - {name: at, logicalType: timestamp, physicalType: timestamptz}
          - {name: free, logicalType: array, physicalType: jsonb}
          - name: inner
            logicalType: object
            properties:
              - {name: text, logicalType: string, physicalType: text}
              - name: document
                logicalType: object
                physicalType: jsonb
                properties:
                  - {name: n, logicalType: number, required: true}
                  - {name: t, logicalType: string}
"""
)
NAMES = ("id", "label", "secret", "big", "exact", "whole", "double", "flag", "day", "at", "free")

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=6) | st.sampled_from(
    ["\\N", "a\tb\r\n", "\r", '":', "\\u003a", ": , :", "\x7f\u2028\ufeff"]
)
INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**63 - 1, -(2**63), 2**53 + 1, 0])
DECIMALS = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places), st.integers(-(10**40), 10**40), st.integers(-5, 45)
) | st.sampled_from([Decimal(-(2**63) - 1), Decimal(2**64), Decimal("0.1"), Decimal("1e22"), Decimal("-9.3e18")])
DOUBLES = st.floats(allow_nan=False, allow_infinity=False)
FREE = st.recursive(
    st.none() | st.booleans() | DECIMALS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ROW = st.fixed_dictionaries(
    {"id": st.integers(-(2**31), 2**31 - 1)},
    optional={
        "label": st.none() | TEXT,
        "big": st.none() | INTEGERS,
        "exact": st.none() | DECIMALS,
        "whole": st.integers(-(10**30), 10**30) | st.sampled_from([-(2**63) - 1, 2**64]),
        "double": DOUBLES,
        "flag": st.booleans(),
        "day": st.dates().map(str),
        "at": st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31)).map(datetime.isoformat),
        "free": st.none() | st.lists(FREE, max_size=3),
        "inner": st.fixed_dictionaries(
            {},
            optional={
                "text": TEXT,
                "document": st.fixed_dictionaries({"n": DECIMALS}, optional={"t": st.none() | TEXT}),
            },
        ),
    },
)


def written(value: Any, between: str) -> str:
    """Write a value as JSON, numbers digit by digit; `between` stands where white space may."""
    if isinstance(value, dict):
        members = (f"{json.dumps(key)}{between}:{between}{written(part, between)}" for key, part in value.items())
        return "{" + between + f",{between}".join(members) + between + "}"
    if isinstance(value, list):
        return "[" + between + f",{between}".join(written(part, between) for part in value) + between + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=between == " ")


def from_copy(text: str) -> str | None:
    """Return a value of COPY's text format."""
    escapes = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
    return None if text == "\\N" else re.sub(r"\\(.)", lambda found: escapes[found[1]], text)


def exactly(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def as_sent(name: str, text: str | None) -> Any:
    """Return the value that the text of a column stands for."""
    if text is None or name in ("label", "secret", "text"):
        return text
    if name in ("free", "document"):
        return exactly(text)
    if name == "flag":
        return {"t": True, "f": False}[text]
    if name == "at":
        return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None).isoformat()
    if name == "day":
        return str(date.fromisoformat(text))
    return float(text) if name == "double" else Decimal(text)


@cache
def reading() -> tuple[JsonParser, RowSchema]:
    contract = write_contract(Path(mkdtemp()), CONTRACT)
    return JsonParser(contract), RowSchema(contract)


LAYOUTS = {"lines": ("", "", "\n", "\n"), "spaced": ("", " ", "\n", ""), "array": ("[", "", ",", "]")}
LAYOUTS |= {"array_lines": ("[\n", " ", ",\n", "\n]\n"), "pretty": ("[\r\n", "\r\n ", ",\r\n", "\r\n]")}


@given(rows=st.lists(ROW, min_size=1, max_size=4), layout=st.sampled_from(sorted(LAYOUTS)))
@settings(deadline=None, max_examples=100)
def test_any_row_comes_back_value_by_value(rows: list[dict[str, Any]], layout: str) -> None:
    parser, schema = reading()
    begin, between, apart, end = LAYOUTS[layout]
    content = (begin + apart.join(written(row, between) for row in rows) + end).encode()
    lines = list(json_rows(io.BytesIO(content), 1 << 20, parser.loads, parser.loads_all))
    assert [line[3] for line in lines] == [None] * len(rows)
    for row, line in zip(rows, lines, strict=True):
        with localcontext(EXACT):
            encoded = schema.encode(line[2])
        assert isinstance(encoded, str), encoded
        assert not {"\r", "\n", "\0"} & set(encoded)
        texts = [from_copy(text) for text in encoded.split("\t")]
        flat = row | row.get("inner", {})
        for name, text in zip((*NAMES, "text", "document"), texts, strict=True):
            sent = flat.get(name)
            # As JSON has it: an absent value is null, and whole numbers are numbers.
            wanted = sent if name in ("double", "flag") or sent is None else exactly(written(sent, ""))
            assert as_sent(name, text) == wanted, name
