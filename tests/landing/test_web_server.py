"""A secret reaches its own server and nobody else: no other server, no log, no message, no table."""

from __future__ import annotations

import base64
import dataclasses
import logging
import math
import time
from pathlib import Path

import psycopg
import pytest

from include import settings
from include.contracts.web import Token
from include.landing import fetch
from include.landing.download import Answer, Budget, download
from include.landing.web_server import WebServer, with_parameter, without_parameter
from include.storage import FileError, UnavailableFileError, UnusableFileError
from tests.landing.conftest import SHOP
from tests.landing.web import Asked, Reply, serving

SECRET = "hush&sch=t+%2F"  # every sign of it needs care in a query
PAGES = SHOP["web.pages"]


def get(server: WebServer, folder: Path, seconds: float = 60) -> bytes:
    with server.client() as client, (folder / "got").open("w+b") as out:
        budget = Budget(10**6, time.monotonic() + seconds, seconds, print, math.inf)
        download(server, client, server.url, Answer(), out, budget)
        out.seek(0)
        return out.read()


def holds(asked: Asked, token: Token) -> bool:
    """Return whether a request holds the secret where the token says, and has the rest of its query as it was."""
    if token.parameter:
        return asked.query == {"a": "1 2", token.parameter: SECRET} and asked.target.startswith("/in?a=1%202&")
    wanted = SECRET if token.header else f"Bearer {SECRET}"
    return asked.headers.get((token.header or "Authorization").lower()) == wanted


@pytest.mark.parametrize(
    "token",
    [Token("T"), Token("T", header="X-Api-Key"), Token("T", parameter="api key")],
    ids=["bearer", "header", "query"],
)
@pytest.mark.parametrize("kept_query", [False, True])
def test_secret_is_sent_to_its_server_and_after_a_redirect_to_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, token: Token, kept_query: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(lambda asked: Reply(b"rows")) as elsewhere:

        def answer(asked: Asked) -> Reply:
            query = asked.target.partition("?")[2]
            if asked.path == "/":  # first within the server, then to another one, perhaps with all of the query
                return Reply(status=302, headers={"Location": f"/in?{query}" if kept_query else "/in?a=1%202"})
            return Reply(status=301, headers={"Location": f"{elsewhere.url}/out?{query if kept_query else ''}"})

        with serving(answer) as home:
            server = WebServer(f"{home.url}/?a=1%202", token, SECRET)
            assert get(server, tmp_path) == b"rows"
    assert [asked.path for asked in home.asked] == ["/", "/in"]
    assert holds(home.asked[1], token)
    (out,) = elsewhere.asked
    assert "hush" not in out.target + str(out.headers) and out.query == ({"a": "1 2"} if kept_query else {})
    assert "hush" not in caplog.text and "/in" not in caplog.text


def test_user_of_a_url_is_sent_and_shares_no_header_with_a_token(tmp_path: Path) -> None:
    with serving(lambda asked: Reply(b"rows")) as home:
        url = home.url.replace("http://", "http://me:h%40sh@")
        server = WebServer(url)
        assert get(server, tmp_path) == b"rows" and "sh" not in server.url
        with pytest.raises(UnusableFileError, match="has a user of its own, and the setting T would be sent"):
            WebServer(url, Token("T"), SECRET)
        get(WebServer(url, Token("T", header="X-Key"), SECRET), tmp_path)
    assert {asked.headers["authorization"] for asked in home.asked} == {
        f"Basic {base64.b64encode(b'me:h@sh').decode()}"
    }


def test_other_port_and_scheme_are_another_server_and_https_instead_of_http_is_not() -> None:
    import httpx

    def is_home(home: str, url: str) -> bool:
        return WebServer(home).is_home(httpx.URL(url))

    assert is_home("http://a.example/x", "http://A.example:80/y")
    assert is_home("http://a.example/x", "https://a.example/y")
    assert not is_home("http://a.example/x", "http://b.a.example/x")
    assert not is_home("http://a.example/x", "http://a.example:81/x")
    assert not is_home("http://a.example:81/x", "https://a.example/x")
    assert not is_home("https://a.example/x", "http://a.example/x")


def test_parameter_is_set_once_and_the_rest_of_a_query_stays_as_it_is() -> None:
    assert with_parameter("http://h/?a=%7e&b=1+2#c", "p", "x y") == "http://h/?a=%7e&b=1+2&p=x%20y#c"
    assert with_parameter("http://h/?%70=1&a=&p=2", "p", "3") == "http://h/?a=&p=3"
    assert with_parameter("http://h/", "p", "3") == with_parameter("http://h/?", "p", "3") == "http://h/?p=3"
    assert without_parameter("http://h/?p=1&p=2", "p", "2") == "http://h/?p=1"
    assert without_parameter("http://h/?p=1", "p") == "http://h/"


@pytest.mark.parametrize("secret", ["two\nlines", "naïve"])
def test_secret_that_no_header_takes_is_told_and_not_shown(secret: str) -> None:
    with pytest.raises(UnusableFileError, match="the setting T holds signs that no header takes") as caught:
        WebServer("http://h/", Token("T"), secret)
    assert secret not in str(caught.value)


@pytest.mark.parametrize("is_setting", [True, False])
def test_requests_go_through_the_proxy_and_not_to_those_that_need_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_setting: bool
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "no_proxy", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    caplog.set_level(logging.DEBUG)
    with serving(lambda asked: Reply(b"by proxy")) as proxy, serving(lambda asked: Reply(b"direct")) as home:
        address = proxy.url.replace("http://", "http://me:hush@")
        if is_setting:
            monkeypatch.setattr(settings, "LANDING_PROXY", address)
        else:
            monkeypatch.setenv("HTTP_PROXY", address)
        server = WebServer(f"{home.url}/rows", Token("T"), SECRET)
        assert get(server, tmp_path) == b"by proxy"
        monkeypatch.setenv("NO_PROXY", "example.com, 127.0.0.1")
        assert get(server, tmp_path) == b"direct"
    (asked,) = proxy.asked
    assert asked.target == f"{home.url}/rows" and asked.headers["proxy-authorization"].startswith("Basic ")
    assert "hush" not in caplog.text


@pytest.mark.parametrize(
    ("proxy", "sentence"),
    [
        ("ftp://me:hush@127.0.0.1", "holds no proxy such as"),
        ("http://me:hush@127.0.0.1:9", "can't be reached .*5 times"),
    ],
)
def test_proxy_that_is_none_is_told_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str, sentence: str
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(settings, "LANDING_PROXY", proxy)
    with pytest.raises(FileError, match=sentence) as caught:
        get(WebServer("http://example.com/"), tmp_path)
    assert "hush" not in str(caught.value)


def test_server_that_does_not_answer_is_given_up_in_the_time_of_the_contract(tmp_path: Path) -> None:
    def answer(_: Asked) -> Reply:
        time.sleep(1.5)
        return Reply(b"late")

    with serving(answer) as home:
        began = time.monotonic()
        with pytest.raises(UnavailableFileError, match="took longer than 0 s: raise maxSeconds"):
            get(WebServer(home.url), tmp_path, seconds=0.3)
        assert time.monotonic() - began < 1.2


def test_secret_of_a_contract_is_found_sent_and_kept_nowhere(
    tmp_path: Path, source_uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    secrets = {f"Bearer {word}": f'"{word}"' for word in ("hush", "whisper")}

    def answer(asked: Asked) -> Reply:
        etag = secrets.get(asked.headers.get("authorization", ""))
        if etag is None:
            return Reply(status=401)
        same = asked.headers.get("if-none-match") == etag
        headers = {"ETag": etag, "Content-Type": "text/csv; charset=ISO-8859-1"}
        return Reply(b"" if same else b"id,label\n", 304 if same else 200, headers)

    def status(token: Token) -> str:
        contract = dataclasses.replace(PAGES, token=token)
        return fetch(contract, source_uri=source_uri, root=str(tmp_path), url=home.url, report=told.append).status

    with serving(answer) as home:
        with pytest.raises(FileError, match=r"can't be asked: the setting WEB_TOKEN is empty") as unset:
            status(Token("WEB_TOKEN"))
        monkeypatch.setenv("WEB_TOKEN", " hush\n")
        assert [status(Token("WEB_TOKEN")) for _ in range(2)] == ["fetched", "unchanged"]
        assert told == [
            "web.pages: the server says that it sends iso-8859-1; it is read as UTF-8, as the contract says"
        ]
        monkeypatch.setenv("WEB_TOKEN", "whisper")  # may see other rows
        assert status(Token("WEB_TOKEN")) == "fetched"
        monkeypatch.setenv("WEB_TOKEN", "loud")
        with pytest.raises(FileError, match=r"answered 401: check the URL .*, and the setting WEB_TOKEN") as refused:
            status(Token("WEB_TOKEN"))
        with pytest.raises(FileError, match="no connection 'shop': set AIRFLOW_CONN_SHOP"):
            status(Token(connection="shop"))
        for uri in ('{"conn_type": "http", "password": "hush"}', "http://:hush@shop.example"):
            monkeypatch.setenv("AIRFLOW_CONN_SHOP", uri)
            assert status(Token(connection="shop")) in ("fetched", "unchanged")
        monkeypatch.setenv("AIRFLOW_CONN_SHOP", '{"password": "hush"')
        with pytest.raises(FileError, match="AIRFLOW_CONN_SHOP is neither a URI nor JSON") as broken:
            status(Token(connection="shop"))
    with psycopg.connect(source_uri) as connection:
        kept = connection.execute("select url, etag from landing.fetches").fetchall()
    assert len(kept) == 3
    shown = f"{unset.value} {refused.value} {broken.value} {told} {caplog.text} {[url for url, _ in kept]}"
    assert not any(word in shown for word in ("hush", "whisper", "loud"))
