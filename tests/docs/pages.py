"""A page of docs/ carried out word for word, in a copy of the project without Airflow."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.project import copy_project

NEEDS_A_STACK = ("make ",)  # databases and Airflow: a test brings its own databases
OF_DATASETS = re.compile(r"include/contracts/[^/]+/|dbt/models/|dbt/tests/(?!generic/)")
COMMANDS = (".venv/bin/", "make ", "mkdir ", "sed ")


@dataclass(frozen=True)
class Block:
    """An indented block of the page, and the text right before it."""

    text: str
    before: str

    @property
    def file(self) -> str | None:
        """The file that the block is the text of, where the text before it ends with the file's path and a colon."""
        named = re.search(r"`([\w./-]+\.(?:sql|yml|yaml))`:$", self.before)
        return named[1] if named else None

    @property
    def is_of_commands(self) -> bool:
        return self.text.startswith(COMMANDS)


def read_blocks(page: str) -> list[Block]:
    """Return the indented blocks of a page, in its order."""
    found = re.findall(r"([^\n]*)\n\n((?:    [^\n]*\n|\n(?=    ))+)", page)
    return [Block(textwrap.dedent(text), before.strip()) for before, text in found]


class Copy:
    """A copy of the project's files as they are now, with settings of its own.

    Without `datasets` it has no contract and no model: whoever has followed a page in the project itself has those
    that the page makes.
    """

    def __init__(self, folder: Path, *, datasets: bool = False, **variables: str) -> None:
        self.folder = folder
        copy_project(folder, lambda name: datasets or not OF_DATASETS.match(name))
        program = folder / ".venv" / "bin" / "warehouse"
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m include "$@"\n')
        program.chmod(0o755)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in ("AIRFLOW_HOME", "DOTENV")},
            "AIRFLOW_HOME": str(folder / "airflow"),
            "PYTHONPATH": str(folder),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
            **variables,
        }

    def run(self, commands: str) -> str:
        """Run commands of a shell and return what they print; the first that fails fails the test."""
        done = subprocess.run(
            ["sh", "-eu", "-c", commands], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def follow(self, blocks: Iterable[Block]) -> None:
        """Write the files of a page and run its commands, in its order. A file has to be there, as a draft."""
        for block in blocks:
            if block.file:
                assert (self.folder / block.file).is_file(), f"{block.file} was not drafted"
                (self.folder / block.file).write_text(block.text, encoding="utf-8")
            elif block.is_of_commands:
                lines = block.text.splitlines(keepends=True)
                self.run("".join(line for line in lines if not line.startswith(NEEDS_A_STACK)))
