"""How commands are added to the program's parser: each has a help line, a description and a handler.

argparse, although there are libraries with shorter code: it comes with Python, so it never has to agree with the
versions of click that dbt and Airflow need, and it adds nothing to the time that a command takes to start.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # argparse has no public name for it


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
