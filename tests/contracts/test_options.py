"""Every option of a contract is carried out, or refused where the contract is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.contracts import ContractError
from include.landing.rows import RowSchema
from tests.landing.conftest import THINGS, write_contract

LABEL = "{name: label, logicalType: string, physicalType: text, description: What it is called.}"


def label(kind: str, type_: str, rest: str) -> tuple[str, str]:
    return LABEL, f"{{name: label, logicalType: {kind}, physicalType: {type_}, description: A value., {rest}}}"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "property: maxBadRows",
            "property: maxBadRow",
            "customProperties: 'maxBadRow' is none .*: there are maxBadRows",
        ),
        (
            *label("string", "text", "customProperties: [{property: personel, value: city}]"),
            "label: .*'personel' is none",
        ),
        (
            *label("string", "text", "customProperties: [{property: arrivesAs, value: text}]"),
            "arrivesAs: 'text' is none",
        ),
        (
            'delimiter: ","',
            'delimiter: ",", customProperties: [{property: quote, value: x}]',
            "servers: customProperties: 'quote' is none that is carried out: there are urlSetting",
        ),
        (
            'delimiter: ","',
            "customProperties: [{property: deliveryOrder, value: size}]",
            "deliveryOrder: 'size' orders nothing: write name, modified, or a regular expression with one group",
        ),
        (
            'delimiter: ","',
            r"customProperties: [{property: deliveryOrder, value: '(\d+)_(\d+)'}]",
            "deliveryOrder: .* orders nothing",
        ),
        ('delimiter: ","', "customProperties: [{property: deliveryOrder, value: '('}]", r"'\(' orders nothing"),
        ('delimiter: ","', "customProperties: [{property: deliveryOrder, value: 1}]", "1 orders nothing"),
        (
            "{property: maxBadRows, value: 3}",
            "{property: withoutKey, value: append}",
            "withoutKey: a property has primaryKey: remove the one or the other",
        ),
        (
            "{property: maxBadRows, value: 3}",
            "{property: withoutKey, value: forget}",
            "withoutKey: 'forget' is neither of replaceFile, append",
        ),
        ('delimiter: ","', "encoding: latin-99", "servers: encoding: 'latin-99' is none of a file that Python knows"),
        ('delimiter: ","', "encoding: base64", "servers: encoding: 'base64' is none"),
        (
            *label("date", "date", "logicalTypeOptions: {maximum: '2026-01-01'}"),
            "label: .* no 'maximum' of a date: there are format",
        ),
        (*label("timestamp", "timestamptz", "logicalTypeOptions: {timezone: true}"), "no 'timezone' of a timestamp"),
        (
            *label("string", "text", "logicalTypeOptions: {maxLenght: 3}"),
            "no 'maxLenght' of a string: there are minLength",
        ),
        (
            *label("string", "text", "logicalTypeOptions: {format: password}"),
            "format: 'password' is none that landing checks",
        ),
        (*label("integer", "integer", "logicalTypeOptions: {format: i32}"), "no 'format' of a integer"),
        (
            *label("array", "jsonb", "items: {logicalType: string, logicalTypeOptions: {maxsize: 1}}"),
            r"label\.item: .* no 'maxsize' of a string",
        ),
        (*label("string", "text", "unique: true"), "label: unique: landing keeps every version"),
        (
            *label("string", "text", "quality: [{type: text, description: x}]"),
            "label: quality: rules stand at the table",
        ),
        (
            "customProperties:\n",
            "slaProperties: [{property: frequenzy, value: 1}]\n    customProperties:\n",
            "slaProperties: there is no 'frequenzy'",
        ),
        (
            "customProperties:\n",
            "slaProperties: [{property: latency, value: 1, schedule: 0 0 * * *}]\n    customProperties:\n",
            "slaProperties: latency: has a schedule",
        ),
        (
            "        properties:\n",
            "        quality: [{type: library, metric: nullValues, mustBe: 0, name: full}]\n        properties:\n",
            "quality: full: has no implementation that can be carried out",
        ),
    ],
)
def test_option_that_is_not_carried_out_is_refused(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    write_contract(tmp_path, THINGS)
    assert old in THINGS
    with pytest.raises(ContractError, match=rf"things\.yaml: {sentence}|things\.yaml: .*{sentence}"):
        write_contract(tmp_path, THINGS.replace(old, new, 1))


def test_multiple_of_a_number_that_arrives_as_text_is_refused(tmp_path: Path) -> None:
    text = THINGS.replace(*label("integer", "integer", "logicalTypeOptions: {multipleOf: 5}"))
    encode = RowSchema(write_contract(tmp_path, text, "json")).encode
    assert isinstance(encode({"id": 1, "label": 10}), str) and not isinstance(encode({"id": 1, "label": 11}), str)
    with pytest.raises(ContractError, match="label: logicalTypeOptions: multipleOf is carried out for numbers of JSON"):
        write_contract(tmp_path, text, "csv")
    as_text = "customProperties: [{property: arrivesAs, value: string}]"
    with pytest.raises(ContractError, match="label: logicalTypeOptions: multipleOf is carried out for numbers of JSON"):
        write_contract(tmp_path, text.replace("{multipleOf: 5}", f"{{multipleOf: 5}}, {as_text}"), "json")


@pytest.mark.parametrize(
    ("format_", "right", "wrong"),
    [
        ("email", "a@example.com", "a@"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
        ("uri", "https://example.com/a", "not a uri"),
        ("hostname", "example.com", "-a-.example"),
        ("ipv4", "10.0.0.1", "10.0.0.256"),
        ("ipv6", "::1", "1::2::3"),
    ],
)
def test_every_format_that_is_taken_is_carried_out(tmp_path: Path, format_: str, right: str, wrong: str) -> None:
    text = THINGS.replace(*label("string", "text", f"logicalTypeOptions: {{format: {format_}}}"))
    encode = RowSchema(write_contract(tmp_path, text)).encode
    assert isinstance(encode({"id": 1, "label": right}), str)
    assert not isinstance(encode({"id": 1, "label": wrong}), str)
