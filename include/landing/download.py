"""Downloads over HTTP: one answer written to a file, over as many requests as that takes, within limits.

A download that breaks off is resumed where the server can do that, else it begins again. A server that is busy is asked
again, when it says or later each time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from include.landing.web_server import WebServer
from include.storage import UnavailableFileError, UnusableFileError

ATTEMPTS = 5
_TIMEOUT, _CONNECT_TIMEOUT = 30.0, 15.0  # seconds without a byte
_REPORT_SECONDS = 5.0


@dataclass(frozen=True)
class Answer:
    """What a server says about the content that it sends."""

    etag: str = ""
    last_modified: str = ""
    charset: str = ""
    url: str = ""  # where redirects ended
    next_link: str = ""  # of the next page, as its header writes it


@dataclass
class Budget:
    """How many bytes and seconds a download may take, and where its progress is reported."""

    max_bytes: int
    until: float
    max_seconds: float
    report: Callable[[str], None]
    reported: float = 0.0
    before: int = 0  # bytes of the pages that were downloaded before

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.until - time.monotonic())

    def check(self, done: int, total: int | None) -> None:
        """Raise FileError where so many bytes, or those that are to come, are too many, or the time is over."""
        if self.before + max(done, total or 0) > self.max_bytes:
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


def download(
    server: WebServer, client: httpx.Client, url: str, known: Answer, out: IO[bytes], budget: Budget
) -> Answer | None:
    """Write a URL's content to an empty file and return what its server says of it; None where it is the known one."""
    one = _Download(server, client, url, known, out, budget)
    attempts = Retrying(
        retry=retry_if_exception_type(_PassingError),
        stop=stop_after_attempt(ATTEMPTS),
        wait=lambda state: _seconds_to_wait(state, budget),
        before_sleep=lambda _: budget.check(out.tell(), None),
        reraise=True,
    )
    try:
        return attempts(one.attempt)
    except _PassingError as error:
        raise UnavailableFileError(f"{error}, {ATTEMPTS} times: look at the server, then run again") from None


class _PassingError(Exception):
    """A request failed in a way that may pass; the message says how. The server may have said when to ask again."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


def _seconds_to_wait(state: RetryCallState, budget: Budget) -> float:
    """Return how long to wait before the next request: as long as the server says, else longer each time."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, _PassingError) else 0.0
    return min(max(asked, 0.2 * 4**state.attempt_number), budget.seconds_left)


def _retry_after(response: httpx.Response) -> float:
    """Return the seconds of a Retry-After header, which is a number or a date (RFC 9110, 10.2.3); 0 without one."""
    said = response.headers.get("retry-after", "").strip()
    if re.fullmatch("[0-9]+", said):
        return float(said)
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _answer(response: httpx.Response) -> Answer:
    links = (link.get("url") for rel, link in response.links.items() if "next" in (rel or "").lower().split())
    said = response.headers
    return Answer(
        etag=said.get("etag", ""),
        last_modified=said.get("last-modified", ""),
        charset=response.charset_encoding or "",
        url=str(response.url),
        next_link=next(links, "") or "",
    )


@dataclass
class _Download:
    """A download over several requests: each goes on where the one before it broke off."""

    server: WebServer
    client: httpx.Client
    url: str
    known: Answer  # of the content that was fetched before
    out: IO[bytes]
    budget: Budget
    got: Answer | None = None  # of the part that is in `out`

    def attempt(self) -> Answer | None:
        """Make one request. Raises _PassingError where another one may succeed, FileError where none will."""
        left = max(self.budget.seconds_left, 0.001)
        timeout = httpx.Timeout(min(_TIMEOUT, left), connect=min(_CONNECT_TIMEOUT, left))
        try:
            with self.client.stream("GET", self.url, headers=self._headers(), timeout=timeout) as response:
                if response.status_code == 304 and self.got is None:
                    return None
                return self._receive(response)
        except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise UnusableFileError(f"leads nowhere ({type(error).__name__}): check the URL") from None
        except httpx.ProxyError:
            raise _PassingError("can't be reached through the proxy") from None
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

    def _receive(self, response: httpx.Response) -> Answer:
        """Write a response's content behind what is there already, and return what it says of it."""
        self._check_status(response)
        starts_at = response.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0]
        if response.status_code == 206 and starts_at == str(self.out.tell()):
            answer = self.got or Answer()
        elif response.status_code == 200:
            self._begin()
            answer = _answer(response)
        else:  # not the part that was asked for: from the beginning
            self._begin()
            raise _PassingError(f"answered {response.status_code} with another part")
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
                self._begin()
            else:
                self.got = answer
            raise _PassingError("broke off") from None
        return answer

    def _begin(self) -> None:
        self.out.seek(0)
        self.out.truncate()

    def _check_status(self, response: httpx.Response) -> None:
        """Raise _PassingError for a status that may pass, UnusableFileError for one that brings no content."""
        status = response.status_code
        # A server may say by 403 too that it was asked too often. Then it says when to ask again.
        if status in (408, 429) or status >= 500 or (status == 403 and "retry-after" in response.headers):
            seconds = _retry_after(response)
            if seconds > self.budget.seconds_left:
                raise UnavailableFileError(
                    f"answered {status} and asks to wait {seconds:.0f} s, longer than maxSeconds allows: run again then"
                )
            raise _PassingError(f"answered {status}", seconds)
        if status == 407:
            raise UnusableFileError("answered 407: check user and password of the proxy")
        if status not in (200, 206, 416):
            raise UnusableFileError(f"answered {status}: check the URL and {self.server.access}")
