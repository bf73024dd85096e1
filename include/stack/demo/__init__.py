"""The demo's data: made-up landing files, the tables of made-up applications, and the schools file behind a URL."""

from include.stack.demo.applications import change_tables, make_tables
from include.stack.demo.commands import add_commands
from include.stack.demo.landing_files import Expected, make_landing_files, make_schools_file
from include.stack.demo.preparation import DemoError, prepare_demo
from include.stack.demo.web import PORT, PORT_VARIABLE, environment, programs

__all__ = [
    "PORT",
    "PORT_VARIABLE",
    "DemoError",
    "Expected",
    "add_commands",
    "change_tables",
    "environment",
    "make_landing_files",
    "make_schools_file",
    "make_tables",
    "prepare_demo",
    "programs",
]
