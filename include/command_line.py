"""The parser that all commands share; each stage adds its own commands to it.

argparse, although there are libraries with shorter code: it comes with Python, so it never has to agree with the
versions of click that dbt and Airflow need, and it adds nothing to the time that a command takes to start.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # argparse has no public name for it


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose commands, and theirs, all have a help line and a description."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register("action", "parsers", _DescribedCommands)  # add_subparsers looks the class up by this name


class _DescribedCommands(argparse._SubParsersAction):  # type: ignore[type-arg]  # generic for mypy alone
    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
        """Add a command. Its help line serves as its description where there is nothing more to say."""
        help_line = options["help"]
        options.setdefault("description", f"{help_line[0].upper()}{help_line[1:]}.")
        added: argparse.ArgumentParser = super().add_parser(name, **options)
        return added


def add_group(commands: Commands, name: str, *, help: str, description: str) -> Commands:
    """Add a command that consists of commands, such as `demo`, and return what they are added to."""
    parser = commands.add_parser(name, help=help, description=description)
    return parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")


def add_command(
    commands: Commands,
    name: str,
    handler: Callable[[argparse.Namespace], int],
    *,
    help: str,
    description: str,
) -> argparse.ArgumentParser:
    """Add a command. The handler takes the parsed arguments and returns the exit code."""
    parser = commands.add_parser(name, help=help, description=description)
    parser.set_defaults(handler=handler)
    return parser
