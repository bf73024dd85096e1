"""What the demo needs and production does not: made-up landing files and the tables of made-up applications."""

from include.demo.landing_files import Expected, make_landing_files

__all__ = ["Expected", "make_landing_files"]
