"""The server behind a URL: how it is reached, and the secret that it gets and no other server does.

A redirect or a link may lead to another server. Before each request the secret is put in for this server, and taken out
for any other. Nothing of a request is logged, because a URL may hold secrets.
"""

from __future__ import annotations

import base64
import contextlib
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote_plus

import httpx

from include import settings
from include.contracts.web import Token
from include.storage import UnusableFileError

_DEFAULT_PORTS = {"http": 80, "https": 443}
# They log the URL of each request, and httpcore the answers' headers as well.
_LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks")


class WebServer:
    """A server, told by the URL that a setting holds. Raises UnusableFileError for what is no URL of one."""

    def __init__(self, url: str, token: Token | None = None, secret: str = "") -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise UnusableFileError(f"leads nowhere ({type(error).__name__}): check the URL") from None
        self.url = str(parsed.copy_with(userinfo=b"", raw_path=parsed.raw_path, fragment=""))  # with a / at least
        self._home = parsed
        self._headers: dict[str, str] = {}
        self._parameter, self._secret = "", secret
        if parsed.userinfo:
            user = f"{parsed.username}:{parsed.password}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(user).decode()}"
        if token is not None:
            self._add(token, secret)
        self.access = f"the rights to read it{f', and {token.kept_in}' if token else ''}"  # to check where it refuses

    def _add(self, token: Token, secret: str) -> None:
        if not (secret.isascii() and secret.isprintable()):
            raise UnusableFileError(f"can't be asked: {token.kept_in} holds signs that no header takes: set it anew")
        if token.parameter:
            self._parameter = token.parameter
            return
        header = token.header or "Authorization"
        if header.lower() == "authorization" and self._headers:
            raise UnusableFileError(
                f"has a user of its own, and {token.kept_in} would be sent in the same header: leave one of them out"
            )
        self._headers[header] = secret if token.header else f"Bearer {secret}"

    def is_home(self, url: httpx.URL) -> bool:
        """Return whether a URL leads to this server; with https instead of http it does, too."""
        home = self._home
        if url.host != home.host:
            return False
        is_upgraded = (home.scheme, url.scheme) == ("http", "https") and _port(home) == 80 and _port(url) == 443
        return is_upgraded or (url.scheme, _port(url)) == (home.scheme, _port(home))

    def check(self, url: httpx.URL) -> None:
        """Raise UnusableFileError for a URL that is not asked: what is behind https is never asked for by http."""
        if url.scheme not in ("http", "https"):
            raise UnusableFileError("leads to an address that is neither http nor https: check the URL")
        if url.scheme == "http" and self._home.scheme == "https":
            raise UnusableFileError(
                "redirects from https to http, which is not followed: set the https URL of the data itself"
            )

    @contextlib.contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """Give a client that follows redirects, through a proxy where the settings name one."""
        with _unlogged():
            try:
                client = httpx.Client(follow_redirects=True, event_hooks={"request": [self._guard]}, **_proxy())
            except (ValueError, ImportError, httpx.InvalidURL):
                raise UnusableFileError(
                    "can't be reached: LANDING_PROXY, HTTP_PROXY, HTTPS_PROXY or ALL_PROXY holds no proxy such as"
                    " http://user:password@host:3128"
                ) from None
            with client:
                yield client

    def _guard(self, request: httpx.Request) -> None:
        """Put the secret into a request for this server, and take it out of one for another."""
        self.check(request.url)
        is_home = self.is_home(request.url)
        for name, value in self._headers.items():
            request.headers.pop(name, None)
            if is_home:
                request.headers[name] = value
        if self._parameter:
            other = without_parameter(str(request.url), self._parameter, "" if is_home else self._secret)
            request.url = httpx.URL(with_parameter(other, self._parameter, self._secret) if is_home else other)


def with_parameter(url: str, name: str, value: str) -> str:
    """Return a URL with one parameter set in its query; the others stay as they are written."""
    front, mark, fragment = without_parameter(url, name).partition("#")
    separator = "&" if "?" in front and not front.endswith(("?", "&")) else "" if "?" in front else "?"
    return f"{front}{separator}{quote(name, safe='')}={quote(value, safe='')}{mark}{fragment}"


def without_parameter(url: str, name: str, value: str = "") -> str:
    """Return a URL without the parameters of a name, where a value is given without those that have it."""
    rest, mark, fragment = url.partition("#")
    path, question, query = rest.partition("?")
    kept = []
    for part in query.split("&"):
        key, _, written = part.partition("=")
        if unquote_plus(key) != name or (value and unquote_plus(written) != value):
            kept.append(part)
    return path + (question if any(kept) else "") + "&".join(kept) + mark + fragment


def _port(url: httpx.URL) -> int | None:
    return url.port or _DEFAULT_PORTS.get(url.scheme)


def _proxy() -> dict[str, Any]:
    """Return how a client is told of the proxy in LANDING_PROXY. It reads HTTP_PROXY and the like by itself."""
    if not settings.LANDING_PROXY:
        return {}
    direct: dict[str, None] = {}
    for host in (settings.setting("NO_PROXY", "") or settings.setting("no_proxy", "")).split(","):
        name = host.strip()
        if name == "*":
            return {"mounts": {"all://": None}}
        if ":" in name:
            name = f"[{name.strip('[]')}]"
        if name:  # example.com stands for its subdomains too
            direct[f"all://{name}"] = None
            direct[f"all://*.{name.removeprefix('.')}"] = None
    return {"proxy": settings.LANDING_PROXY, "mounts": direct}


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    def hide(_: logging.LogRecord) -> bool:
        return False

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(hide)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(hide)
