"""A dataset behind a URL: fetched once while it is unchanged, resumed when it breaks off, never beyond its limits."""

from __future__ import annotations

import dataclasses
import re
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest

from include.contracts import Contract
from include.contracts.web import Paging
from include.landing import fetch, land, pending_files
from include.storage import FileError
from tests.landing.conftest import SHOP, write_pages

PAGES = SHOP["web.pages"]


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class Flaky(BaseHTTPRequestHandler):
    """A server that breaks off, asks for patience, or redirects, as the test says."""

    content: ClassVar[bytes] = b""
    etag: ClassVar[str] = '"one"'
    breaks: ClassVar[list[int]] = []  # after so many bytes of each answer
    shift: ClassVar[int] = 0  # by so many bytes another part than was asked for
    errors: ClassVar[list[int]] = []  # statuses answered first
    headers_of_errors: ClassVar[dict[str, str]] = {}
    encoding: ClassVar[str] = ""
    requests: ClassVar[list[dict[str, str]]] = []

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        cls = type(self)
        cls.requests.append({name.lower(): value for name, value in self.headers.items()})
        if cls.errors:
            self.send_response(cls.errors.pop(0))
            for header in cls.headers_of_errors.items():
                self.send_header(*header)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.headers.get("If-None-Match") == cls.etag:
            self.send_response(304)
            self.end_headers()
            return
        start = 0
        asked = re.fullmatch(r"bytes=([0-9]+)-", self.headers.get("Range", ""))
        if asked and self.headers.get("If-Range") == cls.etag:
            start = int(asked[1]) + cls.shift
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(cls.content) - 1}/{len(cls.content)}")
        else:
            self.send_response(200)
        self.send_header("ETag", cls.etag)
        if cls.encoding:
            self.send_header("Content-Encoding", cls.encoding)
        self.send_header("Content-Length", str(len(cls.content) - start))
        self.end_headers()
        end = start + cls.breaks.pop(0) if cls.breaks else len(cls.content)
        with suppress(OSError):  # a client that was told to stop goes away
            self.wfile.write(cls.content[start:end])
            self.wfile.flush()
        self.close_connection = True


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, type[Flaky]]]:
    handler = type("Handler", (Flaky,), {"breaks": [], "errors": [], "requests": [], "content": b"x" * 3_000_000})
    monkeypatch.setattr("time.sleep", lambda _: None)
    with running(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as url:
        yield url, handler


def get(url: str, uri: str, folder: Path, contract: Contract = PAGES) -> tuple[str, bytes]:
    result = fetch(contract, source_uri=uri, root=str(folder), url=url)
    return result.status, (folder / result.path).read_bytes() if result.path else b""


def test_a_file_behind_a_url_is_fetched_once_and_landed(tmp_path: Path, source_uri: str) -> None:
    rows = write_pages(tmp_path / "web/pages.csv")
    root = str(tmp_path / "in")
    serve = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "web"))
    with running(ThreadingHTTPServer(("127.0.0.1", 0), serve)) as url:
        first = fetch(PAGES, source_uri=source_uri, root=root, url=f"{url}/pages.csv")
        result = land(
            PAGES, pending_files(PAGES, root), source_uri=source_uri, root=root, archive=str(tmp_path / "archive")
        )
        again = fetch(PAGES, source_uri=source_uri, root=root, url=f"{url}/pages.csv")
    assert (first.status, again.status) == ("fetched", "unchanged")
    assert (result.rows_read, result.rows_loaded, result.rows_rejected) == (rows, rows - 3, 3)
    with psycopg.connect(source_uri) as connection:
        week = connection.execute("select min(week)::text from web.pages").fetchone()
    assert week == ("2021-08-01",)


def test_an_unchanged_source_costs_one_request(tmp_path: Path, source_uri: str, flaky: tuple[str, type[Flaky]]) -> None:
    url, handler = flaky
    assert get(url, source_uri, tmp_path) == ("fetched", handler.content)
    handler.requests.clear()
    assert get(url, source_uri, tmp_path)[0] == "unchanged"
    assert len(handler.requests) == 1
    handler.etag, handler.content = '"two"', b"new"
    assert get(url, source_uri, tmp_path) == ("fetched", b"new")


def test_a_download_that_breaks_off_is_resumed(tmp_path: Path, source_uri: str, flaky: tuple[str, type[Flaky]]) -> None:
    url, handler = flaky
    handler.content = bytes(range(256)) * 12_000
    handler.breaks = [1_000_000, 1_000_000]
    assert get(url, source_uri, tmp_path) == ("fetched", handler.content)
    assert [request.get("range") for request in handler.requests] == [None, "bytes=1000000-", "bytes=2000000-"]


def test_another_part_than_was_asked_for_is_not_taken(
    tmp_path: Path, source_uri: str, flaky: tuple[str, type[Flaky]]
) -> None:
    url, handler = flaky
    handler.content, handler.breaks, handler.shift = bytes(range(256)) * 12_000, [1_000_000], -5
    assert get(url, source_uri, tmp_path) == ("fetched", handler.content)
    assert [request.get("range") for request in handler.requests] == [None, "bytes=1000000-", None]


def test_a_weak_etag_asks_for_no_rest_of_a_file(
    tmp_path: Path, source_uri: str, flaky: tuple[str, type[Flaky]]
) -> None:
    url, handler = flaky
    handler.etag, handler.breaks = 'W/"one"', [1_000_000]  # the bytes may differ under it (RFC 9110, 13.1.5)
    assert get(url, source_uri, tmp_path) == ("fetched", handler.content)
    assert [request.get("range") for request in handler.requests] == [None, None]


def test_a_download_whose_source_changes_meanwhile_begins_anew(
    tmp_path: Path, source_uri: str, flaky: tuple[str, type[Flaky]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = flaky
    handler.breaks = [1000]

    def change(_: float) -> None:
        handler.etag, handler.content = '"two"', b"y" * 5000

    monkeypatch.setattr("time.sleep", change)
    assert get(url, source_uri, tmp_path) == ("fetched", b"y" * 5000)


def test_a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not(
    tmp_path: Path, source_uri: str, flaky: tuple[str, type[Flaky]]
) -> None:
    url, handler = flaky
    handler.errors = [503, 429]
    assert get(url, source_uri, tmp_path)[0] == "fetched"
    handler.errors, handler.requests[:] = [404], []
    with pytest.raises(FileError, match="answered 404: check the URL"):
        get(url + "/x", source_uri, tmp_path)
    assert len(handler.requests) == 1


@pytest.mark.parametrize("form", ["60", "date"])
def test_a_server_is_asked_again_when_it_says(
    tmp_path: Path, source_uri: str, flaky: tuple[str, type[Flaky]], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = flaky
    handler.errors = [429]
    handler.headers_of_errors = {"Retry-After": formatdate(time.time() + 60, usegmt=True) if form == "date" else form}
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    assert fetch(PAGES, source_uri=source_uri, root=str(tmp_path), url=url).status == "fetched"
    (seconds,) = waited
    assert 30 < seconds <= 60


def test_a_server_that_asks_to_come_back_too_late_is_told(
    tmp_path: Path, source_uri: str, flaky: tuple[str, type[Flaky]]
) -> None:
    url, handler = flaky
    handler.errors = [503]
    handler.headers_of_errors = {"Retry-After": "86400"}
    with pytest.raises(FileError, match="answered 503 and asks to wait 86400 s, longer than maxSeconds allows"):
        fetch(PAGES, source_uri=source_uri, root=str(tmp_path), url=url)
    assert len(handler.requests) == 1


def test_what_is_sent_deflated_is_unpacked_and_another_packing_is_refused(
    tmp_path: Path, source_uri: str, flaky: tuple[str, type[Flaky]]
) -> None:
    url, handler = flaky
    handler.encoding = "deflate"
    handler.content = zlib.compress(b"id,label\n" * 100_000)
    handler.breaks = [200]
    result = fetch(PAGES, source_uri=source_uri, root=str(tmp_path), url=url)
    assert (tmp_path / result.path).read_bytes() == b"id,label\n" * 100_000
    handler.encoding, handler.etag = "br", '"two"'
    with pytest.raises(FileError, match="is sent packed as 'br', which was not asked for"):
        fetch(PAGES, source_uri=source_uri, root=str(tmp_path), url=url)


def test_the_page_of_a_login_is_no_data_and_is_not_remembered(
    tmp_path: Path, source_uri: str, flaky: tuple[str, type[Flaky]]
) -> None:
    url, handler = flaky
    handler.content = b"<!DOCTYPE html><html>Please log in</html>"
    for _ in range(2):
        with pytest.raises(FileError, match="is an HTML page, neither JSON nor CSV: see what it says"):
            fetch(PAGES, source_uri=source_uri, root=str(tmp_path), url=url)
    assert not list(tmp_path.rglob("*.csv"))
    assert "if-none-match" not in handler.requests[-1]


def test_another_query_is_another_source_and_is_shown_nowhere(
    tmp_path: Path, source_uri: str, flaky: tuple[str, type[Flaky]]
) -> None:
    url, _ = flaky
    for query, status in (("y=2024&key=hush", "fetched"), ("y=2024&key=hush", "unchanged"), ("y=2023", "fetched")):
        assert fetch(PAGES, source_uri=source_uri, root=str(tmp_path), url=f"{url}/?{query}").status == status
    with psycopg.connect(source_uri) as connection:
        kept = connection.execute("select url from landing.fetches order by fetched_at").fetchall()
    assert [len(address) for (address,) in kept] == [len(f"{url}/?sha256=") + 32] * 2
    assert "hush" not in str(kept)


def test_a_server_that_never_ends_its_answer_fails_after_some_attempts(
    tmp_path: Path, source_uri: str, flaky: tuple[str, type[Flaky]]
) -> None:
    url, handler = flaky
    handler.breaks = [10] * 20
    with pytest.raises(FileError, match="broke off, 5 times"):
        get(url, source_uri, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_limits_of_size_and_time_hold(tmp_path: Path, source_uri: str, flaky: tuple[str, type[Flaky]]) -> None:
    url, _ = flaky
    with pytest.raises(FileError, match="larger than 1000 bytes: raise maxBytes"):
        get(url, source_uri, tmp_path, dataclasses.replace(PAGES, max_bytes=1000))
    with pytest.raises(FileError, match="took longer than 0 s: raise maxSeconds"):
        get(url, source_uri, tmp_path, dataclasses.replace(PAGES, max_seconds=0.0))
    assert list(tmp_path.iterdir()) == []


def test_a_message_shows_neither_password_nor_query(
    tmp_path: Path, source_uri: str, flaky: tuple[str, type[Flaky]]
) -> None:
    url, handler = flaky
    handler.errors = [403]
    with pytest.raises(FileError) as caught:
        get(url.replace("http://", "http://me:hush@") + "/a.csv?token=hush", source_uri, tmp_path)
    assert "hush" not in str(caught.value)
    assert "/a.csv" in str(caught.value)


def test_a_url_that_leads_nowhere_is_one_sentence(tmp_path: Path, source_uri: str) -> None:
    class Circle(Flaky):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "/again")
            self.end_headers()

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Circle)) as url:
        for address in (url, "http://example.com:port/a.csv", "http://[::1/a.csv", "ftp://example.com/a.csv"):
            with pytest.raises(FileError, match=r"^web\.pages: .* check the URL"):
                get(address, source_uri, tmp_path / "in")


def test_a_file_url_is_fetched_when_it_changes(tmp_path: Path, source_uri: str) -> None:
    file, root = tmp_path / "a file.csv", tmp_path / "in"
    file.write_bytes(b"one")
    assert get(file.as_uri(), source_uri, root) == ("fetched", b"one")
    assert get(file.as_uri(), source_uri, root)[0] == "unchanged"
    file.write_bytes(b"three")
    assert get(file.as_uri(), source_uri, root) == ("fetched", b"three")
    paged = dataclasses.replace(PAGES, paging=Paging("page", (), (), (), "page", 1, "", 0, 9))
    with pytest.raises(FileError, match="is a file, and its contract says that a server answers in pages"):
        get(file.as_uri(), source_uri, root, paged)


def test_no_url_is_no_error(tmp_path: Path, source_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAGES_URL", raising=False)
    assert fetch(PAGES, source_uri=source_uri, root=str(tmp_path)).status == "unset"


def test_a_download_tells_how_far_it_is(
    tmp_path: Path, source_uri: str, flaky: tuple[str, type[Flaky]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.landing.download._REPORT_SECONDS", 0.0)
    told: list[str] = []
    fetch(PAGES, source_uri=source_uri, root=str(tmp_path), url=flaky[0], report=told.append)
    assert told[0] == "web.pages: 0.0 of 3.0 MB (0 %)"
    assert told[-1] == "web.pages: 3.0 of 3.0 MB (100 %)"
    assert len(told) > 2


@contextmanager
def running_tls(handler: type[BaseHTTPRequestHandler], certificate: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with running(server) as url:
        yield url.replace("http:", "https:")


def test_a_certificate_is_verified(
    tmp_path: Path, source_uri: str, flaky: tuple[str, type[Flaky]], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    with running_tls(flaky[1], certificate) as url:
        with pytest.raises(FileError, match="can't be reached"):
            get(url, source_uri, tmp_path / "in")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert get(url, source_uri, tmp_path / "in") == ("fetched", flaky[1].content)


def test_https_is_not_left_for_http(
    tmp_path: Path, source_uri: str, flaky: tuple[str, type[Flaky]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Redirecting(Flaky):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", flaky[0])
            self.end_headers()

    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with (
        running_tls(Redirecting, certificate) as url,
        pytest.raises(FileError, match="redirects from https to http, which is not followed"),
    ):
        get(url, source_uri, tmp_path / "in")


def make_certificate(folder: Path) -> Path:
    """Write a key and a certificate that it signed itself."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file
