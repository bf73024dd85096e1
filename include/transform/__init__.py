"""Transform: how dbt is run. What the rows mean is said in dbt/."""

from include.transform.environments import schema_of, target_variables
from include.transform.marts import count_marts, summary
from include.transform.project import (
    DbtError,
    DbtRunError,
    docs_are_stale,
    make_docs,
    make_manifest,
    profile_variables,
    run_dbt,
)

__all__ = [
    "DbtError",
    "DbtRunError",
    "count_marts",
    "docs_are_stale",
    "make_docs",
    "make_manifest",
    "profile_variables",
    "run_dbt",
    "schema_of",
    "summary",
    "target_variables",
]
