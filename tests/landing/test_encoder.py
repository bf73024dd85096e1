"""Every type of column, and every odd name: a valid value arrives as it was sent, another is rejected by its code."""

from __future__ import annotations

import json
import linecache
import textwrap
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest

from include.contracts import Contract, ContractError, read_contract
from include.landing import encoder as encoder_module
from include.landing.encoder import encoder
from include.landing.rows import RowSchema
from include.landing.values import EXACT, as_timestamp
from tests.landing.conftest import CONTRACTS, SHOP, THINGS, Place, write_contract

KINDS = """
    apiVersion: v3.2.0
    kind: DataContract
    id: toys.things
    version: 1.0.0
    status: active
    servers:
      - {server: landing, type: custom, path: "toys/*/things.FORMAT", format: FORMAT}
    customProperties: [{property: maxBadPercent, value: 100}]
    schema:
      - name: things
        logicalType: object
        properties:
          - {name: id, logicalType: integer, physicalType: integer, primaryKey: true, required: true}
          - {name: small, logicalType: integer, physicalType: smallint, logicalTypeOptions: {minimum: -5, maximum: 9}}
          - {name: large, logicalType: integer, physicalType: bigint}
          - {name: money, logicalType: number, physicalType: "numeric(6,2)"}
          - {name: price, logicalType: number, physicalType: numeric, logicalTypeOptions: {exclusiveMinimum: 0},
             customProperties: [{property: arrivesAs, value: string}]}
          - {name: share, logicalType: number, physicalType: double precision, logicalTypeOptions: {maximum: 1}}
          - {name: flag, logicalType: boolean, physicalType: boolean}
          - {name: day, logicalType: date, physicalType: date}
          - {name: at, logicalType: timestamp, physicalType: timestamptz}
          - {name: code, logicalType: string, physicalType: varchar(3)}
          - {name: token, logicalType: string, physicalType: uuid}
          - {name: free, logicalType: array, physicalType: jsonb}
          - {name: rate, logicalType: number, physicalType: "numeric(3,3)",
             customProperties: [{property: arrivesAs, value: string}]}
          - name: table
            logicalType: array
            physicalType: jsonb
            items: {logicalType: array, items: {logicalType: integer}}
          - name: lines
            logicalType: array
            physicalType: jsonb
            items:
              logicalType: object
              properties:
                - {name: sku, logicalType: integer, required: true}
                - {name: tags, logicalType: array, items: {logicalType: string}}
          - name: nested
            logicalType: object
            physicalType: jsonb
            properties:
              - {name: "{a} 'b' \\"c\\"", logicalType: integer, physicalType: integer}
              - {name: price, logicalType: number, physicalType: numeric, physicalName: paid,
                 customProperties: [{property: arrivesAs, value: string}]}
              - {name: day, logicalType: date, physicalType: date, required: true}
          - name: outer
            logicalType: object
            properties:
              - {name: inner, logicalType: string, physicalType: text, physicalName: inner_text}
          - {name: "odd '\\" \\\\ {x} % name", logicalType: string, physicalType: text, physicalName: odd}
"""
ODD = "odd '\" \\ {x} % name"
TAKEN = [
    ("small", -5, -5),
    ("small", 9.0, 9),
    ("large", 2**63 - 1, 2**63 - 1),
    ("large", -(2**63), -(2**63)),
    ("money", 9999.99, Decimal("9999.99")),
    ("money", -0.5, Decimal("-0.50")),
    ("price", "0.001", Decimal("0.001")),
    ("price", "007.50", Decimal("7.50")),
    ("price", "9" * 38 + "." + "9" * 38, Decimal("9" * 38 + "." + "9" * 38)),
    ("rate", "00.5000", Decimal("0.500")),
    ("rate", "0", Decimal("0.000")),
    ("share", 1, 1.0),
    ("share", -1e308, -1e308),
    ("share", 5e-324, 5e-324),
    ("flag", True, True),
    ("flag", False, False),
    ("day", "0001-01-01", "0001-01-01"),
    ("day", "9999-12-31", "9999-12-31"),
    ("day", "2024-02-29", "2024-02-29"),
    ("at", "2026-01-31T23:59:59.123456000", "2026-01-31 23:59:59.123456+00"),
    ("at", "9999-12-31T23:59:59.999999000000Z", "9999-12-31 23:59:59.999999+00"),
    ("at", "9999-12-31T22:59:59-01:00", "9999-12-31 23:59:59+00"),
    ("at", "2026-01-31 23:59", "2026-01-31 23:59:00+00"),
    ("at", "2026-01-31T23:59:59+0530", "2026-01-31 18:29:59+00"),
    ("at", "0001-01-01T00:00:00Z", "0001-01-01 00:00:00+00"),
    ("code", "é漢😀", "é漢😀"),
    ("token", "123E4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
    ("table", [[1, 2], [], [3]], [[1, 2], [], [3]]),
    ("lines", [{"sku": 1, "tags": ["a"]}, {"sku": 2}], [{"sku": 1, "tags": ["a"]}, {"sku": 2}]),
    ("free", [1, {"a": ["\\", "\n", "\t"]}, None], [1, {"a": ["\\", "\n", "\t"]}, None]),
    ("nested", {"day": "2026-01-01"}, {"day": "2026-01-01"}),
    ("nested", {"day": "2026-01-01", "price": "-00.50"}, {"day": "2026-01-01", "paid": -0.5}),
    ("nested", {"day": "2026-01-01", "price": None, "{a} 'b' \"c\"": 7},
     {"day": "2026-01-01", "paid": None, "{a} 'b' \"c\"": 7}),
    ("outer", {"inner": "x"}, "x"),
    ("outer", {"inner": None}, None),
    ("outer", {}, None),
    (ODD, "x\ty\\z\r\n", "x\ty\\z\r\n"),
]  # fmt: skip
COLUMN = {"outer": "inner_text", ODD: "odd"}
REJECTED = [
    ("small", -6, "range"), ("small", 10, "range"), ("small", 1.5, "type"), ("small", "1", "type"),
    ("large", 2**63, "range"), ("large", -(2**63) - 1, "range"), ("large", 1e300, "range"),
    ("money", 10000, "range"), ("money", 0.001, "range"), ("money", 1e300, "range"), ("money", "1", "type"),
    ("price", "0", "range"), ("price", "-1.5", "range"), ("price", "0.00", "range"), ("price", "", "type"),
    ("price", "1e5", "type"), ("price", "NaN", "type"), ("price", "1,5", "type"), ("price", 1.5, "type"),
    ("price", "9" * 39, "type"), ("price", "\u0661", "type"),
    ("share", 1.5, "range"), ("share", "0.5", "type"), ("share", True, "type"),
    ("flag", 1, "type"), ("flag", "true", "type"),
    ("day", "0000-00-00", "format"), ("day", "2026-02-29", "format"), ("day", "10000-01-01", "format"),
    ("day", "2026-1-1", "format"), ("day", "2026-01-01T00:00", "format"), ("day", 20260101, "type"),
    ("at", "2026-01-31T24:01:00", "format"), ("at", "2016-12-31T23:59:60", "format"), ("at", "2026-01-31", "format"),
    ("at", "10000-01-01T00:00:00", "format"), ("at", "2026-12-31T23:59:59.9999999Z", "format"),
    ("at", "9999-12-31T23:59:59.9999999", "format"), ("at", "2026-01-31T23:59:59.000000000001+01:00", "format"),
    ("at", "9999-12-31T23:59:59-00:01", "range"), ("at", "0001-01-01T00:00:00+00:01", "range"),
    ("at", "2026-01-31T10:00:00+16:00", "format"),
    ("at", "2026-01-31T10:00:00 Europe/Paris", "format"), ("at", "0000-01-01T00:00:00", "format"),
    ("code", "abcd", "range"), ("code", "a\0", "nul_character"),
    ("token", "123", "format"),
    ("large", 2.0**53, "range"), ("rate", "0.0005", "range"), ("rate", "1", "range"), ("money", 1e300, "range"),
    ("free", ["a\0"], "nul_character"), ("free", [{"a\0": 1}], "nul_character"), ("free", {}, "type"),
    ("nested", {}, "required"), ("nested", {"day": None}, "required"), ("nested", {"day": "2026-02-30"}, "format"),
    ("nested", {"day": "2026-01-01", "price": "x"}, "type"),
    ("nested", {"day": "2026-01-01", "more": 1}, "unknown_key"),
    ("nested", {"day": "2026-01-01", "{a} 'b' \"c\"": 2**31}, "range"),
    ("outer", {"inner": 1}, "type"), ("outer", {"inner": "\0null"}, "nul_character"),
    (ODD, "\0", "nul_character"),
]  # fmt: skip


def test_every_kind_of_value_arrives_as_it_was_sent_or_is_rejected_by_its_code(things: Place) -> None:
    things.contract = write_contract(things.folder, KINDS)
    rows: list[dict[str, Any]] = [{"id": n, name: value} for n, (name, value, _) in enumerate(TAKEN)]
    things.put("taken", rows)
    result = things.land()
    assert (result.rows_loaded, result.rows_rejected) == (len(rows), 0)
    found = dict(things.query("select id, to_jsonb(t) from toys.things t"))
    exact = dict(things.query("select id, array[money, price]::text[] from toys.things"))
    zones = dict(things.query("select id, at::text from toys.things"))
    for number, (name, value, expected) in enumerate(TAKEN):
        got = found[number][COLUMN.get(name, name)]
        if name in ("money", "price"):
            got = Decimal(next(filter(None, exact[number])))
        elif name == "share":
            got = float(got)
        elif name == "at":
            got = zones[number]
        assert got == expected, (name, value)
    things.put("rejected", [{"id": n, name: value} for n, (name, value, _) in enumerate(REJECTED)])
    things.land()
    codes = dict(things.query("select line - 1, code from landing.rejects"))
    assert [(*case[:2], codes.get(n)) for n, case in enumerate(REJECTED)] == REJECTED


def test_a_csv_holds_the_same_values_as_text(csv_things: Place) -> None:
    text = KINDS[: KINDS.index("          - {name: free")].replace("maximum: 1}", "exclusiveMaximum: 0.75}")
    csv_things.contract = write_contract(csv_things.folder, text, "csv")
    rows = [
        ("1,9,-5,1.50,2,0.5,true,2026-01-01,2026-01-01T10:00,abc,123e4567-e89b-12d3-a456-426614174000", None),
        ("2,,,,,,,,,,", None),
        ("3,10,,,,,,,,,", "range"),
        ("4,x,,,,,,,,,", "type"),
        ("5,,,12345,,,,,,,", "range"),
        ("6,,,,0,,,,,,", "range"),
        ("7,,,,,0.75,,,,,", "range"),
        ("8,,,,,,yes,,,,", "type"),
        ("9,,,,,,,2026-02-30,,,", "format"),
        ("10,,9223372036854775808,,,,,,,,", "range"),
    ]
    header = "id,small,large,money,price,share,flag,day,at,code,token"
    csv_things.put("one", "\n".join([header, *(row for row, _ in rows)]).encode())
    csv_things.land()
    found = dict(csv_things.query("select line - 2, code from landing.rejects"))
    assert [found.get(n) for n in range(len(rows))] == [code for _, code in rows]
    ((row,),) = csv_things.query(
        "select to_jsonb(t) - '{_file,_line,_loaded_at,_xid}'::text[] from toys.things t where id = 1"
    )
    assert list(row.values()).count(None) == 0


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("sumOf: purchases.products", "sumOf: purchases.nothing", "there is no purchases.nothing in the row"),
        ("product: [price, quanitity]", "product: [price, weight]", "'weight' is no required property of the items"),
        ("equals: purchases.total_cost", "equal: purchases.total_cost", "needs sumOf, product and equals"),
    ],
)
def test_a_sum_that_no_row_could_have_is_a_mistake_of_the_contract(
    things: Place, old: str, new: str, reason: str
) -> None:
    shipped = SHOP["shop.orders"]
    text = shipped.file.read_text()
    assert old in text
    file = things.folder / "shop" / "orders.yaml"
    file.parent.mkdir()
    file.write_text(text.replace(old, new))
    with pytest.raises(ContractError, match=f"quality: lines_add_up: .*{reason}"):
        compiled(read_contract(file))


def test_the_source_is_the_one_that_the_module_shows(things: Place) -> None:
    contract = write_contract(things.folder, THINGS[: THINGS.index("          - {name: secret")])
    page = encoder_module.__doc__ or ""
    shown = textwrap.dedent(page.partition("    def encode")[2].partition("\n\n`is_valid`")[0])
    source = linecache.getlines(compiled(contract).__code__.co_filename)
    assert "".join(source).split() == ("def encode" + shown).split()


def test_a_contract_can_not_bring_code(things: Place) -> None:
    evil = "0') or [][0] or Decimal('0"
    text = KINDS.replace("exclusiveMinimum: 0}", f'exclusiveMinimum: "{evil}"}}')
    with pytest.raises(ContractError, match=r"price: exclusiveMinimum: .* is no number"):
        compiled(write_contract(things.folder, text))


def compiled(contract: Contract) -> Any:
    return encoder(contract, lambda _: True, lambda _: None, lambda refusal: refusal.code)


def test_sums_are_exact() -> None:
    encode = compiled(SHOP["shop.orders"])
    row = json.loads(
        '{"transaction_id": "t", "transaction_time": "2026-01-01T00:00:00", "customer_id": "1", "delivery_address":'
        ' {"address": "a", "postcode": "b", "city": "c", "country": "d"}}'
    )
    for prices, total, is_right in (
        (("0.1", "0.2"), "0.3", True),
        (("0.10", "0.20"), "0.300", True),
        (("0.1", "0.2"), "0.30000000000000000000000000000000001", False),
        (("9" * 38, "1"), "1" + "0" * 38, True),
    ):
        row["purchases"] = {
            "products": [{"sku": 1, "quanitity": 1, "price": price, "total": price} for price in prices],
            "total_cost": total,
        }
        with localcontext(EXACT):
            assert (encode(row) != "rule.lines_add_up") == is_right


def test_sums_of_numbers_of_json_are_exact(tmp_path: Path) -> None:
    file = tmp_path / "shop" / "orders.yaml"
    file.parent.mkdir()
    text = (CONTRACTS / "shop/orders.yaml").read_text()
    file.write_text(text.replace("customProperties: [{property: arrivesAs, value: string}]", ""))
    encode = compiled(read_contract(file))
    row = {"transaction_id": "t", "transaction_time": "2026-01-01T00:00:00", "customer_id": "1"}
    row |= {"delivery_address": {"address": "a", "postcode": "b", "city": "c", "country": "d"}}
    for total, is_right in ((0.3, True), (0.30000000000000004, False)):
        products = [{"sku": 1, "quanitity": 1, "price": price, "total": price} for price in (0.1, 0.2)]
        with localcontext(EXACT):
            found = encode(row | {"purchases": {"products": products, "total_cost": total}})
        assert (found != "rule.lines_add_up") == is_right


def test_a_time_without_a_zone_is_utc_whatever_the_zone_of_the_server_is() -> None:
    assert as_timestamp("2026-01-31T23:59", "at") == "2026-01-31T23:59+00"


NESTED = (
    THINGS
    + """
          - name: sure
            logicalType: object
            required: true
            properties:
              - {name: a, physicalName: sure_a, logicalType: integer, physicalType: integer, required: true}
          - name: maybe
            logicalType: object
            properties:
              - {name: a, physicalName: maybe_a, logicalType: integer, physicalType: integer, required: true}
              - name: inner
                logicalType: object
                required: true
                properties: [{name: b, logicalType: integer, physicalType: integer, required: true}]
          - name: document
            logicalType: object
            physicalType: jsonb
            properties:
              - name: inner
                logicalType: object
                properties: [{name: c, logicalType: integer, required: true}]
              - name: lines
                logicalType: array
                items:
                  logicalType: object
                  properties: [{name: d, logicalType: integer, required: true}]
"""
)


def test_what_is_required_is_missed_at_every_depth(tmp_path: Path) -> None:
    schema = RowSchema(write_contract(tmp_path, NESTED))
    whole = {
        "id": 1, "sure": {"a": 1}, "maybe": {"a": 1, "inner": {"b": 2}},
        "document": {"inner": {"c": 3}, "lines": [{"d": 4}, {"d": 5}]},
    }  # fmt: skip
    assert schema.encode(whole) == '1\t\\N\t\\N\t1\t1\t2\t{"inner":{"c":3},"lines":[{"d":4},{"d":5}]}'
    places = [("id",), ("sure",), ("sure", "a"), ("maybe", "a"), ("maybe", "inner"), ("maybe", "inner", "b")]
    for place in [*places, ("document", "inner", "c"), ("document", "lines", 1, "d")]:
        for is_null in (False, True):
            row = json.loads(json.dumps(whole))
            holder = row
            for step in place[:-1]:
                holder = holder[step]
            del holder[place[-1]]
            if is_null:
                holder[place[-1]] = None
            problems = schema.encode(row)
            assert not isinstance(problems, str), place
            field = ".".join(map(str, place)).replace(".1.", "[1].")
            assert [(problem.code, problem.field) for problem in problems] == [("required", field)]
    assert isinstance(schema.encode({"id": 1, "sure": {"a": 1}, "maybe": None, "document": {}}), str)
