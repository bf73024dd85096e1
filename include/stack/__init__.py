"""What no stage and no DAG imports: running the project on one machine, on a server and in a cluster, and the demo.

    local/        the stack without Docker: embedded Postgres servers and Airflow as ordinary processes
    docker/       the stack in Docker: what compose.yml adds to the Astro CLI's Airflow, and production.yml for a server
    kubernetes/   values for Airflow's Helm chart
    demo/         made-up files and tables, for all; `warehouse demo remove` takes it away
    commands.py   the command group `warehouse stack`
    logins.py     the UI's users and their passwords, without Docker and on a server
    private.py    files that only their owner can read, and keys
    pruning.py    `warehouse stack prune`: old rows of Airflow's own database and old logs
    marks.py      the lines of a file that belong to the demo alone
    upgrade.py    `warehouse upgrade`: a newer version of this project

`local` and `docker` know nothing of each other, and all work without the demo.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from include import settings

DEMO_MADE = "demo-made"  # an empty file below LOCAL_ROOT: the demo's data were made


def demo_package() -> ModuleType | None:
    """Return include.stack.demo, None once it was removed."""
    return importlib.import_module("include.stack.demo") if settings.HAS_DEMO else None
