"""The demo's data: made-up landing files, the tables of made-up applications, and the schools file behind a URL."""

from include.stack.demo.applications import change_tables, make_tables
from include.stack.demo.landing_files import Expected, make_landing_files, make_schools_file
from include.stack.demo.preparation import SCHOOLS_FILE, DemoError, prepare_demo

__all__ = [
    "SCHOOLS_FILE",
    "DemoError",
    "Expected",
    "change_tables",
    "make_landing_files",
    "make_schools_file",
    "make_tables",
    "prepare_demo",
]
