"""docs/from-the-web.md: each example fetches all records from a server that wants what the page says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from include import settings
from include.contracts.options import WEB_OPTIONS
from include.contracts.web import Token
from include.landing import fetch
from tests.docs.pages import read_blocks
from tests.landing.conftest import THINGS, write_contract
from tests.landing.web import Asked, Reply, serving

PAGE = (settings.PROJECT / "docs" / "from-the-web.md").read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(block.text) for block in read_blocks(PAGE) if block.text.startswith("server: landing")]
SERVER = '{server: landing, type: custom, path: "toys/*/things.FORMAT", format: FORMAT, delimiter: ","}'
RECORDS = [{"id": number, "label": "x"} for number in range(25)]


def options(server: dict[str, Any]) -> dict[str, Any]:
    return {each["property"]: each["value"] for each in server["customProperties"]}


def answer(asked: Asked, said: dict[str, Any], token: Token | None) -> Reply:
    """Answer as the server of an example does, whose query has the place of the page's first record in `at`."""
    if token is not None:
        sent = asked.query.get(token.parameter) or asked.headers.get((token.header or "authorization").lower())
        if sent not in ("hush", "Bearer hush") or (sent == "hush") != bool(token.header or token.parameter):
            return Reply(status=401)
    size = int(asked.query.get("limit", "10"))
    start = int(asked.query.get("at") or asked.query.get("after") or asked.query.get("skip") or 0)
    start += 10 * int(asked.query.get("p", "0"))
    if "paging" not in said:
        return Reply(json.dumps(RECORDS).encode())
    records, more = RECORDS[start : start + size], start + size < len(RECORDS)
    if "recordsPath" not in said:
        link = {"Link": f'<{asked.path}?at={start + size}>; rel="next"'} if more else {}
        return Reply(json.dumps(records).encode(), headers=link)
    links = {"next": f"?at={start + size}", "cursor": start + size} if more else {}
    return Reply(json.dumps({"data": {"items": records, "total": len(RECORDS)}, "links": links}).encode())


def test_every_example_fetches_all_records(tmp_path: Path, source_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_TOKEN", "hush")
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_API", '{"conn_type": "http", "password": "hush"}')
    for number, server in enumerate(EXAMPLES):
        said = options(server)
        contract = write_contract(tmp_path, THINGS.replace(SERVER, json.dumps(server)))
        with serving(lambda asked, said=said, token=contract.token: answer(asked, said, token)) as web:
            monkeypatch.setenv("ORDERS_URL", f"{web.url}/{number}")
            result = fetch(contract, source_uri=source_uri, root=str(tmp_path / str(number)))
            again = fetch(contract, source_uri=source_uri, root=str(tmp_path / str(number)))
        assert json.loads((tmp_path / str(number) / result.path).read_text()) == RECORDS, server
        assert again.status == ("unchanged" if "paging" in said else "fetched")
        assert len(web.asked) >= (6 if "paging" in said else 2)


def test_page_shows_every_kind_of_request() -> None:
    assert {options(each).get("paging") for each in EXAMPLES} == {None, "next-link", "page", "offset", "cursor"}
    assert {name for name in WEB_OPTIONS if f"`{name}`" not in PAGE and name not in str(EXAMPLES)} == set()
