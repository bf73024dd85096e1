"""`python -m include COMMAND`, and what the program `warehouse` calls."""

from __future__ import annotations

import sys

from include.errors import SettingError


def main() -> int:
    """Run the command line and return its exit code.

    Settings are read when modules are imported, so that is where a wrong one is met.
    """
    try:
        from include.cli import main as run
    except SettingError as error:
        print(error, file=sys.stderr)
        return 1
    return run()


if __name__ == "__main__":
    sys.exit(main())
