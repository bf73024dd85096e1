"""What landing remembers of files and fetches: the statements that write landing.files and landing.fetches.

A delivery's line in landing.files, its rejects and its rows commit together. `deliveries` says which file is one, and
`reject_rows` has the statements on landing.rejects.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from include.landing.deliveries import Landed
from include.landing.ledger_tables import TABLES, create_tables, forget
from include.postgres import Connection, query, records, session
from include.report import Section

__all__ = [
    "TABLES",
    "create_tables",
    "fetched_version",
    "forget",
    "held_files",
    "last_load_in_future",
    "record_fetch",
    "record_files",
    "summary",
]


_RECORD_FILE = """
    with new as (
        select %s::text as dataset, %s::text as path, %s::text as sha256, %s::text as position, %s::text as status,
            %s::bigint as rows_read, %s::bigint as rows_loaded, %s::bigint as rows_duplicate,
            %s::bigint as rows_rejected, nullif(%s, '') as error, %s::text as header,
            coalesce(%s::timestamptz, now()) as ordered_at
    ), updated as (
        update landing.files f
        set path = new.path, position = new.position, status = new.status, rows_read = new.rows_read,
            rows_loaded = new.rows_loaded, rows_duplicate = new.rows_duplicate, rows_rejected = new.rows_rejected,
            error = new.error, header = new.header, ordered_at = new.ordered_at, loaded_at = now()
        from new
        where f.dataset = new.dataset and f.sha256 = new.sha256 and f.status <> 'landed'
        returning f.delivery
    ), inserted as (
        insert into landing.files (dataset, path, sha256, position, status, rows_read, rows_loaded, rows_duplicate,
            rows_rejected, error, header, ordered_at)
        select * from new
        where not exists (select from updated) and (
            status <> 'failed' or sha256 is distinct from (
                select f.sha256 from landing.files f
                where f.dataset = new.dataset and f.path = new.path and f.status = 'landed'
                order by loaded_at desc, delivery desc limit 1))
        returning delivery
    )
    select delivery from updated union all select delivery from inserted limit 1
"""


# --- files ------------------------------------------------------------------------------------------------------------


def record_files(connection: Connection, dataset: str, files: Iterable[Landed]) -> list[int]:
    """Write what became of files, and return the numbers of their deliveries.

    A line of the same bytes that did not land becomes the new one. What failed after it had landed is not recorded.
    """
    cursor = connection.cursor()
    cursor.executemany(
        _RECORD_FILE,
        [(dataset, f.path, f.sha256, f.position, f.status, *f.counts, f.note, f.header, f.ordered_at) for f in files],
        returning=True,
    )
    found = []
    while cursor.pgresult is not None:
        found += [delivery for (delivery,) in cursor.fetchall()]
        if not cursor.nextset():
            break
    return found


def last_load_in_future(connection: Connection, dataset: str) -> Any | None:
    """Return when a dataset was last loaded where that lies in the future by the server's clock, else None."""
    later = query(
        connection,
        "select max(loaded_at) from landing.files where dataset = %s having max(loaded_at) > now()",
        dataset,
    )
    return later[0][0] if later else None


def held_files(connection: Connection, dataset: str, path: str | None) -> list[str]:
    """Return the paths of the files that are held, all or the one of a path."""
    found = query(
        connection,
        "select distinct path from landing.files where dataset = %s and status = 'held' and path = coalesce(%s, path)"
        " order by 1",
        *(dataset, path),
    )
    return [path for (path,) in found]


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
