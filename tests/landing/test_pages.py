"""All pages of an answer become one file, whole and with every record as it stands in its page, or none does."""

from __future__ import annotations

import gzip
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.contracts.web import Paging
from include.landing import pages
from include.landing.download import Budget
from include.landing.pages import download_pages
from include.landing.web_server import WebServer
from include.storage import FileError, UnavailableFileError, UnusableFileError
from tests.landing.web import Asked, Reply, Web, serving

RECORDS = [f'{{"id": {number}, "price": 0.10000000000000000000{number}}}' for number in range(25)]


def paging(kind: str, **options: Any) -> Paging:
    names = {"records": ("items",), "next": (), "total": (), "parameter": kind, "first": 1}
    return Paging(kind, **{**names, "size_parameter": "", "size": 0, "max_pages": 100, **options})


def fetch(url: str, how: Paging, target: Path, max_bytes: int = 10**9) -> tuple[str, str]:
    budget = Budget(max_bytes, time.monotonic() + 60, 60.0, print, math.inf)
    told = download_pages(WebServer(url), how, target, budget)
    return target.read_text(), told


def page(records: list[str], **members: Any) -> Reply:
    rest = "".join(f', "{name}": {json.dumps(value)}' for name, value in members.items())
    return Reply(f'{{"items": [{", ".join(records)}]{rest}}}'.encode())


def part(asked: Asked, start: int, size: int = 10) -> Reply:
    return page(RECORDS[start : start + size], total=len(RECORDS))


def whole(records: list[str]) -> str:
    return "[\n" + ",\n".join(records) + "\n]\n"


def by_link(asked: Asked) -> Reply:
    start = int(asked.query.get("from", "0"))
    following = f"?tenant=7&from={start + 10}" if start + 10 < len(RECORDS) else None
    return page(RECORDS[start : start + 10], links={"next": following})


def by_header(asked: Asked) -> Reply:
    start = int(asked.query.get("from", "0"))
    links = f'<http://{asked.headers["host"]}/?from=0>; rel="first"'
    if start + 10 < len(RECORDS):
        links += f', </?from={start + 10}>; rel="next"'
    return Reply(f"[{', '.join(RECORDS[start : start + 10])}]".encode(), headers={"Link": links})


def by_cursor(asked: Asked) -> Reply:
    start = int(asked.query.get("after", "c 0")[2:])
    more = {"meta": {"cursor": f"c {start + 10}"}} if start + 10 < len(RECORDS) else {"meta": {}}
    return page(RECORDS[start : start + 10], **more)


@pytest.mark.parametrize(
    ("answer", "how", "requests"),
    [
        (by_link, paging("next-link", next=("links", "next")), 3),
        (by_header, paging("next-link", records=()), 3),
        (by_cursor, paging("cursor", next=("meta", "cursor"), parameter="after"), 3),
        (lambda asked: part(asked, 10 * int(asked.query["page"]) - 10), paging("page"), 4),
        (lambda asked: part(asked, 10 * int(asked.query["p"])), paging("page", first=0, parameter="p"), 4),
        (lambda asked: part(asked, int(asked.query["offset"])), paging("offset"), 4),
        (
            lambda asked: part(asked, int(asked.query["offset"]), int(asked.query["limit"])),
            paging("offset", size_parameter="limit", size=20, total=("total",)),
            2,
        ),
    ],
)
def test_every_page_is_read_once_and_its_records_keep_their_bytes(
    tmp_path: Path, answer: Callable[[Asked], Reply], how: Paging, requests: int
) -> None:
    with serving(answer) as web:
        written, told = fetch(f"{web.url}/?tenant=7", how, tmp_path / "all")
    assert written == whole(RECORDS)
    assert told == f"25 records on {requests} pages"
    assert len({asked.target for asked in web.asked}) == len(web.asked) == requests
    if how.records:
        assert all(asked.query["tenant"] == "7" for asked in web.asked)


def test_records_keep_their_spelling_whatever_stands_around_them(tmp_path: Path) -> None:
    odd = '{ "n": 123456789012345678901234567890.10,\n "t": "\\u00e9 [] {}, \\"", "t": "twice" }'
    body = f'\ufeff {{"data": {{"x": [1], "items" :[ {odd} , 1e400, "é"\n] }} , "n": {"9" * 5000} }} '
    with serving(lambda asked: Reply(gzip.compress(body.encode()))) as web:
        written, _ = fetch(web.url, paging("next-link", records=("data", "items")), tmp_path / "all")
    assert written == whole([odd, "1e400", '"é"'])


@pytest.mark.parametrize("body", [b'{"items": []}', b'{"items": null}', b'{"items": [ ], "error": null, "errors": []}'])
def test_no_record_is_an_empty_array(tmp_path: Path, body: bytes) -> None:
    with serving(lambda asked: Reply(body)) as web:
        assert fetch(web.url, paging("page"), tmp_path / "all") == ("[]\n", "0 records on 1 pages")


def test_an_empty_page_with_a_next_one_is_not_the_end(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        return by_link(asked) if asked.query else page([], links={"next": "?from=0"})

    with serving(answer) as web:
        assert fetch(web.url, paging("next-link", next=("links", "next")), tmp_path / "all")[0] == whole(RECORDS)


def second(reply: Reply) -> Callable[[Asked], Reply]:
    """Answer with a page, and then always with something else."""
    return lambda asked: reply if asked.query else page(['{"id": 1}'], next="/?p=2")


LINKED = paging("next-link", next=("next",))


@pytest.mark.parametrize(
    ("answer", "how", "sentence"),
    [
        (second(page([], next="/?p=2")), LINKED, "page 3 was read before, so the pages go round in a circle"),
        (second(page([], next="/")), LINKED, "page 3 was read before"),
        (second(Reply(b'{"error": {"code": 7}}')), LINKED, "page 2 is an error, with status 200"),
        (
            second(Reply(b'{"items": [1], "errors": ["hush"]}')),
            LINKED,
            r"page 2 is an error.*members are items, errors",
        ),
        (
            second(Reply(b'{"message": "slow down"}')),
            LINKED,
            "page 2 has no array of records: 'items' is none .*message",
        ),
        (second(Reply(b'{"items": {"id": 1}}')), LINKED, "page 2 has no array of records"),
        (second(Reply(b'{"items": [1], "items": [2]}')), LINKED, "page 2 names a member twice on the way to 'items'"),
        (second(Reply(b'{"items": [1]')), LINKED, "page 2 is no JSON, or was cut short"),
        (second(Reply(b'{"items": [1]} {}')), LINKED, "page 2 is no JSON, or was cut short"),
        (second(Reply(b"<html>Log in</html>")), LINKED, "page 2 is an HTML page"),
        (second(Reply(b"\x1f\x8bno")), LINKED, "page 2 is sent as a damaged gzip"),
        (second(Reply(status=404)), LINKED, "page 2 answered 404: check the URL"),
        (
            second(page([], next="http://127.0.0.2/")),
            LINKED,
            r"page 2 names a next page on another server, 127\.0\.0\.2",
        ),
        (second(page([], next="file:///etc/passwd")), LINKED, "page 2 leads to an address that is neither http"),
        (second(page([], next={"href": "/"})), LINKED, "page 2 has no text at 'next'"),
        (second(page([], next="http://[::1/")), LINKED, "page 2 names a next page that is no URL"),
        (lambda asked: page(['{"id": 1}']), paging("page"), "page 2 is the same .* may know no 'page'"),
        (lambda asked: page(['{"id": 1}']), paging("offset"), "page 2 is the same .* may know no 'offset'"),
        (lambda asked: page(["1"], c="x"), paging("cursor", next=("c",)), "page 3 was read before"),
        (
            lambda asked: page([asked.query["page"]]),
            paging("page", max_pages=3),
            "page 4 is more than the 3 pages that are taken: raise maxPages",
        ),
        (
            lambda asked: page(["1"] if asked.query["page"] == "1" else [], total=2),
            paging("page", total=("total",)),
            "has 1 records on its pages, and says that there are 2",
        ),
        (lambda asked: page(["1"], total=2), paging("next-link", total=("total",)), "has 1 records .* there are 2"),
        (
            lambda asked: page(["1"], total="2"),
            paging("page", total=("total",)),
            "page 1 has no whole number at 'total'",
        ),
        (lambda asked: Reply(b"[1, 2]"), paging("page"), "page 1 has no array of records: 'items' is none"),
        (lambda asked: page(["1"]), paging("page", records=()), "page 1 has no array of records: its whole is none"),
    ],
)
def test_what_may_be_a_part_of_the_records_is_refused(
    tmp_path: Path, answer: Callable[[Asked], Reply], how: Paging, sentence: str
) -> None:
    with serving(answer) as web, pytest.raises(FileError, match=f"^{sentence}") as caught:
        fetch(web.url, how, tmp_path / "all")
    assert isinstance(caught.value, UnusableFileError | UnavailableFileError)
    assert "hush" not in str(caught.value)


def test_a_rate_limit_in_the_middle_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    limited = iter([Reply(status=429, headers={"Retry-After": "7"}), Reply(status=403, headers={"Retry-After": "9"})])

    def answer(asked: Asked) -> Reply:
        return (next(limited, None) if asked.query else None) or by_link(asked)

    with serving(answer) as web:
        assert fetch(web.url, paging("next-link", next=("links", "next")), tmp_path / "all")[0] == whole(RECORDS)
    assert waited == [7.0, 9.0]


def test_the_limit_of_bytes_is_that_of_all_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(by_link) as web:
        with pytest.raises(UnusableFileError, match="page 2 is larger than 1000 bytes: raise maxBytes"):
            fetch(web.url, paging("next-link", next=("links", "next")), tmp_path / "all", max_bytes=1000)
        monkeypatch.setattr(pages, "MAX_PAGE_BYTES", 100)
        with pytest.raises(UnusableFileError, match="page 1 is larger than 0 MiB: ask for smaller ones, with pageSize"):
            fetch(web.url, paging("next-link", next=("links", "next")), tmp_path / "all")


def test_a_page_that_breaks_off_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    broken: list[Web] = []

    def answer(asked: Asked) -> Reply:
        reply = by_link(asked)
        if asked.query and not broken:
            broken.append(web)
            return Reply(reply.body[:50], headers={"Content-Length": str(len(reply.body)), "Connection": "close"})
        return reply

    with serving(answer) as web:
        assert fetch(web.url, paging("next-link", next=("links", "next")), tmp_path / "all")[0] == whole(RECORDS)
    assert len(web.asked) == 4
