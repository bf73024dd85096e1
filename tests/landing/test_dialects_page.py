"""docs/dialects.md says what is so: its examples are read, and every option and letter is in it."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent, indent

import pytest

from include.contracts.dialect import DIALECT_OPTIONS
from include.contracts.notation import NOTATION_OPTIONS
from include.contracts.time_format import LETTERS
from include.settings import PROJECT
from tests.landing.conftest import write_contract
from tests.landing.test_dialect_files import HEAD, landed

PAGE = (PROJECT / "docs" / "dialects.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"^### (.+?)\n\n(.+?)\n\nreads\n\n(.+?)\n\nas\n\n((?:    [^\n]+\n)+)", PAGE, re.DOTALL | re.MULTILINE
)


def test_the_page_knows_every_option_and_letter() -> None:
    rows = re.findall(r"^\| (`.+?) \|", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall("`([^`]+)`", row)}
    assert {*DIALECT_OPTIONS, *NOTATION_OPTIONS, "delimiter"} <= named
    assert {letters for letters in LETTERS if letters.strip("S")} <= named
    assert len(EXAMPLES) == PAGE.count("\n### ") == 4


@pytest.mark.parametrize(("name", "contract", "file", "rows"), EXAMPLES, ids=[example[0] for example in EXAMPLES])
def test_an_example_is_read_as_the_page_says(tmp_path: Path, name: str, contract: str, file: str, rows: str) -> None:
    servers, _, properties = dedent(contract).partition("properties:\n")
    head = re.sub(r"servers:\n.*\n", lambda _: servers, HEAD)
    text = head.replace("    properties:\n", "    properties:\n" + indent(properties, "      ") + "\n")
    found = landed(write_contract(tmp_path, text, "csv"), dedent(file).encode(), tmp_path)
    assert found.rejects == []
    assert ["  ".join(row) for row in found.rows] == dedent(rows).strip().splitlines()
