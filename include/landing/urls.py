"""Datasets behind a URL: fetched to the landing root as a file, which then is landed like any other.

An unchanged source costs one request (ETag, Last-Modified; size and time of change for file:// URLs). A download that
breaks off is resumed where the server can do that, else it begins again. TLS is always verified.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from include import settings
from include.contracts import Contract
from include.landing import ledger
from include.landing.tables import create_tables
from include.landing.zips import zip_of
from include.postgres import session
from include.readers.kinds import HEAD_BYTES, check_kind
from include.readers.packing import packing_of
from include.storage import FileError, Root, UnavailableFileError, UnusableFileError

ATTEMPTS = 5
TIMEOUT = httpx.Timeout(30.0, connect=15.0)  # seconds without a byte
_REPORT_SECONDS = 5.0
_CHUNK = 1 << 20

_log = logging.getLogger(__name__)


class FetchStatus(StrEnum):
    """What became of a fetch."""

    FETCHED = "fetched"
    UNCHANGED = "unchanged"  # the source has nothing new
    UNSET = "unset"  # the setting holds no URL


@dataclass(frozen=True)
class FetchResult:
    """What a fetch did, with the file that it wrote."""

    dataset: str
    status: FetchStatus
    path: str = ""  # below the landing root
    size: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Version:
    """What a server says about the content that it sends."""

    etag: str = ""
    last_modified: str = ""


@dataclass
class _Budget:
    """How many bytes and seconds a download may take, and where its progress is reported."""

    max_bytes: int
    until: float
    max_seconds: float
    report: Callable[[str], None]
    reported: float = 0.0

    def check(self, done: int, total: int | None) -> None:
        if max(done, total or 0) > self.max_bytes:
            raise UnusableFileError(
                f"is larger than {self.max_bytes} bytes: raise maxBytes in the contract if that is right"
            )
        now = time.monotonic()
        if now > self.until:
            raise UnavailableFileError(
                f"took longer than {self.max_seconds:.0f} s: raise maxSeconds in the contract, or try later"
            )
        if now - self.reported > _REPORT_SECONDS:
            self.reported = now
            share = f" of {total / 1e6:.1f} MB ({100 * done / total:.0f} %)" if total else " MB"
            self.report(f"{done / 1e6:.1f}{share}")


def fetch(
    contract: Contract,
    *,
    source_uri: str,
    root: str = settings.LANDING_ROOT,
    url: str | None = None,
    report: Callable[[str], None] = _log.info,
) -> FetchResult:
    """Fetch a dataset's URL (by default the one in its setting) to the landing root, unless it is unchanged.

    Raises FileError, which names the dataset, the reason and the next step, and shows neither password nor query of
    the URL. ValueError for a contract without a URL is a caller's bug.
    """
    if contract.url_setting is None or contract.path is None:
        raise ValueError(f"{contract.name} has no URL")
    address = url or settings.setting(contract.url_setting, "")
    if not address:
        report(f"{contract.name}: {contract.url_setting} is not set, nothing is fetched")
        return FetchResult(contract.name, FetchStatus.UNSET)
    began = time.monotonic()
    budget = _Budget(
        contract.max_bytes,
        began + contract.max_seconds,
        contract.max_seconds,
        lambda progress: report(f"{contract.name}: {progress}"),
        began,
    )
    with session(source_uri, "source_db") as connection, tempfile.TemporaryDirectory() as folder:
        create_tables(connection, [contract])
        known = ledger.fetched_version(connection, contract.name, _identity(address))
        copy = Path(folder) / "download"
        path = zip_of(contract.path).replace("*", datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ"))
        try:
            version = _download(address, _Version(*known) if known else _Version(), copy, budget)
            if version is None:
                return FetchResult(contract.name, FetchStatus.UNCHANGED, seconds=time.monotonic() - began)
            _check_kind(copy, contract)
            Root(root).write(path, copy)
        except FileError as error:
            raise type(error)(f"{contract.name}: {_shown(address)} {error}") from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise UnavailableFileError(
                f"{contract.name}: {_shown(address)} can't be written to {folder} or the landing root ({reason}):"
                " mend that, then run again"
            ) from None
        # Written last: a run that is killed before this line fetches the same bytes again, and landing finds them
        # already landed.
        ledger.record_fetch(connection, contract.name, _identity(address), version.etag, version.last_modified)
        return FetchResult(contract.name, FetchStatus.FETCHED, path, copy.stat().st_size, time.monotonic() - began)


def _shown(url: str) -> str:
    """Return a URL without its user, password and query, which may be secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "what its setting holds"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _identity(url: str) -> str:
    """Return what a URL is remembered by: as it is shown, with a hash of its query, which may be a secret."""
    query = url.partition("#")[0].partition("?")[2]
    return _shown(url) + (f"?sha256={hashlib.sha256(query.encode()).hexdigest()[:32]}" if query else "")


def _check_kind(copy: Path, contract: Contract) -> None:
    """Raise UnusableFileError for content that holds no rows, such as the page of a login. What is packed may."""
    with copy.open("rb") as content:
        head = content.read(HEAD_BYTES)
    is_zip = zip_of(contract.path or "").lower().endswith(".zip") and head.startswith(b"PK")
    if packing_of(head) is None and not is_zip:
        check_kind(head, contract.encoding, contract.format)


def _download(url: str, known: _Version, target: Path, budget: _Budget) -> _Version | None:
    """Write the URL's content to a file and return its version; None where it is still the known one."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UnusableFileError("is no URL: check the URL") from None
    if parts.scheme == "file":
        return _copy_file(Path(unquote(parts.path)), known, target, budget)
    if parts.scheme not in ("http", "https"):
        raise UnusableFileError(f"is no http, https or file URL but {parts.scheme!r}: check the URL")
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client, target.open("w+b") as out:
        download = _Download(client, url, known, out, budget)
        attempts = Retrying(
            retry=retry_if_exception_type(_PassingError),
            stop=stop_after_attempt(ATTEMPTS),
            wait=lambda state: _seconds_to_wait(state, budget),
            before_sleep=lambda _: budget.check(out.tell(), None),
            reraise=True,
        )
        try:
            return attempts(download.attempt)
        except _PassingError as error:
            raise UnavailableFileError(f"{error}, {ATTEMPTS} times: look at the server, then run again") from None


class _PassingError(Exception):
    """A request failed in a way that may pass; the message says how. The server may have said when to ask again."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


def _seconds_to_wait(state: RetryCallState, budget: _Budget) -> float:
    """Return how long to wait before the next request: as long as the server says, else longer each time."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, _PassingError) else 0.0
    return min(max(asked, 0.2 * 4**state.attempt_number), max(0.0, budget.until - time.monotonic()))


def _retry_after(response: httpx.Response) -> float:
    """Return the seconds of a Retry-After header, which is a number or a date (RFC 9110, 10.2.3); 0 without one."""
    said = response.headers.get("retry-after", "").strip()
    if said.isdigit():
        return float(said)
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


@dataclass
class _Download:
    """A download over several requests: each goes on where the one before it broke off."""

    client: httpx.Client
    url: str
    known: _Version  # of the content that was fetched before
    out: IO[bytes]
    budget: _Budget
    got: _Version | None = None  # of the part that is in `out`

    def attempt(self) -> _Version | None:
        """Make one request. Raises _PassingError where another one may succeed, FileError where none will."""
        try:
            with self.client.stream("GET", self.url, headers=self._headers()) as response:
                if response.status_code == 304 and self.got is None:
                    return None
                return self._receive(response)
        except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise UnusableFileError(f"leads nowhere ({type(error).__name__}): check the URL") from None
        except httpx.TransportError as error:
            raise _PassingError(f"can't be reached ({type(error).__name__})") from None

    def _headers(self) -> dict[str, str]:
        """Ask for what is new since the known version; of a download that broke off, ask for the rest (RFC 9110)."""
        headers = {"Accept-Encoding": "identity"}  # a resumed download counts the bytes of the content itself
        if self.out.tell() and self.got is not None:
            got = self.got
            validator = got.last_modified if got.etag.startswith("W/") else got.etag or got.last_modified
            if validator:
                return headers | {"Range": f"bytes={self.out.tell()}-", "If-Range": validator}
        if self.known.etag:
            headers["If-None-Match"] = self.known.etag
        elif self.known.last_modified:
            headers["If-Modified-Since"] = self.known.last_modified
        return headers

    def _receive(self, response: httpx.Response) -> _Version:
        """Write a response's content behind what is there already, and return its version."""
        if self.url.startswith("https:") and any(r.url.scheme != "https" for r in [*response.history, response]):
            raise UnusableFileError(
                "redirects from https to http, which is not followed: set the https URL of the data itself"
            )
        status = response.status_code
        if status in (408, 429) or status >= 500:
            seconds = _retry_after(response)
            if seconds > max(0.0, self.budget.until - time.monotonic()):
                raise UnavailableFileError(
                    f"answered {status} and asks to wait {seconds:.0f} s, longer than maxSeconds allows: run again then"
                )
            raise _PassingError(f"answered {status}", seconds)
        starts_at = response.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0]
        if status == 206 and starts_at == str(self.out.tell()):
            version = self.got or _Version()
        elif status == 200:
            self.out.seek(0)
            self.out.truncate()
            version = _Version(response.headers.get("etag", ""), response.headers.get("last-modified", ""))
        elif status in (206, 416):  # not the part that was asked for: from the beginning
            self.out.seek(0)
            self.out.truncate()
            raise _PassingError(f"answered {status} with another part")
        else:
            raise UnusableFileError(f"answered {status}: check the URL and the rights to read it")
        encoding = response.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip", "x-gzip", "deflate"):
            raise UnusableFileError(
                f"is sent packed as {encoding!r}, which was not asked for: ask its server for another"
            )
        is_deflated = encoding == "deflate"  # unpacked here; a gzip is unpacked when it is read
        length = "" if is_deflated else response.headers.get("content-length", "")
        total = self.out.tell() + int(length) if length.isdigit() else None
        self.budget.check(self.out.tell(), total)
        try:
            for chunk in response.iter_bytes() if is_deflated else response.iter_raw():
                self.out.write(chunk)
                self.budget.check(self.out.tell(), total)
        except httpx.DecodingError:
            raise UnusableFileError("is sent as a damaged deflate: look at its server") from None
        except httpx.TransportError:
            if is_deflated:  # the rest of what is packed makes no sense alone
                self.out.truncate(0)
            else:
                self.got = version
            raise _PassingError("broke off") from None
        return version


def _copy_file(source: Path, known: _Version, target: Path, budget: _Budget) -> _Version | None:
    try:
        state = source.stat()
        content = source.open("rb")
    except OSError as error:
        raise UnusableFileError(f"can't be read ({error.strerror}): check the URL and the rights to read it") from None
    version = _Version(etag=f"{state.st_size}-{state.st_mtime_ns}")
    with content, target.open("wb") as out:
        if version == known:
            return None
        while chunk := content.read(_CHUNK):
            out.write(chunk)
            budget.check(out.tell(), state.st_size)
    return version
