"""Names and texts mean to SQL, to patterns and to dbt what they say."""

from __future__ import annotations

import psycopg
import pytest
from dbt.clients.jinja import get_rendered

from include.names import qualified, quoted, sql_text, without_jinja

ODD = ["plain", "Order By", 'a"b', "a.b", "it's", "{{ x }}", "{% x %}", "{# x #}", "{", "user", "é"]


@pytest.mark.parametrize("text", ODD)
def test_name_and_text_arrive_in_sql_as_they_are(source_uri: str, text: str) -> None:
    with psycopg.connect(source_uri) as connection:
        cursor = connection.execute(f"select {sql_text(text)} as {quoted(text)}".encode())
        assert cursor.fetchone() == (text,)
        assert cursor.description and cursor.description[0].name == text


@pytest.mark.parametrize("text", ODD)
def test_text_is_no_template_to_jinja(text: str) -> None:
    assert get_rendered(without_jinja(text), {}) == text


def test_qualified_names_of_different_tables_differ() -> None:
    assert qualified("app", "orders") == "app.orders"
    assert qualified("a.b", "c") == '"a.b".c' != qualified("a", "b.c")
