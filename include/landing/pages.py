"""Answers of several pages: all records of a fetch become one file, a JSON array, or none does.

The records are written as they stand in their pages, so no number and no text is altered. What may be a part of the
records only is no answer: pages that go round in a circle, one that is an error, or more of them than allowed.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx

from include.contracts.web import Paging
from include.landing.download import Answer, Budget, download
from include.landing.web_server import WebServer, with_parameter
from include.readers.json_slices import elements, member_names, only_value, part_at
from include.readers.kinds import HEAD_BYTES, check_kind
from include.storage import FileError, UnavailableFileError, UnusableFileError

MAX_PAGE_BYTES = 64 << 20  # of a page, which is read in memory
_ERRORS = ("error", "errors")  # the members by which a page says that it is none
_NOTHING = ("null", "false", "0", '""', "[]", "{}")
_NAMES_SHOWN = 10


def download_pages(server: WebServer, paging: Paging, target: Path, budget: Budget) -> str:
    """Write the records of all pages to a file as a JSON array, and return how many there are as a sentence."""
    with server.client() as client, target.open("wb") as out:
        walk = _Walk(server, client, paging, budget)
        for records in walk:
            for record in records:
                out.write(b",\n" if walk.records else b"[\n")
                out.write(record.encode("utf-8", "surrogateescape"))
                walk.records += 1
        out.write(b"\n]\n" if walk.records else b"[]\n")
    return f"{walk.records} records on {walk.pages} pages"


@dataclass
class _Walk:
    """The way through the pages. Iterating yields the records of each, which the caller counts."""

    server: WebServer
    client: httpx.Client
    paging: Paging
    budget: Budget
    pages: int = 0
    records: int = 0  # that were read
    asked: set[str] = field(default_factory=set)
    last_page: bytes = b""  # its hash
    total: int | None = None  # records, as the last page says it

    def __iter__(self) -> Iterator[Iterator[str]]:
        url: str | None = self._first_url()
        while url is not None:
            self.pages += 1
            try:
                answer, text = self._page(url)
                before = self.records
                yield self._records(text)
                url = self._next_url(answer, text, self.records - before)
            except FileError as error:
                raise type(error)(f"page {self.pages} {error}") from None
        if self.total is not None and self.total != self.records:
            raise UnavailableFileError(
                f"has {self.records} records on its pages, and says that there are {self.total}: run again, and where"
                " it stays so, correct paging and totalPath in the contract"
            )

    def _first_url(self) -> str:
        url, paging = self.server.url, self.paging
        if paging.size_parameter:
            url = with_parameter(url, paging.size_parameter, str(paging.size))
        first = {"page": paging.first, "offset": 0}.get(paging.kind)
        return url if first is None else with_parameter(url, paging.parameter, str(first))

    def _page(self, url: str) -> tuple[Answer, str]:
        """Download a page and return it as text."""
        if url in self.asked:
            raise UnusableFileError(
                "was read before, so the pages go round in a circle: look at what the server answers, and correct"
                " paging in the contract"
            )
        if self.pages > self.paging.max_pages:
            raise UnusableFileError(
                f"is more than the {self.paging.max_pages} pages that are taken: raise maxPages in the contract if that"
                " is right"
            )
        self.asked.add(url)
        with tempfile.TemporaryFile() as out:
            answer = download(self.server, self.client, url, Answer(), out, self.budget)
            assert answer is not None  # nothing was known
            self.budget.before += out.tell()
            content = _content(out)
        page = hashlib.sha256(content).digest()
        text = _checked(content.decode("utf-8", "surrogateescape").removeprefix("\ufeff"))
        if self.paging.kind in ("page", "offset") and page == self.last_page and self._has_records(text):
            raise UnusableFileError(
                f"is the same as the one before it: its server may know no {self.paging.parameter!r} in the query; name"
                " the right one as pageParameter in the contract"
            )
        self.last_page = page
        return answer, text

    def _array(self, text: str) -> str | None:
        """Return the array of a page's records; None for null, by which some servers say that there are none."""
        part = self._part(text, self.paging.records)
        if part == "null" and self.paging.records:
            return None
        if part is None or not part.startswith("["):
            where = f"{'.'.join(self.paging.records)!r}" if self.paging.records else "its whole"
            raise UnusableFileError(
                f"has no array of records: {where} is none ({_named(member_names(text))}): name the right one as"
                " recordsPath in the contract"
            )
        return part

    def _has_records(self, text: str) -> bool:
        return next(self._records(text), None) is not None

    def _records(self, text: str) -> Iterator[str]:
        array = self._array(text)
        return elements(array) if array is not None else iter(())

    def _next_url(self, answer: Answer, text: str, records: int) -> str | None:
        """Return what to ask for next; None where this page, which had so many records, is the last."""
        paging = self.paging
        if paging.total:
            self.total = self._total(text)
        if paging.kind == "next-link":
            link = self._text_at(text, paging.next) if paging.next else answer.next_link
            return self._joined(answer, link) if link else None
        if paging.kind == "cursor":
            cursor = self._text_at(text, paging.next)
            return with_parameter(self._first_url(), paging.parameter, cursor) if cursor else None
        if not records or (self.total is not None and self.records >= self.total):
            return None
        place = self.records if paging.kind == "offset" else paging.first + self.pages
        return with_parameter(self._first_url(), paging.parameter, str(place))

    def _joined(self, answer: Answer, link: str) -> str:
        """Return a next link as a URL. One to a server that has answered nothing so far is not followed."""
        try:
            here = httpx.URL(answer.url)
            url = here.join(link)
        except (httpx.InvalidURL, ValueError):
            raise UnusableFileError("names a next page that is no URL: correct nextPath in the contract") from None
        self.server.check(url)
        if not self.server.is_home(url) and (url.scheme, url.netloc) != (here.scheme, here.netloc):
            raise UnusableFileError(
                f"names a next page on another server, {url.host}, which is not asked: set the URL of that server"
            )
        return str(url.copy_with(fragment=""))

    def _text_at(self, text: str, path: tuple[str, ...]) -> str:
        """Return the text or number that a path names; empty for null and where nothing is there."""
        part = self._part(text, path) or "null"
        if part == "null" or part == "false":
            return ""
        said = json.loads(part, strict=False) if part[0] == '"' else part
        if part[0] in "{[t" or not _is_text(said):
            raise UnusableFileError(f"has no text at {'.'.join(path)!r}: correct nextPath in the contract")
        return str(said)

    def _total(self, text: str) -> int:
        part = self._part(text, self.paging.total) or ""
        if not (part.isascii() and part.isdigit() and len(part) < 19):
            raise UnusableFileError(
                f"has no whole number at {'.'.join(self.paging.total)!r}: correct totalPath in the contract"
            )
        return int(part)

    def _part(self, text: str, path: tuple[str, ...]) -> str | None:
        try:
            return part_at(text, path)
        except ValueError as error:
            raise UnusableFileError(f"{error} on the way to {'.'.join(path)!r}: look at its server") from None


def _checked(text: str) -> str:
    """Return a page's one value. Raises FileError for no JSON, and for an object that says that it is an error."""
    try:
        value = only_value(text)
    except ValueError:
        raise UnavailableFileError("is no JSON, or was cut short: look at what its server answers") from None
    names = member_names(value)
    if any(part_at(value, (name,)) not in _NOTHING for name in set(_ERRORS) & set(names)):
        raise UnavailableFileError(f"is an error, with status 200 ({_named(names)}): look at what its server says")
    return value


def _content(out: IO[bytes]) -> bytes:
    """Return a downloaded page, unpacked where it is gzip. Raises UnusableFileError for what is no page of JSON."""
    out.seek(0)
    content = out.read(MAX_PAGE_BYTES + 1)
    if content.startswith(b"\x1f\x8b"):
        try:
            content = zlib.decompressobj(31).decompress(content, MAX_PAGE_BYTES + 1)
        except zlib.error:
            raise UnusableFileError("is sent as a damaged gzip: look at its server") from None
    if len(content) > MAX_PAGE_BYTES:
        raise UnusableFileError(
            f"is larger than {MAX_PAGE_BYTES >> 20} MiB: ask for smaller ones, with pageSize in the contract"
        )
    check_kind(content[:HEAD_BYTES])
    return content


def _is_text(text: str) -> bool:
    """Return whether a text can be sent: half of a pair of surrogates can't."""
    return text == text.encode("utf-8", "ignore").decode("utf-8")


def _named(names: list[str]) -> str:
    """Return the names of a page's members for a message."""
    if not names:
        return "it is no object with members"
    return f"its members are {', '.join(names[:_NAMES_SHOWN])}{', ...' if len(names) > _NAMES_SHOWN else ''}"
