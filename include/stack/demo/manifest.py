"""What of the project is the demo. `warehouse demo remove` takes it away, and a test keeps the list complete.

`warehouse upgrade` reads PATHS and EDITED of other versions of this file: they hold plain texts.
"""

from __future__ import annotations

# Files and folders that go, relative to the project. A pattern may match nothing.
PATHS = (
    "include/contracts/billing",
    "include/contracts/retail",
    "include/contracts/sales",
    "include/contracts/schools",
    "include/contracts/services",
    "docs/images/demo",
    "dbt/models/overview.md",
    "dbt/models/staging/billing",
    "dbt/models/staging/retail",
    "dbt/models/staging/sales",
    "dbt/models/staging/schools",
    "dbt/models/staging/services",
    "dbt/models/intermediate/retail",
    "dbt/models/marts/customers",
    "dbt/models/marts/sales",
    "dbt/models/marts/services",
    "dbt/tests/retail",
    "include/stack/demo",
    "tests/demo",
)

# Files in which the lines from `demo: begin` to `demo: end` go, both included.
EDITED = (
    ".env.example",
    "README.md",
    "dags/README.md",
    "dbt/dbt_project.yml",
    "docs/command-line.md",
    "docs/your-database.md",
    "include/stack/docker/compose.yml",
)

# Folders that stay when they are empty, because tools look into them.
KEPT_FOLDERS = ("dbt/models",)

# What the demo leaves in the databases: schemas of source_db, from which those of the raw tables follow.
SCHEMAS = ("billing", "retail", "sales", "schools", "services")
