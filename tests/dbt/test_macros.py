"""Rules that dbt and landing share."""

from __future__ import annotations

import jinja2
import psycopg
import pytest

from include.landing.tables import NEWEST_FIRST
from include.settings import DBT_PROJECT


def test_dbt_and_landing_call_the_same_version_of_a_row_the_newest() -> None:
    macro = (DBT_PROJECT / "macros" / "newest_version.sql").read_text()
    assert NEWEST_FIRST.as_string() in macro
    for model in (DBT_PROJECT / "models").rglob("*.sql"):
        assert "_loaded_at desc" not in model.read_text(), f"{model.name}: take the macro newest_version"


@pytest.mark.parametrize(
    ("actual", "expected", "is_equal"),
    [
        ("select 1, 2.50", "select 1, 2.50", True),
        ("select 1, 2.50", "select 1, 2.51", False),
        ("select null::int", "select null::int", True),
        ("select sum(n) from generate_series(1, 0) n", "select 5", False),  # the new table is empty
        ("select 5 where false", "select 5", False),
        ("select 5", "select sum(n) from generate_series(1, 0) n", False),
    ],
)
def test_mart_that_does_not_add_up_is_stopped(target_uri: str, actual: str, expected: str, is_equal: bool) -> None:
    macro = (DBT_PROJECT / "macros" / "must_equal.sql").read_text()
    mart = {"schema": "marts", "identifier": "mine"}
    statement = jinja2.Template(macro + "{{ must_equal(actual, expected) }}").render(
        this=mart, actual=actual, expected=expected
    )
    with psycopg.connect(target_uri) as connection:
        if is_equal:
            connection.execute(statement.encode())
        else:
            with pytest.raises(psycopg.errors.RaiseException, match=r"marts\.mine adds up to .*, what it"):
                connection.execute(statement.encode())
