from __future__ import annotations

import psycopg

from include.status import format_status, format_table, read_status


def test_numbers_stand_to_the_right_and_absent_values_are_empty() -> None:
    rows = [{"mart": "sales_daily", "rows": 12345, "note": None}, {"mart": "x", "rows": 7, "note": "new"}]
    assert format_table(["mart", "rows", "note"], rows).splitlines() == [
        "mart           rows  note",
        "sales_daily  12,345",
        "x                 7  new",
    ]


def test_empty_databases_are_reported_as_such(source_uri: str, target_uri: str) -> None:
    text = format_status(read_status(source_uri, target_uri))
    assert text.splitlines() == ["landed: nothing yet", "", "transferred: nothing yet", "", "marts: nothing yet"]


def test_marts_are_counted(source_uri: str, target_uri: str) -> None:
    with psycopg.connect(target_uri) as connection:
        connection.execute("create schema marts")
        connection.execute('create table marts."Odd name" as select generate_series(1, 3)')
    assert read_status(source_uri, target_uri).marts == [{"mart": "Odd name", "rows": 3}]
