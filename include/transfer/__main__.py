"""`python -m include.transfer ...`: the verb `transfer` by itself."""

import argparse
import sys

from include.transfer.cli import add_commands

parser = argparse.ArgumentParser(prog="python -m include.transfer")
add_commands(parser.add_subparsers(required=True))
arguments = parser.parse_args(["transfer", *sys.argv[1:]])
sys.exit(arguments.handler(arguments))
