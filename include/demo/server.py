"""A web server on loopback that stands for the world outside: it serves the demo's schools file."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class _Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, answers 304 to a client that has the newest version, and writes no log."""

    def log_message(self, format: str, *args: Any) -> None:  # the name is the base class's
        pass


def make_server(folder: Path | str, port: int = 0) -> ThreadingHTTPServer:
    """Return a server of a folder's files on 127.0.0.1, ready for serve_forever(); port 0 takes a free one."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=str(folder)))
