"""Everything that production never imports: the stack on one machine and the data of the demo.

    local/    the stack without Docker: embedded Postgres servers and Airflow as ordinary processes
    docker/   the stack in Docker: what compose.yml adds to the Astro CLI's Airflow
    demo/     made-up files and tables, for both; `warehouse demo remove` takes it away

`local` and `docker` know nothing of each other, and both work without the demo.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from include import settings

DEMO_MADE = "demo-made"  # an empty file below LOCAL_ROOT: the demo's data were made


def demo_package() -> ModuleType | None:
    """Return include.stack.demo, None once it was removed."""
    return importlib.import_module("include.stack.demo") if settings.HAS_DEMO else None
