"""What a contract says of its URL beyond the address: which secret a server wants, and how its answer is paged.

Custom properties of the landing server state both, and they are read once, into a `Token` and a `Paging`. An option
that nothing would carry out beside the others is refused.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from open_data_contract_standard.model import Server

from include.contracts.options import WEB_OPTIONS

_PAGINGS = ("next-link", "page", "offset", "cursor")
_MAX_PAGES = 10_000
_OF_TOKEN = ("tokenSetting", "tokenConnection", "tokenHeader", "tokenParameter")
# The options of each way of paging, beside those of all.
_OF_ALL_PAGINGS = ("paging", "recordsPath", "totalPath", "maxPages")
_OF_PAGING = {
    "next-link": ("nextPath",),
    "page": ("pageParameter", "firstPage", "sizeParameter", "pageSize"),
    "offset": ("pageParameter", "sizeParameter", "pageSize"),
    "cursor": ("nextPath", "pageParameter", "sizeParameter", "pageSize"),
}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
# Headers that the connection, the validators and the resuming of a download need.
_HEADERS_IN_USE = (
    *("accept-encoding", "connection", "content-length", "cookie", "host", "if-match", "if-modified-since"),
    *("if-none-match", "if-range", "if-unmodified-since", "range", "te", "transfer-encoding", "upgrade"),
)


@dataclass(frozen=True)
class Token:
    """Where the secret of a URL is kept, and how it is sent: as a bearer token where neither place is named."""

    setting: str = ""  # of the environment or .env
    connection: str = ""  # whose password it is
    header: str = ""
    parameter: str = ""  # of the query

    @property
    def kept_in(self) -> str:
        """Where the secret is kept, as messages say it."""
        return f"the setting {self.setting}" if self.setting else f"the password of the connection {self.connection}"


@dataclass(frozen=True)
class Paging:
    """How an answer of several pages is read. A path names the members of JSON objects, from the page's own down."""

    kind: str  # next-link, page, offset or cursor
    records: tuple[str, ...]  # the path of the array of records; empty where it is the page itself
    next: tuple[str, ...]  # the path of the next URL or cursor; empty where the Link header has the URL
    total: tuple[str, ...]  # the path of how many records there are in all; empty where no page says it
    parameter: str  # of the query: page number, offset or cursor
    first: int  # number of the first page
    size_parameter: str
    size: int  # records that a page is asked to have; 0 where it is not asked
    max_pages: int


def token_of(landing: Server) -> Token | None:
    """Return where a landing server's secret is kept; None where it needs none."""
    said = _said(landing)
    if not any(name in said for name in _OF_TOKEN):
        return None
    return Token(*(str(said.get(name, "")) for name in _OF_TOKEN))


def paging_of(landing: Server) -> Paging | None:
    """Return how a landing server's answers are paged; None where an answer is one page."""
    said = _said(landing)
    kind = said.get("paging")
    if kind is None:
        return None
    return Paging(
        kind=kind,
        records=_path(said.get("recordsPath")),
        next=_path(said.get("nextPath")),
        total=_path(said.get("totalPath")),
        parameter=said.get("pageParameter", kind),
        first=said.get("firstPage", 1),
        size_parameter=said.get("sizeParameter", ""),
        size=said.get("pageSize", 0),
        max_pages=said.get("maxPages", _MAX_PAGES),
    )


def web_problems(landing: Server) -> Iterator[str]:
    """Yield a sentence for each option of a URL that can't be carried out, or not beside the others."""
    said = _said(landing)
    for name in WEB_OPTIONS:
        if name in said and "urlSetting" not in said:
            yield f"{name}: needs a urlSetting: it is about the URL of a dataset"
    yield from _of_token(said)
    yield from _of_paging(said, landing)


def _said(landing: Server) -> dict[str, Any]:
    return {each.property: each.value for each in landing.customProperties or [] if each.property in _KNOWN}


_KNOWN = ("urlSetting", *WEB_OPTIONS)


def _of_token(said: dict[str, Any]) -> Iterator[str]:
    for name in ("urlSetting", *_OF_TOKEN):
        if name in said and not (isinstance(said[name], str) and re.fullmatch(r"[!-~]+", said[name])):
            yield f"{name}: {said[name]!r} is no name"
            return
    places = [name for name in ("tokenSetting", "tokenConnection") if name in said]
    if len(places) == 2:
        yield "tokenSetting, tokenConnection: a secret is kept in one place: leave one of them out"
    ways = [name for name in ("tokenHeader", "tokenParameter") if name in said]
    if ways and not places:
        yield f"{ways[0]}: name the secret too, with tokenSetting or tokenConnection"
    if len(ways) == 2:
        yield "tokenHeader, tokenParameter: a secret is sent in one place: leave one of them out"
    header = said.get("tokenHeader", "X")
    if not _HEADER_NAME.fullmatch(header) or header.lower() in _HEADERS_IN_USE:
        yield f"tokenHeader: {header!r} is no header that can hold a secret"


def _of_paging(said: dict[str, Any], landing: Server) -> Iterator[str]:
    given = [name for name in WEB_OPTIONS if name in said and name not in _OF_TOKEN]
    if not given:
        return
    kind = said.get("paging")
    if kind not in _PAGINGS:
        yield f"paging: {kind!r} is none: there are {', '.join(_PAGINGS)}" if kind else f"{given[0]}: needs paging"
        return
    known = (*_OF_ALL_PAGINGS, *_OF_PAGING[kind])
    for name in given:
        if name not in known:
            yield f"{name}: is no option of paging by {kind}: there are {', '.join(known)}"
    if landing.format != "json" or codecs.lookup(landing.encoding or "UTF-8").name != "utf-8":
        yield "paging: is for JSON in UTF-8: set the server's format and encoding"
    for name in ("recordsPath", "nextPath", "totalPath"):
        if name in said and not _path(said[name]):
            yield f"{name}: {said[name]!r} is no path: names with dots between them, or a list of names"
    if kind == "cursor" and "nextPath" not in said:
        yield "nextPath: is needed: where a page says the cursor of the next one"
    if "totalPath" in said and "recordsPath" not in said:
        yield "totalPath: a page that says it is an object: name its array with recordsPath"
    for name in ("pageParameter", "sizeParameter"):
        if name in said and not (isinstance(said[name], str) and said[name]):
            yield f"{name}: {said[name]!r} is no name of a parameter"
    for name, least in (("firstPage", 0), ("pageSize", 1), ("maxPages", 1)):
        value = said.get(name, least)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            yield f"{name}: {value!r} is no whole number from {least} up"
    if ("pageSize" in said) != ("sizeParameter" in said):
        yield "pageSize, sizeParameter: one says how many records a page has, the other asks for them: give both"


def _path(written: Any) -> tuple[str, ...]:
    """Return the names of a path; none where it is no path."""
    names = written.split(".") if isinstance(written, str) else written
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        return ()
    return tuple(names)
