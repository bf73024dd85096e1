"""What became of a batch, for its task's log: files, rejected rows with reasons, and the command that shows these."""

from __future__ import annotations

import shlex

from include.landing.results import FileStatus, LandResult
from include.postgres import records, session
from include.report import table

_SHOWN = 20  # files, and kinds of rejected rows


def explain(result: LandResult, source_uri: str) -> str:
    """Return what became of a batch: its totals, the files that need a look, and why rows were rejected.

    Holds the reasons that landing.rejects holds, which show no personal value.
    """
    parts = [str(result)]
    notable = [file for file in result.files if file.rows_rejected or file.status is not FileStatus.LANDED]
    if notable:
        columns = ("file", "status", "read", "loaded", "duplicate", "rejected")
        rows = [
            (f.path, f.status.value, f.rows_read, f.rows_loaded, f.rows_duplicate, f.rows_rejected)
            for f in notable[:_SHOWN]
        ]
        parts.append(table(columns, [dict(zip(columns, row, strict=True)) for row in rows]))
    if len(notable) > _SHOWN:
        parts.append(f"and {len(notable) - _SHOWN} more files: see landing.files")
    rejected = [file.path for file in notable if file.rows_rejected]
    if rejected:
        parts += _reasons(result.dataset, rejected, source_uri)
    return "\n".join(parts)


def _reasons(dataset: str, paths: list[str], source_uri: str) -> list[str]:
    with session(source_uri, "source_db") as connection:
        found = records(
            connection,
            'select path as file, code, field, count(*) as rows, min(line) as "first line",'
            ' (array_agg(reason order by line))[1] as "its reason" from landing.rejects'
            " where dataset = %s and path = any(%s) and closed_as is null group by 1, 2, 3 order by 4 desc, 1, 2, 3"
            " limit %s",
            *(dataset, paths, _SHOWN + 1),
        )
    if not found:
        return []
    first = found[0]
    command = shlex.join(
        ["warehouse", "rejects", "show", dataset, f"--path={first['file']}", f"--code={first['code']}"]
    )
    more = ["and more: `warehouse rejects list` counts all"] if len(found) > _SHOWN else []
    columns = ["file", "code", "field", "rows", "first line", "its reason"]
    return ["rejected rows", table(columns, found[:_SHOWN]), *more, f"`{command}` shows the rows"]
