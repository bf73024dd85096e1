"""What landing remembers in source_db: every statement on landing.files, landing.rejects and landing.fetches.

A file is known by the SHA-256 of its bytes. Its line in landing.files, its rejects and its rows commit together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from psycopg import sql

from include.landing.judge import RejectedRows
from include.landing.results import FileResult
from include.postgres import Connection, query, records, session
from include.report import Section

# Comment, columns and constraints of each table. A database made by an older version gets the tables and columns that
# it lacks, so a new column may be null or has a default.
TABLES: dict[str, tuple[str, dict[str, str], str]] = {
    "files": (
        "Every file that landing has seen, by its content; read = loaded + duplicate + rejected.",
        {
            "dataset": "text not null",
            "path": "text not null",
            "sha256": "text not null",
            "status": "text not null check (status in ('landed', 'held', 'failed'))",
            "rows_read": "bigint not null default 0",
            "rows_loaded": "bigint not null default 0",
            "rows_duplicate": "bigint not null default 0",
            "rows_rejected": "bigint not null default 0",
            "loaded_at": "timestamptz not null default now()",
            "error": "text",
        },
        "primary key (dataset, sha256), check (rows_read = rows_loaded + rows_duplicate + rows_rejected)",
    ),
    "rejects": (
        "Rows that broke their contract, as they stood in the file. May hold personal values.",
        {
            "dataset": "text not null",
            "path": "text not null",
            "sha256": "text not null",
            "line": "bigint not null",
            "code": "text not null",
            "field": "text not null default ''",
            "reason": "text not null default ''",
            "row": "text not null",
            "rejected_at": "timestamptz not null default now()",
        },
        "primary key (dataset, sha256, line)",
    ),
    "fetches": (
        "What each URL said of its content when it was last fetched.",
        {
            "dataset": "text not null",
            "url": "text not null",
            "etag": "text not null default ''",
            "last_modified": "text not null default ''",
            "fetched_at": "timestamptz not null default now()",
        },
        "primary key (dataset, url)",
    ),
}


def create_tables(connection: Connection) -> None:
    """Create the schema and the tables that are missing, and add missing columns. The caller keeps others away."""
    found: dict[str, list[str]] = dict(
        query(
            connection,
            "select relname, array_agg(attname) from pg_attribute join pg_class on pg_class.oid = attrelid"
            " where relnamespace = to_regnamespace('landing') and attnum > 0 and not attisdropped group by relname",
        )
    )
    if not found:
        connection.execute("create schema if not exists landing")
    for table, (comment, columns, constraints) in TABLES.items():
        name = sql.Identifier("landing", table)
        if table not in found:
            definitions = sql.SQL(", ").join(_definition(*column) for column in columns.items())
            create = sql.SQL("create table {} ({}, {})")
            connection.execute(create.format(name, definitions, sql.SQL(constraints)))
            connection.execute(sql.SQL("comment on table {} is {}").format(name, sql.Literal(comment)))
            continue
        for column in columns.keys() - set(found[table]):
            definition = _definition(column, columns[column])
            connection.execute(sql.SQL("alter table {} add column {}").format(name, definition))


def forget(connection: Connection, sources: Iterable[str]) -> None:
    """Delete what is remembered of the datasets of some sources, where there is a memory yet."""
    for table in TABLES:
        if query(connection, "select from pg_class where oid = to_regclass(%s)", f"landing.{table}"):
            statement = sql.SQL("delete from {} where split_part(dataset, '.', 1) = any(%s)")
            connection.execute(statement.format(sql.Identifier("landing", table)), [list(sources)])


def _definition(name: str, type_: str) -> sql.Composed:
    return sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type_))


# --- files ------------------------------------------------------------------------------------------------------------


def already_landed(connection: Connection, dataset: str, sha256: list[str]) -> dict[str, str]:
    """Return those of the hashes that were landed before, each with the path that it came under."""
    found = query(
        connection,
        "select sha256, path from landing.files where dataset = %s and sha256 = any(%s) and status = 'landed'",
        *(dataset, sha256),
    )
    return dict(found)


def record_files(connection: Connection, dataset: str, results: Iterable[tuple[FileResult, str]]) -> None:
    """Write what became of files, each with its hash. What was landed stays landed."""
    connection.cursor().executemany(
        "insert into landing.files as f"
        " (dataset, path, sha256, status, rows_read, rows_loaded, rows_duplicate, rows_rejected, error)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, nullif(%s, '')) on conflict (dataset, sha256) do update set"
        " path = excluded.path, status = excluded.status, rows_read = excluded.rows_read,"
        " rows_loaded = excluded.rows_loaded, rows_duplicate = excluded.rows_duplicate,"
        " rows_rejected = excluded.rows_rejected, error = excluded.error, loaded_at = now()"
        " where f.status <> 'landed'",
        [
            (
                *(dataset, r.path, sha256, r.status.value, r.rows_read, r.rows_loaded, r.rows_duplicate),
                *(r.rows_rejected, r.note),
            )
            for r, sha256 in results
        ],
    )


def last_load_in_future(connection: Connection, dataset: str) -> Any | None:
    """Return when a dataset was last loaded where that lies in the future by the server's clock, else None."""
    later = query(
        connection,
        "select max(loaded_at) from landing.files where dataset = %s having max(loaded_at) > now()",
        dataset,
    )
    return later[0][0] if later else None


def held_files(connection: Connection, dataset: str, path: str | None) -> list[tuple[str, str]]:
    """Return path and hash of the files that are held, all or the one of a path."""
    found = query(
        connection,
        "select path, sha256 from landing.files where dataset = %s and status = 'held' and path = coalesce(%s, path)",
        *(dataset, path),
    )
    return [(path, sha256) for path, sha256 in found]


# --- rejects ----------------------------------------------------------------------------------------------------------


def record_rejects(connection: Connection, dataset: str, files: list[tuple[str, str, RejectedRows]]) -> None:
    """Replace the rejects of files, given as path, hash and rejected rows, in the transaction that is open."""
    connection.execute(
        "delete from landing.rejects where dataset = %s and sha256 = any(%s)",
        [dataset, [sha256 for _, sha256, _ in files]],
    )
    if not any(rejects.count for _, _, rejects in files):
        return
    columns = 'dataset, path, sha256, line, code, field, reason, "row"'
    with connection.cursor().copy(f"copy landing.rejects ({columns}) from stdin") as copy:
        for path, sha256, rejects in files:
            for row in rejects:
                copy.write_row((dataset, path, sha256, *row))


def files_with_rejects(
    connection: Connection, dataset: str, path: str | None, code: str | None
) -> list[tuple[str, str]]:
    """Return path and hash of the landed files that have rejects, all or those of a path or code."""
    found = query(
        connection,
        "select distinct r.path, r.sha256 from landing.rejects r join landing.files f using (dataset, sha256)"
        " where dataset = %s and f.status = 'landed' and r.path = coalesce(%s, r.path)"
        " and code = coalesce(%s, code) order by 1, 2",
        *(dataset, path, code),
    )
    return [(path, sha256) for path, sha256 in found]


def rejects_of_file(connection: Connection, dataset: str, sha256: str, code: str | None) -> list[tuple[int, str]]:
    """Return line and row of a file's rejects, all or those of a code."""
    found = query(
        connection,
        'select line, "row" from landing.rejects'
        " where dataset = %s and sha256 = %s and code = coalesce(%s, code) order by line",
        *(dataset, sha256, code),
    )
    return [(line, row) for line, row in found]


def accept_rejects(connection: Connection, dataset: str, sha256: str, lines: list[int], loaded: int) -> None:
    """Take lines of a file out of its rejects: `loaded` of them are in the table now, the others are duplicates."""
    connection.execute(
        "delete from landing.rejects where dataset = %s and sha256 = %s and line = any(%s)", [dataset, sha256, lines]
    )
    connection.execute(
        "update landing.files set rows_loaded = rows_loaded + %s, rows_duplicate = rows_duplicate + %s,"
        " rows_rejected = rows_rejected - %s where dataset = %s and sha256 = %s",
        [loaded, len(lines) - loaded, len(lines), dataset, sha256],
    )


def rows_of_rejects(connection: Connection, dataset: str, sha256: list[str]) -> list[tuple[str, int, str]]:
    """Return hash, line and row of the rejects of files, as they stand now: a person may have mended some."""
    found = query(
        connection,
        'select sha256, line, "row" from landing.rejects where dataset = %s and sha256 = any(%s)',
        *(dataset, sha256),
    )
    return [(sha256, line, row) for sha256, line, row in found]


def restore_rows(connection: Connection, dataset: str, rows: list[tuple[str, int, str]]) -> None:
    """Write rows, given as hash, line and row, back over those of landing.rejects."""
    connection.cursor().executemany(
        'update landing.rejects set "row" = %s where dataset = %s and sha256 = %s and line = %s and "row" <> %s',
        [(row, dataset, sha256, line, row) for sha256, line, row in rows],
    )


def count_rejects(
    connection: Connection, datasets: list[str], path: str | None, code: str | None
) -> list[dict[str, Any]]:
    """Return how many rows were rejected, by dataset, file, code and field. Writes nothing, not even the tables."""
    if not _is_there(connection):
        return []
    return records(
        connection,
        'select dataset, path as file, code, field, count(*) as rows, min(line) as "first line" from landing.rejects'
        " where dataset = any(%s) and path = coalesce(%s, path) and code = coalesce(%s, code)"
        " group by 1, 2, 3, 4 order by 1, 2, 6",
        *(datasets, path, code),
    )


def list_rejects(
    connection: Connection, datasets: list[str], path: str | None, code: str | None, limit: int
) -> list[dict[str, Any]]:
    """Return up to `limit` rejected rows with file, line, code and reason. They may hold personal values."""
    if not _is_there(connection):
        return []
    return records(
        connection,
        'select dataset, path, line, code, reason, "row" from landing.rejects'
        " where dataset = any(%s) and path = coalesce(%s, path) and code = coalesce(%s, code)"
        " order by 1, 2, 3 limit %s",
        *(datasets, path, code, limit),
    )


def vacuum(connection: Connection) -> None:
    """Free the room of rejects that were rolled back."""
    connection.execute("vacuum landing.rejects")


# --- fetches ----------------------------------------------------------------------------------------------------------


def fetched_version(connection: Connection, dataset: str, url: str) -> tuple[str, str] | None:
    """Return the ETag and Last-Modified that a URL had when it was last fetched; None where it never was."""
    found = query(
        connection, "select etag, last_modified from landing.fetches where dataset = %s and url = %s", dataset, url
    )
    return (found[0][0], found[0][1]) if found else None


def record_fetch(connection: Connection, dataset: str, url: str, etag: str, last_modified: str) -> None:
    """Write what a URL said of the content that was fetched."""
    connection.execute(
        "insert into landing.fetches (dataset, url, etag, last_modified) values (%s, %s, %s, %s)"
        " on conflict (dataset, url) do update set etag = excluded.etag, last_modified = excluded.last_modified,"
        " fetched_at = now()",
        [dataset, url, etag, last_modified],
    )


# --- the whole --------------------------------------------------------------------------------------------------------


def summary(source_uri: str, datasets: Collection[str] | None = None) -> Section:
    """Return how many files and rows of each dataset have landed; empty where nothing has.

    Of datasets that are not among `datasets`, where those are given, a note has the names alone.
    """
    columns = ("dataset", "files", "read", "loaded", "duplicate", "rejected")
    with session(source_uri, "source_db") as connection:
        if not _is_there(connection):
            return Section("landed", columns, [])
        found = records(
            connection,
            "select dataset, count(*) as files, coalesce(sum(rows_read), 0)::bigint as read,"
            " coalesce(sum(rows_loaded), 0)::bigint as loaded, coalesce(sum(rows_duplicate), 0)::bigint as duplicate,"
            " coalesce(sum(rows_rejected), 0)::bigint as rejected from landing.files group by dataset order by dataset",
        )
    lands = [row for row in found if datasets is None or row["dataset"] in datasets]
    gone = [row["dataset"] for row in found if row not in lands]
    return Section("landed", columns, lands, f"landed by no contract any more: {', '.join(gone)}" if gone else "")


def _is_there(connection: Connection) -> bool:
    """Return whether landing has ever run on this database."""
    found = query(
        connection, "select to_regclass('landing.files') is not null and to_regclass('landing.rejects') is not null"
    )
    return bool(found[0][0])
