"""What the demo needs and production does not: made-up landing files and the tables of made-up applications."""

from include.demo.applications import change_tables, make_tables
from include.demo.commands import add_commands
from include.demo.landing_files import Expected, make_landing_files, make_schools_file

__all__ = [
    "Expected",
    "add_commands",
    "change_tables",
    "make_landing_files",
    "make_schools_file",
    "make_tables",
]
