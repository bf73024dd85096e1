"""Names of columns and tables in the SQL that people read: between quotes only where Postgres needs them."""

from __future__ import annotations

import re

# Words that Postgres takes for a column or a CTE only between quotes.
_RESERVED = re.findall(
    r"\w+",
    "all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation "
    "column concurrently constraint create cross current_catalog current_date current_role current_schema current_time "
    "current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze "
    "from full grant group having ilike in initially inner intersect into is isnull join lateral leading left like "
    "limit localtime localtimestamp natural not notnull null offset on only or order outer overlaps placing primary "
    "references returning right select session_user similar some symmetric system_user table tablesample then to "
    "trailing true union unique user using variadic verbose when where window with",
)


def quoted(name: str) -> str:
    """Return a name as SQL has it: between quotes only where it needs them, as the linter wants it."""
    is_plain = re.fullmatch(r"[a-z_][a-z0-9_$]*", name) and name not in _RESERVED
    return name if is_plain else '"' + name.replace('"', '""') + '"'
