"""Every logical type with every type of column, from CSV and JSON: exactly, rejected, or refused at reading."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from include.contracts import Contract, ContractError
from include.landing.rows import RowSchema
from tests.landing.conftest import THINGS, Place, write_contract

TYPES = ["text", "varchar(3)", "smallint", "integer", "bigint", "numeric", "numeric(6,2)", "double precision"]
TYPES += ["boolean", "date", "timestamptz", "uuid", "jsonb"]
FITTING = {
    "string": ["text", "varchar(3)", "uuid", "jsonb"],
    "integer": ["smallint", "integer", "bigint", "numeric", "numeric(6,2)", "jsonb"],
    "number": ["numeric", "numeric(6,2)", "double precision", "jsonb"],
    "boolean": ["boolean", "jsonb"],
    "date": ["date", "jsonb"],
    "timestamp": ["timestamptz", "date", "jsonb"],
    "object": ["jsonb"],
    "array": ["jsonb"],
}
IN_CSV = [kind for kind in FITTING if kind not in ("object", "array")]
PAIRS = [(kind, type_) for kind, types in FITTING.items() for type_ in types]

# As JSON writes them; a CSV gets the text within.
_SPELLED = r"""
1 -1 0 -0 7.0 1.5 0.1 -0.0 1e2 1e22 1e-7 32768 -32769 2147483648 9007199254740993 123456.785
9223372036854775807 -9223372036854775808 9223372036854775808 -9223372036854775809 18446744073709551616
12345678901234567890123456789012345678 0.1234567890123456789 true false [] [1,{"a":1.5},[-9223372036854775809]]
{} {"a":1} {"a":12345678901234567890} "" "text" "abc" "1" "01" "-1" "1.50" "007.10" "1e5" "true" "yes" "t"
"9223372036854775808" "-9223372036854775809" "12345678901234567890" "0.10000000000000000001" "1234567.1"
"2026-01-31" "2026-02-30" "2026-W01-1" "2026-01-31T00:00:00" "2026-01-31T00:00:00+01:00" "2026-01-31T12:30:00.5-05:00"
"2026-12-31T23:59:59.9999999Z" "123E4567-e89b-12d3-a456-426614174000" "null" "NaN" "Infinity" "\\N" "é\t\"\\"
"""
VALUES = _SPELLED.split()


def contract_of(folder: Path, pairs: list[tuple[str, str]], format_: str = "json", rest: str = "") -> Contract:
    """Return the contract of things with a column p0, p1, ... for each pair."""
    properties = ", properties: [{name: a, logicalType: number}]"
    lines = [
        f'          - {{name: p{n}, logicalType: {kind}, physicalType: "{type_}"'
        f"{properties if kind == 'object' else ''}{rest}}}"
        for n, (kind, type_) in enumerate(pairs)
    ]
    text = THINGS.replace("value: 50}", "value: 100}").rstrip() + "\n" + "\n".join(lines) + "\n"
    return write_contract(folder, text, format_)


@pytest.mark.parametrize("format_", ["csv", "json"])
def test_types_that_contradict_each_other_are_refused_where_the_contract_is_read(tmp_path: Path, format_: str) -> None:
    for kind in [*FITTING, "time", "map"]:
        for type_ in TYPES:
            if type_ not in FITTING.get(kind, []):
                with pytest.raises(ContractError) as caught:
                    contract_of(tmp_path, [(kind, type_)], format_)
                sentence = str(caught.value)
                assert all(part in sentence for part in ("toys/things.yaml: ", " p0: ", kind)), sentence
                assert kind not in FITTING or (repr(type_) in sentence and FITTING[kind][0] in sentence), sentence
            elif format_ == "csv" and kind not in IN_CSV:
                with pytest.raises(ContractError, match=f"p0: logicalType {kind}: a CSV holds none"):
                    contract_of(tmp_path, [(kind, type_)], format_)
    inner = "properties: [{name: a, logicalType: number, physicalType: bigint}]"
    with pytest.raises(ContractError, match=r"p0\.a: physicalType 'bigint' does not hold a number"):
        contract_of(tmp_path, [("object", "jsonb")], rest=f", {inner}")


@pytest.mark.parametrize("type_", ["numeric(1001,0)", "numeric(0,0)", "varchar(0)", "varchar(10485761)"])
def test_column_that_postgres_does_not_make_is_refused(tmp_path: Path, type_: str) -> None:
    with pytest.raises(ContractError, match=r"p0: physicalType .*: Postgres takes a"):
        contract_of(tmp_path, [("string" if "char" in type_ else "number", type_)])


def wanted(kind: str, type_: str, value: Any) -> Any:
    """Return what psycopg gives for a value that arrived, if it is landed; numbers come as Decimals or texts."""
    if type_ == "jsonb" and kind not in ("integer", "number", "boolean"):
        return value
    if kind in ("integer", "number"):
        return float(value) if type_ == "double precision" else Decimal(value)
    if kind == "boolean":
        return value in (True, "true")
    if type_ == "uuid":
        return UUID(value)
    if kind == "date":
        return date.fromisoformat(value)
    if kind == "timestamp":
        at = datetime.fromisoformat(value)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        assert type_ != "date" or at.astimezone(UTC).time() == time(0)
        return at.astimezone(UTC).date() if type_ == "date" else at
    return value


def exactly(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


@pytest.mark.parametrize("format_", ["csv", "json"])
def test_every_value_of_every_pair_lands_exactly_or_is_rejected(things: Place, csv_things: Place, format_: str) -> None:
    place = csv_things if format_ == "csv" else things
    pairs = [(kind, type_) for kind, type_ in PAIRS if format_ == "json" or kind in IN_CSV]
    place.contract = contract_of(place.folder, pairs, format_)
    sent = [(pair, text) for pair in range(len(pairs)) for text in VALUES]
    values = [exactly(text) for _, text in sent]
    if format_ == "csv":
        values = [value if isinstance(value, str) else text for value, (_, text) in zip(values, sent, strict=True)]
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(["id", *(f"p{n}" for n in range(len(pairs)))])
        for line, ((pair, _), value) in enumerate(zip(sent, values, strict=True)):
            writer.writerow([line, *("" for _ in range(pair)), value, *("" for _ in range(pair + 1, len(pairs)))])
        place.put("one", out.getvalue().encode())
    else:
        lines = [f'{{"id": {line}, "p{pair}": {text}}}' for line, (pair, text) in enumerate(sent)]
        place.put("one", "\n".join(lines).encode())
    (file,) = place.land().files
    columns = ", ".join(f"p{n}::text" if type_ == "jsonb" else f"p{n}" for n, (_, type_) in enumerate(pairs))
    found = place.query(f"select id, {columns} from toys.things order by id")
    assert file.rows_loaded == len(found) and file.rows_read == len(sent)
    landed = dict.fromkeys(range(len(pairs)), 0)
    for line, *row in found:
        pair, value = sent[line][0], values[line]
        kind, type_ = pairs[pair]
        got = exactly(row[pair]) if type_ == "jsonb" and row[pair] is not None else row[pair]
        if value == "" and format_ == "csv":
            assert got is None
            continue
        landed[pair] += 1
        assert got == wanted(kind, type_, value), (kind, type_, sent[line][1])
    assert all(landed.values()), {pairs[pair]: count for pair, count in landed.items()}
    texts = {
        value for value in (values[n] for n, *_ in found if pairs[sent[n][0]][0] != "string") if type(value) is str
    }
    assert not texts & {"yes", "1e5", "2026-02-30"}


@pytest.mark.parametrize(
    ("kind", "type_", "enum", "right", "wrong"),
    [
        ("integer", "integer", "[{value: 1}, {value: -20}]", ["1", "-20", "01"], ["2", "20"]),
        ("integer", "jsonb", "[{value: 1}]", ["1"], ["2"]),
        ("number", "numeric", "[{value: 1.5}, {value: 2}, {value: 0.1}]", ["1.5", "2", "0.1", "2.0", "1.50"], ["3"]),
        ("number", "jsonb", "[{value: 1.5}, {value: 2}]", ["1.5", "2"], ["1.51", "3"]),
        ("number", "double precision", "[{value: 0.1}]", ["0.1", "0.10"], ["0.2"]),
        ("boolean", "boolean", "[{value: true}]", ["true"], ["false"]),
        ("date", "date", "[{value: 2026-01-31}, {value: '2026-02-28'}]", ["2026-01-31", "2026-02-28"], ["2026-02-27"]),
        ("string", "text", "[{value: '1'}, {value: 'yes'}]", ["1", "yes"], ["01", "no"]),
    ],
)
@pytest.mark.parametrize("format_", ["csv", "json", "json_text"])
def test_enum_is_compared_by_value(
    tmp_path: Path, kind: str, type_: str, enum: str, right: list[str], wrong: list[str], format_: str
) -> None:
    is_text = format_ != "json" or kind in ("date", "string")
    arrives = ", customProperties: [{property: arrivesAs, value: string}]" if format_ == "json_text" else ""
    contract = contract_of(tmp_path, [(kind, type_)], format_.removesuffix("_text"), f", enum: {enum}{arrives}")
    encode = RowSchema(contract).encode
    for text in [*right, *wrong]:
        if text.startswith("0") and kind == "integer" and not is_text:
            continue
        row = {"id": "1" if format_ == "csv" else 1, "p0": text if is_text else json.loads(text)}
        encoded = encode(row)
        assert isinstance(encoded, str) == (text in right), (text, encoded)
        assert isinstance(encoded, str) or [problem.code for problem in encoded] == ["value"], encoded


@pytest.mark.parametrize(
    ("kind", "enum", "sentence"),
    [
        ("string", "[{value: yes}]", "p0: enum: True is not text, as a string arrives: put it in quotes"),
        ("string", "[{value: 1}]", "p0: enum: 1 is not text"),
        ("timestamp", "[{value: 2026-01-31 10:00:00}]", "is not text, as a timestamp arrives"),
        ("integer", "[{value: '1'}]", "p0: enum: '1' is not an integer"),
        ("integer", "[{value: 1.5}]", "p0: enum: 1.5 is not an integer"),
        ("integer", "[{value: true}]", "p0: enum: True is not an integer"),
        ("number", "[{value: .nan}]", "p0: enum: nan is not a number"),
        ("boolean", "[{value: 'true'}]", "p0: enum: 'true' is not true or false"),
        ("array", "[{value: 1}]", "p0: enum: landing carries out none of a logicalType array"),
    ],
)
def test_enum_of_another_type_is_refused(tmp_path: Path, kind: str, enum: str, sentence: str) -> None:
    with pytest.raises(ContractError, match=sentence):
        contract_of(tmp_path, [(kind, FITTING[kind][0])], rest=f", enum: {enum}")


def test_limits_of_types_within_jsonb_and_of_doubles_are_carried_out(tmp_path: Path) -> None:
    inner = (
        "properties: [{name: a, logicalType: string, physicalType: varchar(2)},"
        " {name: b, logicalType: number, physicalType: 'numeric(3,1)'},"
        " {name: c, logicalType: string, physicalType: uuid},"
        " {name: d, logicalType: boolean, customProperties: [{property: arrivesAs, value: string}]}]"
    )
    text = THINGS + f"          - {{name: p, logicalType: object, physicalType: jsonb, {inner}}}\n"
    encode = RowSchema(write_contract(tmp_path, text)).encode
    assert encode({"id": 1, "p": {"a": "ab", "b": 12.5, "d": "true"}}) == '1\t\\N\t\\N\t{"a":"ab","b":12.5,"d":true}'
    for wrong in ({"a": "abc"}, {"b": 12.55}, {"b": 100}, {"c": "1"}):
        problems = encode({"id": 1, "p": wrong})
        assert not isinstance(problems, str) and problems[0].field == f"p.{next(iter(wrong))}"
    limits = "logicalTypeOptions: {maximum: 0.1, minimum: 0.1}"
    csv_ = contract_of(tmp_path, [("number", "double precision")], "csv", f", {limits}")
    assert isinstance(RowSchema(csv_).encode({"id": "1", "p0": "0.1"}), str)
    assert not isinstance(RowSchema(csv_).encode({"id": "1", "p0": "0.10000000000000000001"}), str)
    uuids = contract_of(tmp_path, [("string", "uuid")], rest=", logicalTypeOptions: {pattern: '^a'}")
    for text, is_valid in (("a" * 8, True), ("b" * 8, False)):
        value = f"{text}-e89b-12d3-a456-426614174000"
        assert isinstance(RowSchema(uuids).encode({"id": 1, "p0": value}), str) == is_valid


def test_server_says_nothing_that_landing_ignores(tmp_path: Path) -> None:
    for wrong, sentence in (
        ("schema: other", "servers: schema: landing carries out no schema"),
        ("location: 's3://x'", "servers: location: landing carries out no location: there are type, path"),
        ("delimiter: ';'", "servers: delimiter: files of JSON have none"),
    ):
        with pytest.raises(ContractError, match=sentence):
            write_contract(tmp_path, THINGS.replace('delimiter: ","', wrong))
