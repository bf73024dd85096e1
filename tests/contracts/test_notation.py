"""Ways of writing numbers, days and times: what fits is read exactly, what contradicts itself is refused."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.contracts import ContractError
from include.contracts.check import check_file
from include.contracts.notation import Notation
from include.contracts.time_format import LETTERS, TimeFormat
from tests.landing.conftest import write_contract
from tests.landing.test_dialect_files import contract_text, fmt, properties


@given(
    number=st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20),
    chars=st.sampled_from([(".", ","), (",", "."), (",", " "), (".", "'"), (",", None), ("\u066b", "\u066c")]),
)
@settings(deadline=None, max_examples=100)
def test_a_number_is_the_same_number_however_it_is_written(number: Decimal, chars: tuple[str, str | None]) -> None:
    decimal, group = chars
    notation = Notation((), decimal, group)
    written = f"{number:,f}" if group else f"{number:f}"
    written = written.replace(",", "G").replace(".", decimal).replace("G", group or "")
    assert notation.number_pattern(is_integer=False).fullmatch(written)
    assert notation.number(written) == f"{number:f}"
    is_whole = decimal not in written
    assert bool(notation.number_pattern(is_integer=True).fullmatch(written)) is is_whole


def test_thousands_have_one_blank_throughout_and_a_fraction_makes_no_whole_day() -> None:
    is_like = Notation((), ",", " ").number_pattern(is_integer=False).fullmatch
    assert is_like("1\u00a0234\u00a0567") and is_like("1 234 567")
    assert not is_like("1 234\u00a0567")
    day = TimeFormat("dd/MM/yyyy HH:mm:ss.SSS", is_date=True)
    assert day.read("31/01/2020 00:00:00.000") == "2020-01-31"
    with pytest.raises(ValueError, match="is a time of the day, not a whole day"):
        day.read("31/01/2020 00:00:00.001")


PATTERNS = {
    "yyyy-MM-dd HH:mm:ss": "%Y-%m-%d %H:%M:%S",
    "dd.MM.uuuu HH:mm:ss": "%d.%m.%Y %H:%M:%S",
    "MM/dd/yy hh:mm:ss a": "%m/%d/%y %I:%M:%S %p",
    "EEE, dd MMM yyyy HH:mm:ss": "%a, %d %b %Y %H:%M:%S",
    "EEEE d MMMM yyyy 'at' HH:mm:ss": "%A %-d %B %Y at %H:%M:%S",
    "yyyyMMddHHmmss": "%Y%m%d%H%M%S",
    "H''mm''ss d/M/yyyy": "%-H'%M'%S %-d/%-m/%Y",
}


@given(time=st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)), pattern=st.sampled_from(sorted(PATTERNS)))
@settings(deadline=None, max_examples=100)
def test_a_time_is_the_same_time_however_it_is_written(time: datetime, pattern: str) -> None:
    time = time.replace(microsecond=0)
    assert TimeFormat(pattern).read(time.strftime(PATTERNS[pattern])) == time.isoformat()


@given(time=st.datetimes(datetime(1900, 1, 1), datetime(2099, 12, 31)))
@settings(deadline=None, max_examples=100)
def test_a_time_without_a_zone_is_that_of_its_zone(time: datetime) -> None:
    zone = ZoneInfo("Europe/Lisbon")
    there = time.astimezone(zone)
    local = there.replace(tzinfo=None)
    pattern = TimeFormat("yyyy-MM-dd'T'HH:mm:ss[.SSSSSS]", "Europe/Lisbon")
    if there.utcoffset() != there.replace(fold=1 - there.fold).utcoffset():
        with pytest.raises(ValueError, match="happens twice in Europe/Lisbon"):
            pattern.read(local.isoformat())
    else:
        assert datetime.fromisoformat(pattern.read(local.isoformat())) == there
        assert TimeFormat(None, "Europe/Lisbon").read(local.isoformat()) == pattern.read(local.isoformat())


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("yyyy-MM-dd HH:mmXXX", "2020-01-31 10:00+05:30", "2020-01-31T10:00:00+05:30"),
        ("yyyy-MM-dd HH:mmX", "2020-01-31 10:00+05", "2020-01-31T10:00:00+05:00"),
        ("yyyy-MM-dd HH:mmX", "2020-01-31 10:00Z", "2020-01-31T10:00:00Z"),
        ("yyyy-MM-dd HH:mm Z", "2020-01-31 10:00 -0330", "2020-01-31T10:00:00-03:30"),
        ("yyyy-MM-dd HH:mm VV", "2020-01-31 10:00 Asia/Tokyo", "2020-01-31T10:00:00+09:00"),
        ("yyyy-MM-dd HH:mm:ss 'UTC'", "2020-01-31 10:00:00 UTC", "2020-01-31T10:00:00"),
        ("yyyy-MM-dd HH:mm:ss.SSSSSSSSS", "2020-01-31 10:00:00.123456000", "2020-01-31T10:00:00.123456000"),
        ("yyyy-MM-dd HH:mm VV", "1880-01-31 10:00 Europe/Amsterdam", "1880-01-31T09:40:28Z"),
        ("yyyy-MM-dd HH:mm VV", "2011-12-30 10:00 Pacific/Apia", "does not exist in Pacific/Apia"),
        ("yyyy-MM-dd HH:mm VV", "2026-10-25 01:59 Europe/Berlin", "2026-10-24T23:59:00Z"),
        ("d/M/yy h a", "1/2/99 12 pm", "2099-02-01T12:00:00"),
        ("yyyy-MM-dd HH:mm", "2020-01-31 10:00 ", "is not of the format"),
        ("yyyy-MM-dd HH:mm", "\u0662\u066020-01-31 10:00", "is not of the format"),
        ("yyyy-MM-dd hh:mm a", "2020-01-31 13:00 PM", "is no time of the calendar"),
        ("yyyy-MM-dd hh:mm a", "2020-01-31 00:00 AM", "is no time of the calendar"),
        ("yyyy-MM-dd HH:mm", "2020-01-31 24:00", "is no time of the calendar"),
        ("EEE yyyy-MM-dd HH", "Mon 2020-01-31 10", "is another day of the week"),
        ("yyyy-MM-dd HH:mm VV", "2020-01-31 10:00 Mars/Base", "has a zone that is not known"),
        ("yyyy-MM-dd HH:mm VV", "2020-01-31 10:00 localtime", "has a zone that is not known"),
        ("yyyy-MM-dd HH:mm VV", "0001-01-01 00:00 Europe/Paris", "is outside of the years 1 to 9999"),
        ("yyyy-MM-dd HH:mm VV", "2020-01-31 10:61 Europe/Paris", "is no time of the calendar"),
    ],
)
def test_a_value_is_read_by_its_format_or_rejected(pattern: str, text: str, expected: str) -> None:
    try:
        found = TimeFormat(pattern).read(text)
    except ValueError as error:
        found = str(error)
    assert found.startswith(expected)


def test_every_letter_of_a_format_is_read() -> None:
    whole = {"year": "", "month": " MM", "day": " dd", "hour": " HH", "minute": " mm", "second": " ss"}
    for letters, (field, _) in LETTERS.items():
        parts = {"year": "yyyy", **whole} if field not in ("year", "short_year") else {**whole, "year": letters}
        parts["year"] = parts["year"] or "yyyy"
        plain = {"month_name": "month", "half_hour": "hour", "half": "hour"}.get(field, field)
        if plain not in ("year", "short_year"):
            parts[plain] = f" {letters}"
        if field == "half_hour":
            parts["half"] = " a"
        if field == "half":
            parts["hour"] = " hh a"
        TimeFormat("".join(parts.values()))


DAY = "id int; v day "
AT = "id int; v at "
FORMATS = [
    (DAY + fmt("DD.MM.YYYY"), "schema: v: 'DD' is none of the letters that are read: d is the day"),
    (DAY + fmt("dd.MM"), "schema: v: format: it has no yyyy, so a value is no day"),
    (DAY + fmt("[dd.]MM.yyyy"), "schema: v: format: it has no dd"),
    (DAY + fmt("yyyyMd"), "schema: v: 'yyyyMd' does not say where yyyy ends and M begins"),
    (DAY + fmt("dd.MM.yyyy z"), "'z' is none of the letters that are read: XXX and VV are zones"),
    (DAY + fmt("dd.MM.yyyy XXX"), "format: a day has no zone"),
    (DAY + fmt("dd.MM.yyyy yy"), "format: it names the year in two ways"),
    (DAY + fmt("dd.dd.MM.yyyy"), "names the day twice"),
    (DAY + fmt("dd.MM.yyyy ["), "does not close an optional part"),
    (DAY + fmt("dd.MM.yyyy ]"), "closes an optional part that was not opened"),
    (DAY + fmt("dd.MM.yyyy #"), "holds '#', which is no text"),
    (DAY + "logicalTypeOptions: {format: 5}", "schema: v: format: 5 is no text"),
    (AT + fmt("dd.MM.yyyy"), "format: it has no HH, so a value is a day"),
    (AT + fmt("dd.MM.yyyy hh:mm"), "format: h counts to 12 and a says AM or PM"),
    (AT + fmt("dd.MM.yyyy HH:mm a"), "format: h counts to 12"),
    (AT + fmt("dd.MM.yyyy HH:ss"), "format: it has a smaller part of the day without the larger one"),
    (AT + fmt("dd.MM.yyyy HH:mm", "Europe/Nowhere"), "'Europe/Nowhere' is no time zone"),
    (AT + fmt("dd.MM.yyyy HH:mmXXX", "Europe/Paris"), "every value of the format .* has a zone of its own"),
    (AT + "logicalTypeOptions: {defaultTimezone: localtime}", "'localtime' is no time zone"),
    (AT + "logicalTypeOptions: {defaultTimezone: ../x}", r"'\.\./x' is no time zone"),
    ("id int; v flag " + properties(decimalChar=","), "schema: v: decimalChar: is carried out for number, and this"),
    (
        "id int; v int " + properties(decimalChar=","),
        "decimalChar: is carried out for number, and this is of the type in",
    ),
    ("id int; v num " + properties(trueValues=["x"]), "schema: v: trueValues: is carried out for boolean"),
    ("id int; v list " + properties(missingValues=["x"]), "missingValues: is carried out for string"),
    ("id int; v num " + properties(decimalChar=";;"), "schema: v: decimalChar: ';;' can't be one"),
    ("id int; v num " + properties(decimalChar="5"), "decimalChar: '5' can't be one"),
    ("id int; v num " + properties(groupChar="."), r"groupChar: '\.' is the decimalChar too"),
    ("id int; v num " + properties(groupChar=5), "groupChar: 5 is no text: write it in quotes"),
    ("id int; v flag " + properties(trueValues=["false"]), "trueValues: 'false' is one of the falseValues too"),
    ("id int; v flag " + properties(trueValues=[""]), "trueValues: give at least one word"),
    ("id int; v flag " + properties(trueValues=[]), "trueValues: give at least one word"),
    ("id int; v flag " + properties(trueValues=[True]), "trueValues: True is no text: write it in quotes"),
    ("id int; v text " + properties(missingValues="NA"), "missingValues: 'NA' is no list"),
]
DIALECTS: list[tuple[str, dict[str, Any], str]] = [
    (",", {"quoteChar": ","}, "servers: quoteChar: ',' stands in the delimiter ',' too"),
    ("a'b", {"quoteChar": "'"}, 'quoteChar: "\'" stands in the delimiter'),
    (",", {"escapeChar": "ab"}, "servers: escapeChar: 'ab' can't be one: give one character"),
    (",", {"escapeChar": "n"}, "escapeChar: 'n' can't be one"),
    (",", {"escapeChar": '"'}, "quoteChar: '\"' stands in the escapeChar '\"' too"),
    (",", {"escapeChar": "\\", "commentChar": "\\"}, "escapeChar: .* stands in the commentChar"),
    (",", {"commentChar": ",,"}, "commentChar: ',,' begins with the delimiter"),
    (",", {"commentChar": ""}, "commentChar: '' can't be one"),
    (",", {"quoteChar": "none", "doubleQuote": True}, "doubleQuote: there is no quoteChar"),
    (",", {"escapeSequences": True}, "escapeSequences: there is no escapeChar"),
    ("\\t", {"skipInitialSpace": True}, "skipInitialSpace: the delimiter is white space itself"),
    (",", {"trim": True, "missingValues": [" -"]}, "missingValues: ' -' begins or ends with white space"),
    (",", {"header": "no"}, "header: 'no' is neither true nor false"),
    (",", {"skipRows": -1}, "skipRows: -1 is no number from 0 up"),
    (",", {"skipRows": True}, "skipRows: True is no number"),
    (",", {"skipFooterRows": "1"}, "skipFooterRows: '1' is no number"),
    (",", {"lineTerminator": "x"}, "servers: customProperties: 'lineTerminator' is none that is carried out"),
    (",", {"decimalChar": ",", "groupChar": ","}, "groupChar: ',' is the decimalChar too"),
    (",", {"groupChar": "\u00a0", "decimalChar": " "}, "groupChar: .* is the decimalChar too"),
    (",", {"trueValues": ["x"], "missingValues": ["x"]}, "x' is one of the"),
    ("", {}, "servers: delimiter: '' can't be one: give one character or more"),
    ("a\\nb", {}, "can't be one"),
]


@pytest.mark.parametrize(("columns", "sentence"), FORMATS)
def test_a_property_that_can_not_be_read_is_refused(tmp_path: Path, columns: str, sentence: str) -> None:
    with pytest.raises(ContractError, match=rf"things\.yaml: .*{sentence}"):
        write_contract(tmp_path, contract_text("", columns), "csv")


@pytest.mark.parametrize(("delimiter", "options", "sentence"), DIALECTS)
def test_a_dialect_that_contradicts_itself_is_refused(
    tmp_path: Path, delimiter: str, options: dict[str, Any], sentence: str
) -> None:
    text = contract_text(f'delimiter: "{delimiter}", {properties(**options)}', "id int; v text")
    with pytest.raises(ContractError, match=rf"things\.yaml: .*{sentence}"):
        write_contract(tmp_path, text, "csv")


@pytest.mark.parametrize(
    ("options", "columns", "sentence"),
    [
        *(
            (properties(**{name: True}), "id int", f"servers: {name}: is an option of CSV")
            for name in ("trim", "header")
        ),
        (properties(decimalChar=","), "id int", "servers: decimalChar: a number of JSON has none"),
        ("", "id int; v num " + properties(groupChar=","), "schema: v: groupChar: a number of JSON has none"),
    ],
)
def test_options_of_csv_are_refused_where_files_are_json(
    tmp_path: Path, options: str, columns: str, sentence: str
) -> None:
    with pytest.raises(ContractError, match=sentence):
        write_contract(tmp_path, contract_text(options, columns), "json")


def test_a_null_with_an_escape_stands_at_the_server_alone(tmp_path: Path) -> None:
    text = contract_text(properties(escapeChar="\\"), "id int; v text " + properties(missingValues=["\\N"]))
    with pytest.raises(ContractError, match=r"missingValues: .* holds the escapeChar: state it at the server"):
        write_contract(tmp_path, text, "csv")


def test_options_of_a_table_that_nothing_lands_in_are_refused(tmp_path: Path) -> None:
    text = contract_text("", "id int; v text " + properties(missingValues=["NA"])).replace(
        "server: landing", "server: app"
    )
    with pytest.raises(ContractError, match="v: missingValues: nothing lands in this table"):
        write_contract(tmp_path, text, "csv")


def test_a_contract_with_every_option_keeps_to_the_standard(tmp_path: Path) -> None:
    options = properties(
        quoteChar=None,
        escapeChar="\\",
        escapeSequences=True,
        header=False,
        skipRows=1,
        skipFooterRows=1,
        commentChar="#",
        trailingDelimiter=True,
        skipInitialSpace=True,
        trim=True,
        missingValues=["", "\\N"],
        decimalChar=",",
        groupChar=".",
        trueValues=["ja"],
    )
    columns = f"id int; v at {fmt('dd.MM.yyyy HH:mm', 'Europe/Berlin')}"
    contract = write_contract(tmp_path, contract_text(f'delimiter: "||", {options}', columns), "csv")
    assert (contract.dialect.quote_char, contract.dialect.escape_char) == (None, "\\")
    problems = check_file(contract.file)
    assert [problem for problem in problems if "description" not in problem and "schedule" not in problem] == []
