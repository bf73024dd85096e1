from __future__ import annotations

import psycopg

from include.status import report, summaries


def test_empty_databases_are_reported_as_such(source_uri: str, target_uri: str) -> None:
    text = report(source_uri, target_uri)
    assert text.splitlines() == ["landed: nothing yet", "", "transferred: nothing yet", "", "marts: nothing yet"]


def test_marts_are_counted(source_uri: str, target_uri: str) -> None:
    with psycopg.connect(target_uri) as connection:
        connection.execute("create schema marts")
        connection.execute('create table marts."Odd name" as select generate_series(1, 3)')
    *_, marts = summaries(source_uri, target_uri)
    assert (marts.title, marts.rows) == ("marts", [{"mart": "Odd name", "rows": 3}])
