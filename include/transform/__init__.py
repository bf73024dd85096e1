"""Transform: how dbt is run. What the rows mean is said in dbt/."""

from include.transform.marts import summary
from include.transform.project import (
    DbtError,
    DbtRunError,
    docs_are_stale,
    make_docs,
    make_manifest,
    profile_variables,
    run_dbt,
)
from include.transform.targets import schema_of, target_variables

__all__ = [
    "DbtError",
    "DbtRunError",
    "docs_are_stale",
    "make_docs",
    "make_manifest",
    "profile_variables",
    "run_dbt",
    "schema_of",
    "summary",
    "target_variables",
]
