"""Datasets behind a URL: fetched to the landing root as a file, which then is landed like any other.

An unchanged source costs one request (ETag, Last-Modified; size and time of change for file:// URLs). Of an answer of
several pages all are fetched, and what they hold is compared with the fetch before. TLS is always verified.
"""

from __future__ import annotations

import codecs
import hashlib
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from include import settings
from include.contracts import Contract
from include.errors import SettingError
from include.landing import ledger
from include.landing.download import Answer, Budget, download
from include.landing.pages import download_pages
from include.landing.tables import create_tables
from include.landing.web_server import WebServer
from include.landing.zips import zip_of
from include.postgres import session
from include.readers.kinds import HEAD_BYTES, check_kind
from include.readers.packing import packing_of
from include.storage import FileError, Root, UnavailableFileError, UnusableFileError, hash_of

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


def fetch(
    contract: Contract,
    *,
    source_uri: str,
    root: str = settings.LANDING_ROOT,
    url: str | None = None,
    password: Callable[[str], str] = settings.connection_password,
    report: Callable[[str], None] = _log.info,
) -> FetchResult:
    """Fetch a dataset's URL (by default the one in its setting) to the landing root, unless it is unchanged.

    `password` returns that of a connection. Raises FileError, which names the dataset, the reason and the next step,
    and shows no password, token or query. ValueError for a contract without a URL is a caller's bug.
    """
    if contract.url_setting is None or contract.path is None:
        raise ValueError(f"{contract.name} has no URL")
    address = url or settings.setting(contract.url_setting, "")
    if not address:
        report(f"{contract.name}: {contract.url_setting} is not set, nothing is fetched")
        return FetchResult(contract.name, FetchStatus.UNSET)
    began = time.monotonic()

    def tell(progress: str) -> None:
        report(f"{contract.name}: {progress}")

    budget = Budget(contract.max_bytes, began + contract.max_seconds, contract.max_seconds, tell, began)
    with session(source_uri, "source_db") as connection, tempfile.TemporaryDirectory() as folder:
        create_tables(connection, [contract])
        copy = Path(folder) / "download"
        path = zip_of(contract.path).replace("*", datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ"))
        try:
            secret = _secret(contract, password)
            identity = _identity(contract, address, secret)
            known = ledger.fetched_version(connection, contract.name, identity)
            answer = _download(contract, address, secret, Answer(*known) if known else Answer(), copy, budget)
            if answer is None:
                return FetchResult(contract.name, FetchStatus.UNCHANGED, seconds=time.monotonic() - began)
            _check_kind(copy, contract)
            if not contract.is_table_file:
                _compare_charset(answer.charset, contract.encoding, tell)
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
        ledger.record_fetch(connection, contract.name, identity, answer.etag, answer.last_modified)
        return FetchResult(contract.name, FetchStatus.FETCHED, path, copy.stat().st_size, time.monotonic() - began)


def _secret(contract: Contract, password: Callable[[str], str]) -> str:
    """Return the secret that a dataset's server wants; empty where it wants none. Raises UnusableFileError."""
    token = contract.token
    if token is None:
        return ""
    try:
        secret = settings.setting(token.setting, "") if token.setting else password(token.connection)
    except SettingError as error:
        raise UnusableFileError(f"can't be asked: {error}") from None
    if not secret.strip():
        raise UnusableFileError(f"can't be asked: {token.kept_in} is empty: its contract says that a secret is there")
    return secret.strip()


def _shown(url: str) -> str:
    """Return a URL without its user, password and query, which may be secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "what its setting holds"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _identity(contract: Contract, url: str, secret: str) -> str:
    """Return what a request is remembered by: its URL as it is shown, with a hash of all that may be secret.

    With another token or another way of paging the same URL may give other rows, so the hash is of these as well.
    """
    query = url.partition("#")[0].partition("?")[2]
    beyond = [repr(part) for part in (contract.token, contract.paging) if part is not None]
    whole = "\0".join([query, *beyond, *([secret] if secret else [])])
    return _shown(url) + (f"?sha256={hashlib.sha256(whole.encode()).hexdigest()[:32]}" if whole else "")


def _check_kind(copy: Path, contract: Contract) -> None:
    """Raise UnusableFileError for content that holds no rows, such as the page of a login. What is packed may."""
    with copy.open("rb") as content:
        head = content.read(HEAD_BYTES)
    is_zip = zip_of(contract.path or "").lower().endswith(".zip") and head.startswith(b"PK")
    if packing_of(head) is None and not is_zip:
        check_kind(head, contract.encoding, contract.format)


def _compare_charset(charset: str, encoding: str, report: Callable[[str], None]) -> None:
    """Tell of a server that names another encoding than the contract, which holds: servers often say a default."""
    try:
        said = codecs.lookup(charset).name
    except LookupError:
        return
    if said not in (codecs.lookup(encoding).name, "ascii"):
        report(f"the server says that it sends {charset}; it is read as {encoding}, as the contract says")


def _download(contract: Contract, url: str, secret: str, known: Answer, target: Path, budget: Budget) -> Answer | None:
    """Write the URL's content to a file and return what is told of it; None where it is still the known one."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UnusableFileError("is no URL: check the URL") from None
    if parts.scheme == "file":
        if contract.paging is not None:
            raise UnusableFileError("is a file, and its contract says that a server answers in pages: check the URL")
        return _copy_file(Path(unquote(parts.path)), known, target, budget)
    if parts.scheme not in ("http", "https"):
        raise UnusableFileError(f"is no http, https or file URL but {parts.scheme!r}: check the URL")
    server = WebServer(url, contract.token, secret)
    if contract.paging is None:
        with server.client() as client, target.open("w+b") as out:
            return download(server, client, server.url, known, out, budget)
    budget.report(download_pages(server, contract.paging, target, budget))
    answer = Answer(etag=f"sha256:{hash_of(target)}")  # no validator of a server speaks of all pages
    return None if answer == known else answer


def _copy_file(source: Path, known: Answer, target: Path, budget: Budget) -> Answer | None:
    try:
        state = source.stat()
        content = source.open("rb")
    except OSError as error:
        raise UnusableFileError(f"can't be read ({error.strerror}): check the URL and the rights to read it") from None
    version = Answer(etag=f"{state.st_size}-{state.st_mtime_ns}")
    with content, target.open("wb") as out:
        if version == known:
            return None
        while chunk := content.read(_CHUNK):
            out.write(chunk)
            budget.check(out.tell(), state.st_size)
    return version
