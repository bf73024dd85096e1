"""How names and texts are written in SQL, in messages, in patterns and in dbt's files, the same for every stage."""

from __future__ import annotations

import re

_PLAIN_PART = re.compile(r'[^."]+')


def quoted(identifier: str) -> str:
    """Return an identifier as SQL has it, always between quotes."""
    return '"' + identifier.replace('"', '""') + '"'


def sql_text(text: str) -> str:
    """Return a text as a literal of SQL, for files that a person or dbt reads. Statements take parameters instead."""
    return "'" + text.replace("'", "''") + "'"


def qualified(schema: str, table: str) -> str:
    """Return schema.table as messages and patterns spell it: a part that holds a dot or a quote stands in quotes."""
    return f"{spelled(schema)}.{spelled(table)}"


def spelled(part: str) -> str:
    """Return one part of a qualified name."""
    return part if _PLAIN_PART.fullmatch(part) else quoted(part)


def without_jinja(text: str) -> str:
    """Return a text that dbt's Jinja renders to this one: a brace that would open a template is escaped."""
    return re.sub(r"\{(?=[{%#])", "{{ '{' }}", text)


def with_jinja(text: str) -> str:
    """Return what `without_jinja` made this text from."""
    return text.replace("{{ '{' }}", "{")
