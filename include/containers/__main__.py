"""`python -m include.containers VERB`."""

import sys

from include.errors import SettingError

try:
    from include.containers.commands import main
except SettingError as error:
    sys.exit(str(error))

sys.exit(main(sys.argv[1:]))
