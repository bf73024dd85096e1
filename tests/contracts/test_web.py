"""What a contract says of a URL's secret and pages is carried out or refused where the contract is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from include.contracts import Contract, ContractError
from include.contracts.web import Paging, Token
from tests.landing.conftest import THINGS, write_contract

SERVER = 'delimiter: ","'


def contract(folder: Path, format_: str = "json", encoding: str = "UTF-8", **options: Any) -> Contract:
    written = json.dumps([{"property": name, "value": value} for name, value in options.items()])
    text = THINGS.replace(SERVER, f"encoding: {encoding}, customProperties: {written}")
    return write_contract(folder, text, format_)


URL = {"urlSetting": "THINGS_URL"}


def test_secret_and_pages_are_read(tmp_path: Path) -> None:
    plain = contract(tmp_path, **URL)
    assert (plain.token, plain.paging) == (None, None)
    bearer = contract(tmp_path, **URL, tokenConnection="shop")
    assert bearer.token == Token(connection="shop")
    full = contract(
        tmp_path,
        **URL,
        tokenSetting="THINGS_TOKEN",
        tokenParameter="key",
        paging="cursor",
        pageParameter="after",
        recordsPath="data.items",
        nextPath=["@odata.nextLink"],
        totalPath="data.total",
        maxPages=7,
        pageSize=100,
        sizeParameter="limit",
    )
    assert full.token == Token(setting="THINGS_TOKEN", parameter="key")
    assert full.paging == Paging(
        *("cursor", ("data", "items"), ("@odata.nextLink",), ("data", "total"), "after", 1, "limit", 100, 7)
    )
    paged = contract(tmp_path, **URL, paging="page", firstPage=0).paging
    assert paged and (paged.parameter, paged.first, paged.max_pages) == ("page", 0, 10_000)


TOKEN = {**URL, "tokenSetting": "T"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"tokenSetting": "T"}, "tokenSetting: needs a urlSetting"),
        ({"paging": "page"}, "paging: needs a urlSetting"),
        ({**TOKEN, "tokenConnection": "c"}, "tokenSetting, tokenConnection: a secret is kept in one place"),
        ({**URL, "tokenHeader": "X-Key"}, "tokenHeader: name the secret too"),
        ({**TOKEN, "tokenHeader": "X", "tokenParameter": "k"}, "tokenHeader, tokenParameter: a secret is sent in one"),
        ({**TOKEN, "tokenHeader": "X:Y"}, "tokenHeader: 'X:Y' is no header that can hold"),
        ({**TOKEN, "tokenHeader": "Range"}, "tokenHeader: 'Range' is no header that can hold"),
        ({**URL, "tokenSetting": 7}, "tokenSetting: 7 is no name"),
        ({**TOKEN, "tokenParameter": ""}, "tokenParameter: '' is no name"),
        ({**URL, "paging": "pages"}, "paging: 'pages' is none: there are next-link, page, offset, cursor"),
        ({**URL, "paging": ["page"]}, "paging: .* is none"),
        ({**URL, "recordsPath": "items"}, "recordsPath: needs paging"),
        ({**URL, "paging": "page", "nextPath": "next"}, "nextPath: is no option of paging by page: there are paging"),
        ({**URL, "paging": "offset", "firstPage": 1}, "firstPage: is no option of paging by offset"),
        ({**URL, "paging": "next-link", "pageSize": 1}, "pageSize: is no option of paging by next-link"),
        ({**URL, "paging": "cursor"}, "nextPath: is needed"),
        ({**URL, "paging": "page", "recordsPath": "a..b"}, "recordsPath: 'a..b' is no path"),
        ({**URL, "paging": "page", "recordsPath": []}, r"recordsPath: \[\] is no path"),
        ({**URL, "paging": "page", "totalPath": "n"}, "totalPath: a page that says it is an object"),
        ({**URL, "paging": "page", "pageParameter": 1}, "pageParameter: 1 is no name of a parameter"),
        ({**URL, "paging": "page", "firstPage": -1}, "firstPage: -1 is no whole number from 0 up"),
        ({**URL, "paging": "page", "maxPages": 0}, "maxPages: 0 is no whole number from 1 up"),
        ({**URL, "paging": "page", "maxPages": True}, "maxPages: True is no whole number"),
        ({**URL, "paging": "page", "pageSize": 10}, "pageSize, sizeParameter: .*: give both"),
        ({**URL, "paging": "page", "format_": "csv"}, "paging: is for JSON in UTF-8"),
        ({**URL, "paging": "page", "encoding": "UTF-16"}, "paging: is for JSON in UTF-8"),
    ],
)
def test_what_would_not_be_carried_out_is_refused(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ContractError, match=rf"things\.yaml: servers: {sentence}"):
        contract(tmp_path, **options)
