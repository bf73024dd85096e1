"""Files as programs of many countries write them: each lands with its right values, or is rejected, never guessed."""

from __future__ import annotations

import json
from decimal import localcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from include.contracts import Contract
from include.landing.judge import RejectedRows, read_rows
from include.landing.rows import RowSchema
from include.landing.values import EXACT
from include.storage import hash_of
from tests.landing.conftest import Place, write_contract

HEAD = """
apiVersion: v3.2.0
kind: DataContract
id: toys.things
version: 1.0.0
status: active
servers:
  - {server: landing, type: custom, path: "toys/*/things.FORMAT", format: FORMAT, OPTIONS}
customProperties: [{property: maxBadPercent, value: 100}]
schema:
  - name: things
    logicalType: object
    properties:
"""
TYPES = {
    "text": "logicalType: string, physicalType: text",
    "int": "logicalType: integer, physicalType: bigint",
    "num": "logicalType: number, physicalType: numeric",
    "flag": "logicalType: boolean, physicalType: boolean",
    "day": "logicalType: date, physicalType: date",
    "at": "logicalType: timestamp, physicalType: timestamptz",
    "list": "logicalType: array, physicalType: jsonb, items: {logicalType: date, "
    "logicalTypeOptions: {format: d.M.yyyy}}",
}


def contract_text(options: str, columns: str) -> str:
    """Return a contract. Columns are written `name type rest; ...`, the first is the key."""
    lines = []
    for place, column in enumerate(columns.split("; ")):
        name, kind, *rest = column.split(" ", 2)
        key = ", primaryKey: true, required: true" if place == 0 else ""
        lines.append(f"      - {{name: {name}, {TYPES[kind]}{key}{''.join(f', {part}' for part in rest)}}}\n")
    return HEAD.replace(", OPTIONS", f", {options}" if options else "") + "".join(lines)


def properties(**options: Any) -> str:
    """Return options as the custom properties of a contract."""
    return f"customProperties: {json.dumps([{'property': n, 'value': v} for n, v in options.items()])}"


def fmt(pattern: str, zone: str = "") -> str:
    return f"logicalTypeOptions: {{format: {pattern!r}{f', defaultTimezone: {zone}' if zone else ''}}}"


class Landed(NamedTuple):
    rows: list[list[str]]  # as COPY gets them
    rejects: list[tuple[int, str, str, str]]  # line, code, reason, row


def landed(contract: Contract, content: bytes, folder: Path) -> Landed:
    file = folder / "file"
    file.write_bytes(content)
    lines: list[str] = []
    with RejectedRows(contract) as rejects, localcontext(EXACT):
        read_rows(RowSchema(contract), "f", file, hash_of(file), lambda _, rows: lines.extend(rows), rejects)
        found = [(row.line, row.code, row.reason, row.row) for row in rejects]
    return Landed([line.split("\t")[:-2] for line in lines], found)


CORPUS = {
    "german": (
        "Nr;Betrag;Datum;Zeit;Aktiv\r\n"
        "1;1.234,50;31.01.2020;31.01.2020 23:59;ja\r\n2;-0,5;01.02.2020;;nein\r\n3;12.345.678,901;;;\r\n",
        "cp1252",
        'delimiter: ";", encoding: Windows-1252, '
        + properties(decimalChar=",", groupChar=".", trueValues=["ja"], falseValues=["nein"]),
        f"Nr int; Betrag num; Datum day {fmt('dd.MM.yyyy')}; Zeit at {fmt('dd.MM.yyyy HH:mm', 'Europe/Berlin')};"
        " Aktiv flag",
        [
            ["1", "1234.50", "2020-01-31", "2020-01-31T23:59:00+01:00", "t"],
            ["2", "-0.5", "2020-02-01", "\\N", "f"],
            ["3", "12345678.901", "\\N", "\\N", "\\N"],
        ],
    ),
    "french, with the blanks of its spreadsheets": (
        "id;prix;nom\n1;1 234,5;café\n2;1\u00a0234\u00a0567,25;x\n3;1\u202f234;y\n",
        "utf-8-sig",
        'delimiter: ";", ' + properties(decimalChar=",", groupChar=" "),
        "id int; prix num; nom text",
        [["1", "1234.5", "café"], ["2", "1234567.25", "x"], ["3", "1234", "y"]],
    ),
    "swiss": (
        "id;betrag\n1;1'234.56\n2;1\u2019234\u2019567.00\n3;12\n",
        "utf-8",
        'delimiter: ";", ' + properties(groupChar="'"),
        "id int; betrag num",
        [["1", "1234.56"], ["2", "1234567.00"], ["3", "12"]],
    ),
    "american": (
        'id,amount,day,at,ok\n1,"1,234.50",1/31/20,1/31/20 12:05 AM,Y\n"1,002",-5,12/1/2019,1/31/20 1:05 pm,N\n',
        "utf-8",
        properties(groupChar=",", trueValues=["Y"], falseValues=["N"]),
        f"id int; amount num; day text; at at {fmt('M/d/yy h:mm a', 'America/New_York')}; ok flag",
        [
            ["1", "1234.50", "1/31/20", "2020-01-31T00:05:00-05:00", "t"],
            ["1002", "-5", "12/1/2019", "2020-01-31T13:05:00-05:00", "f"],
        ],
    ),
    "japanese": (
        '番号,名前,日付\n001,"表, 十",2020年1月31日\n002,ｿﾆｰ,2020年12月1日\n',
        "shift_jis",
        "encoding: Shift_JIS",
        f"番号 text; 名前 text; 日付 day {fmt('yyyy年M月d日')}",
        [["001", "表, 十", "2020-01-31"], ["002", "ｿﾆｰ", "2020-12-01"]],
    ),
    "chinese": (
        "编号\t名称\t金额\n1\t鎔基|€\t1,234.5\n",
        "gb18030",
        r'delimiter: "\t", encoding: GB18030, ' + properties(groupChar=",", quoteChar="none"),
        "编号 int; 名称 text; 金额 num",
        [["1", "鎔基|€", "1234.5"]],
    ),
    "the first line of Excel, in UTF-16": (
        "sep=;\r\nid;at\r\n1;2020-01-31 10:00\r\n",
        "utf-16",
        'delimiter: ";", encoding: UTF-16',
        "id int; at at logicalTypeOptions: {defaultTimezone: Asia/Kolkata}",
        [["1", "2020-01-31T10:00+05:30"]],
    ),
    "mysql": (
        '1,"it\\"s","a\\\\b"\n2,\\N,"two\\\nlines"\n3,"N","\\\\N"\n4,,"x"\n',
        "utf-8",
        properties(header=False, escapeChar="\\", missingValues=["\\N"]),
        "id int; a text; b text",
        [["1", 'it"s', "a\\\\b"], ["2", "\\N", "two\\nlines"], ["3", "N", "\\\\N"], ["4", "", "x"]],
    ),
    "postgres and tatoeba: tabs, escapes, no quotes": (
        '1\teng\tHe said: "Let\'s\\tgo.\\n"\n2\t\\N\t\\\\N\n',
        "utf-8",
        r'delimiter: "\t", '
        + properties(header=False, quoteChar="", escapeChar="\\", escapeSequences=True, missingValues=["\\N"]),
        "id int; lang text; text text",
        [["1", "eng", 'He said: "Let\'s\\tgo.\\n"'], ["2", "\\N", "\\\\N"]],
    ),
    "imdb": (
        'tconst\ttitle\tyear\ntt1\t"Weird Al" Yankovic\t\\N\ntt2\t"Foo\t1999\ntt3\ta"b\t2001\n',
        "utf-8",
        r'delimiter: "\t", ' + properties(quoteChar="none", missingValues=["\\N"]),
        "tconst text; title text; year int",
        [["tt1", '"Weird Al" Yankovic', "\\N"], ["tt2", '"Foo', "1999"], ["tt3", 'a"b', "2001"]],
    ),
    "openflights": (
        '1,"Private flight",\\N,"-","N/A","","Y"\n3,"1Time, Airline",\\N,"1T","RNX",NEXTIME,"N"\n',
        "utf-8",
        properties(header=False, missingValues=["", "\\N", "N/A", "-"], trueValues=["Y"], falseValues=["N"]),
        "id int; name text; alias text; iata text; icao text; callsign text; active flag",
        [
            ["1", "Private flight", "\\N", "\\N", "\\N", "\\N", "t"],
            ["3", "1Time, Airline", "\\N", "1T", "RNX", "NEXTIME", "f"],
        ],
    ),
    "titles, comments and a footer": (
        'Report of "things\n\n# by hand\nid|name|\n1|a|\n# 2|b|\n\n3|#c|\nTotal|2|\n',
        "utf-8",
        "delimiter: '|', " + properties(skipRows=2, commentChar="#", trailingDelimiter=True, skipFooterRows=1),
        "id int; name text",
        [["1", "a"], ["3", "#c"]],
    ),
    "blanks around values, and a delimiter of two": (
        "id :: name :: price\n 1 :: x :: 1.5\n2::  ::  n/a \n",
        "utf-8",
        "delimiter: '::', " + properties(trim=True, missingValues=["", "n/a"]),
        "id int; name text; price num",
        [["1", "x", "1.5"], ["2", "\\N", "\\N"]],
    ),
    "a property's own way of writing": (
        "id;euro;dollar;code\n1;1.234,5;1,234.5;NA\n2;NA;;\n",
        "utf-8",
        'delimiter: ";", ' + properties(decimalChar=",", groupChar=".", missingValues=["", "NA"]),
        f"id int; euro num; dollar num {properties(decimalChar='.', groupChar=',')};"
        f" code text {properties(missingValues=[])}",
        [["1", "1234.5", "1234.5", "NA"], ["2", "\\N", "\\N", ""]],
    ),
}


@pytest.mark.parametrize("name", CORPUS)
def test_a_file_lands_with_its_right_values(tmp_path: Path, name: str) -> None:
    text, encoding, options, columns, expected = CORPUS[name]
    found = landed(write_contract(tmp_path, contract_text(options, columns), "csv"), text.encode(encoding), tmp_path)
    assert found.rejects == []
    assert found.rows == expected


EUROPEAN = properties(decimalChar=",", groupChar=".", trueValues=["ja"], falseValues=["nein"], missingValues=["", "-"])


@pytest.mark.parametrize(
    ("column", "value", "code", "reason"),
    [
        ("num", "1.23", "type", "v: '1.23' is not a number such as 1.234,5"),
        ("num", "0.123", "type", "is not a number such as 1.234,5"),
        ("num", "1234.567", "type", "is not a number"),
        ("num", "1.234.56", "type", "is not a number"),
        ("num", "1.234,5,6", "type", "is not a number"),
        ("num", "1,", "type", "is not a number"),
        ("num", ",5", "type", "is not a number"),
        ("num", "12 €", "type", "is not a number"),
        ("num", "1" * 39, "type", "is not a number"),
        ("int", "1,0", "type", "v: '1,0' is not an integer such as 1.234"),
        ("flag", "Ja", "type", "v: 'Ja' is none of ja, nein"),
        ("flag", "true", "type", "is none of ja, nein"),
        (f"day {fmt('dd/MM/yyyy')}", "31/02/2020", "format", "v: '31/02/2020' is no day of the calendar"),
        (f"day {fmt('dd/MM/yyyy')}", "1/02/2020", "format", "is not of the format dd/MM/yyyy"),
        (f"day {fmt('dd/MM/yyyy')}", "2020-01-31", "format", "is not of the format dd/MM/yyyy"),
        (f"day {fmt('dd/MM/yyyy HH:mm')}", "31/01/2020 00:01", "format", "is a time of the day, not a whole day"),
        (f"at {fmt('dd/MM/yyyy HH:mm')}", "31/01/2020 24:00", "format", "is no time of the calendar"),
        (f"at {fmt('dd/MM/yyyy HH:mm')}", "31/01/2020 23:60", "format", "is no time of the calendar"),
        (f"at {fmt('yyyy-MM-dd HH:mm', 'Europe/Berlin')}", "2026-03-29 02:30", "format", "does not exist in"),
        (f"at {fmt('yyyy-MM-dd HH:mm', 'Europe/Berlin')}", "2026-10-25 02:30", "format", "happens twice in"),
        (f"at {fmt('yyyy-MM-dd HH:mm:ss.SSSSSSSSS')}", "2026-10-25 02:30:00.000000001", "format", "finer than"),
        (f"text {properties(missingValues=['NA', '-'])}, required: true", "NA", "required", "v: is null"),
        ("text classification: personal, enum: [{value: x}]", "secret", "value", "v: is not one of the values"),
        ("num classification: personal", "secret", "type", "v: is not a number such as 1.234,5"),
    ],
)
def test_a_value_that_does_not_fit_is_rejected_as_it_was_written(
    tmp_path: Path, column: str, value: str, code: str, reason: str
) -> None:
    contract = write_contract(tmp_path, contract_text(f'delimiter: ";", {EUROPEAN}', f"id text; v {column}"), "csv")
    found = landed(contract, f"id;v\na;{value}\nb;-\n".encode(), tmp_path)
    (line, found_code, found_reason, row), *others = found.rejects
    assert (line, found_code, row) == (2, code, f'{{"id":"a","v":"{value}"}}')
    assert reason in found_reason
    assert "secret" not in found_reason
    assert found.rows == ([] if others else [["b", "\\N"]])
    assert bool(others) == ("required" in column)


def test_every_problem_of_a_row_is_said_in_the_order_of_its_fields(tmp_path: Path) -> None:
    columns = f"id int; a num; b text logicalTypeOptions: {{maxLength: 1}}; c day {fmt('d.M.yyyy')}, required: true"
    contract = write_contract(tmp_path, contract_text(EUROPEAN, columns), "csv")
    (reject,) = landed(contract, b"id,a,b,c\n1,x,yy,31.2.2020\n", tmp_path).rejects
    assert reject[2] == (
        "a: 'x' is not a number such as 1.234,5; b: 'yy' is longer than 1; c: '31.2.2020' is no day of the calendar"
    )


def test_texts_of_json_are_read_as_the_contract_says(tmp_path: Path) -> None:
    options = properties(missingValues=["NA"], trueValues=["yes"], falseValues=["no"])
    own = "[{property: arrivesAs, value: string}, {property: decimalChar, value: ','}]"
    columns = (
        f"id int; day day {fmt('d.M.yyyy')}; at at {fmt('d.M.yyyy H:mm', 'Asia/Tokyo')}; ok flag; text text;"
        f" money num customProperties: {own}; days list"
    )
    contract = write_contract(tmp_path, contract_text(options, columns))
    content = (
        b'{"id":1,"day":"31.1.2020","at":"1.2.2020 9:00","ok":"yes","text":"NA","money":"1,5","days":["1.2.2020"]}\n'
        b'{"id":2,"day":"NA","ok":false,"text":"","days":["NA"]}\n'
        b'{"id":3,"day":"2020-01-31","ok":"true","money":"1.5","days":["1.2.2020","x"]}\n'
        b"[]\n"
    )
    found = landed(contract, content, tmp_path)
    assert found.rows == [
        ["1", "2020-01-31", "2020-02-01T09:00:00+09:00", "t", "\\N", "1.5", '["2020-02-01"]'],
    ]
    assert [(line, reason) for line, _, reason, _ in found.rejects] == [
        (2, "days[0]: is null"),
        (
            3,
            "day: '2020-01-31' is not of the format d.M.yyyy; ok: 'true' is none of yes, no; "
            "money: '1.5' is not a number such as 1234,5; days[1]: 'x' is not of the format d.M.yyyy",
        ),
        (4, "not a JSON object but another value"),
    ]


def test_indian_groups_are_refused_and_never_read_as_others(tmp_path: Path) -> None:
    contract = write_contract(tmp_path, contract_text(properties(groupChar=","), "id int; v num"), "csv")
    found = landed(contract, b'id,v\n1,"12,34,567.89"\n2,"1,234,567.89"\n', tmp_path)
    assert (found.rows, len(found.rejects)) == ([["2", "1234567.89"]], 1)


def test_the_database_has_the_values_of_a_european_file(csv_things: Place) -> None:
    text, encoding, options, columns, _ = CORPUS["german"]
    csv_things.contract = write_contract(csv_things.folder, contract_text(options, columns), "csv")
    csv_things.put("a", text.encode(encoding))
    assert csv_things.land().rows_loaded == 3
    rows = csv_things.query(
        'select "Nr", "Betrag"::text, "Datum"::text, "Zeit" = \'2020-01-31 22:59Z\' from toys.things'
    )
    assert sorted(rows) == [
        (1, "1234.50", "2020-01-31", True),
        (2, "-0.5", "2020-02-01", None),
        (3, "12345678.901", None, None),
    ]
