"""The entry point of the program `warehouse`, and of `python -m include`, which is the same."""

from __future__ import annotations

import sys

from include.errors import SettingError


def main() -> int:
    """Run the command line and return its exit code.

    Settings are read while modules are imported, so a wrong setting raises its error there.
    """
    try:
        from include.cli import main as run
    except SettingError as error:
        print(error, file=sys.stderr)
        return 1
    return run()


if __name__ == "__main__":
    sys.exit(main())
