"""`python -m include.local VERB`."""

import sys

from include.errors import SettingError

try:
    from include.local.commands import main
except SettingError as error:
    sys.exit(str(error))

sys.exit(main())
