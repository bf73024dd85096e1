"""What the demo's pipelines read, made once by the first start of a stack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include import settings
from include.errors import FinalError
from include.stack import DEMO_MADE
from include.stack.demo import web
from include.stack.demo.applications import make_tables
from include.stack.demo.landing_files import make_landing_files, make_schools_file


class DemoError(FinalError):
    """The demo's files can't be written; the message says where and what to do."""


@contextmanager
def writing_to(place: Path | str) -> Iterator[None]:
    """Turn an OSError of the `with` block into a DemoError that names the place."""
    try:
        yield
    except OSError as error:
        raise DemoError(
            f"{error.filename or place}: the demo's files can't be written there ({error.strerror or error}): make the "
            "folder writable, or name another one"
        ) from None


def prepare_demo(source_uri: str) -> None:
    """Make landing files, the applications' tables and the schools file, unless that was done before.

    Does nothing where landing files or the source are somebody's own. Raises DemoError.
    """
    made = settings.LOCAL / DEMO_MADE
    if not settings.MAKES_DEMO_DATA or made.exists():
        return
    with writing_to(settings.LOCAL):
        make_landing_files(settings.LANDING_ROOT)
        make_schools_file(web.FOLDER / web.SCHOOLS_FILE)
        make_tables(source_uri)
        made.touch()
