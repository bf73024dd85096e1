"""Rules that dbt and landing share."""

from __future__ import annotations

from include.landing.tables import NEWEST_FIRST
from include.settings import DBT_PROJECT


def test_dbt_and_landing_call_the_same_version_of_a_row_the_newest() -> None:
    macro = (DBT_PROJECT / "macros" / "newest_version.sql").read_text()
    assert NEWEST_FIRST.as_string() in macro
    for model in (DBT_PROJECT / "models").rglob("*.sql"):
        assert "_loaded_at desc" not in model.read_text(), f"{model.name}: take the macro newest_version"
