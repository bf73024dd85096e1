"""The statements on landing.rejects: rows that broke their contract, until they are loaded, dismissed or superseded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from include.landing.deliveries import Landed
from include.landing.judge import RejectedRows
from include.postgres import Connection, query, records


@dataclass(frozen=True)
class Choice:
    """Which rejects are meant: all of some datasets, or those of a file, a code or a line."""

    path: str | None = None
    code: str | None = None
    line: int | None = None


def record_rejects(
    connection: Connection, dataset: str, files: list[tuple[int, Landed, RejectedRows]], *, replaces: bool
) -> None:
    """Replace the rejects of deliveries, in the transaction that is open. What a person did to one of them stays.

    Where a file replaces the one before it of the same path, that one's rejects are closed.
    """
    numbers = [delivery for delivery, *_ in files]
    hashes = [file.sha256 for _, file, _ in files]
    # A file that is held is judged again by each run: a person may have mended or dismissed its rows meanwhile.
    is_again = _set_aside(connection, dataset, hashes, numbers)
    if replaces:
        connection.execute(
            "update landing.rejects r set closed_as = 'superseded', closed_at = now(), closed_by = 'landing',"
            " closed_why = 'a newer version of the file has come'"
            " from unnest(%s::text[], %s::bigint[]) as new(path, delivery)"
            " join landing.files old on old.dataset = %s and old.path = new.path and old.delivery <> new.delivery"
            " where r.dataset = old.dataset and r.sha256 = old.sha256 and r.delivery = old.delivery"
            " and r.closed_as is null",
            [[file.path for _, file, _ in files], numbers, dataset],
        )
    if not any(rejects.count for *_, rejects in files):
        return
    columns = 'dataset, path, sha256, delivery, line, code, field, reason, "row"'
    with connection.cursor().copy(f"copy landing.rejects ({columns}) from stdin") as copy:
        for delivery, file, rejects in files:
            for row in rejects:
                copy.write_row((dataset, file.path, file.sha256, delivery, *row))
    if is_again:
        connection.execute(
            'update landing.rejects r set "row" = old."row", closed_as = old.closed_as, closed_at = old.closed_at,'
            " closed_by = old.closed_by, closed_why = old.closed_why from old_rejects old"
            " where r.dataset = old.dataset and r.sha256 = old.sha256 and r.delivery = old.delivery"
            ' and r.line = old.line and (r."row" <> old."row" or old.closed_as is not null)'
            " and old.closed_as is distinct from 'superseded'"
        )


def _set_aside(connection: Connection, dataset: str, hashes: list[str], deliveries: list[int]) -> bool:
    """Take the rejects of deliveries away, to a temporary table, and return whether there were any."""
    theirs = " from landing.rejects where dataset = %s and sha256 = any(%s) and delivery = any(%s)"
    chosen = [dataset, hashes, deliveries]
    if not query(connection, "select" + theirs + " limit 1", *chosen):
        return False
    connection.execute("drop table if exists pg_temp.old_rejects")
    connection.execute("create temp table old_rejects on commit drop as select *" + theirs, chosen)
    connection.execute("delete" + theirs, chosen)
    return True


def deliveries_with_rejects(connection: Connection, dataset: str, choice: Choice) -> list[tuple[int, str, str | None]]:
    """Return number, path and header of the landed deliveries that have open rejects, in their order."""
    found = query(
        connection,
        "select f.delivery, f.path, f.header from landing.files f where f.dataset = %s and f.status = 'landed'"
        " and exists (select from landing.rejects r"
        "  where r.dataset = f.dataset and r.sha256 = f.sha256 and r.delivery = f.delivery"
        "  and r.closed_as is null and r.path = coalesce(%s, r.path) and r.code = coalesce(%s, r.code)"
        "  and r.line = coalesce(%s, r.line))"
        ' order by f.ordered_at, f.path collate "C"',
        *(dataset, choice.path, choice.code, choice.line),
    )
    return [(delivery, path, header) for delivery, path, header in found]


def rejects_of(connection: Connection, dataset: str, delivery: int, choice: Choice) -> list[tuple[int, str]]:
    """Return line and row of a delivery's open rejects."""
    found = query(
        connection,
        'select line, "row" from landing.rejects where dataset = %s and delivery = %s and closed_as is null'
        " and code = coalesce(%s, code) and line = coalesce(%s, line) order by line for update",
        *(dataset, delivery, choice.code, choice.line),
    )
    return [(line, row) for line, row in found]


def accept(connection: Connection, dataset: str, delivery: int, lines: list[int], loaded: int) -> None:
    """Take lines of a delivery out of its rejects: `loaded` of them are in the table now, the others are duplicates."""
    connection.execute(
        "delete from landing.rejects where dataset = %s and delivery = %s and line = any(%s)",
        [dataset, delivery, lines],
    )
    connection.execute(
        "update landing.files set rows_loaded = rows_loaded + %s, rows_duplicate = rows_duplicate + %s,"
        " rows_rejected = rows_rejected - %s where dataset = %s and delivery = %s",
        [loaded, len(lines) - loaded, len(lines), dataset, delivery],
    )


def dismiss(connection: Connection, dataset: str, choice: Choice, who: str, why: str) -> int:
    """Close open rejects for a reason, and return how many. They stay, with who closed them, when and why."""
    closed = connection.execute(
        "update landing.rejects set closed_as = 'dismissed', closed_at = now(), closed_by = %s, closed_why = %s"
        " where dataset = %s and closed_as is null and path = coalesce(%s, path) and code = coalesce(%s, code)"
        " and line = coalesce(%s, line)",
        [who, why, dataset, choice.path, choice.code, choice.line],
    )
    return closed.rowcount


def find(connection: Connection, dataset: str, path: str, line: int) -> list[tuple[int, str | None, str | None, bool]]:
    """Return the rejects in a line of a path, the newest delivery first.

    Of each its delivery, header, closed_as, and whether its file is held.
    """
    found = query(
        connection,
        "select r.delivery, f.header, r.closed_as, coalesce(f.status = 'held', false) from landing.rejects r"
        " left join landing.files f using (dataset, sha256, delivery)"
        " where r.dataset = %s and r.path = %s and r.line = %s order by r.rejected_at desc, r.delivery desc",
        *(dataset, path, line),
    )
    return [(delivery, header, closed_as, is_held) for delivery, header, closed_as, is_held in found]


def write_row(connection: Connection, dataset: str, delivery: int, line: int, row: str) -> None:
    """Write a mended row over the one that was rejected."""
    connection.execute(
        'update landing.rejects set "row" = %s where dataset = %s and delivery = %s and line = %s',
        [row, dataset, delivery, line],
    )


# --- for people -------------------------------------------------------------------------------------------------------

_CHOSEN = sql.SQL(
    " where dataset = any(%s) and path = coalesce(%s, path) and code = coalesce(%s, code)"
    " and line = coalesce(%s, line) and ({closed} is null or %s)"
)


def count(connection: Connection, datasets: list[str], choice: Choice, *, closed: bool = False) -> list[dict[str, Any]]:
    """Return how many rows were rejected, by dataset, file, code, field and state. Writes nothing, not even the tables.

    Those that are closed are counted on request.
    """
    if (closed_as := _closed_as(connection)) is None:
        return []
    return records(
        connection,
        sql.SQL(
            "select dataset, path as file, code, field, coalesce({closed}, 'open') as state, count(*) as rows,"
            ' min(line) as "first line" from landing.rejects{chosen} group by 1, 2, 3, 4, 5 order by 1, 2, 7'
        ).format(closed=closed_as, chosen=_CHOSEN.format(closed=closed_as)),
        *(datasets, choice.path, choice.code, choice.line, closed),
    )


def listed(
    connection: Connection, datasets: list[str], choice: Choice, limit: int, *, closed: bool = False
) -> list[dict[str, Any]]:
    """Return up to `limit` rejected rows with file, line, code and reason. They may hold personal values."""
    if (closed_as := _closed_as(connection)) is None:
        return []
    return records(
        connection,
        sql.SQL(
            'select dataset, path, line, code, reason, "row", {closed} as closed_as, {by} as closed_by,'
            " {at} as closed_at, {why} as closed_why from landing.rejects{chosen} order by 1, 2, 3 limit %s"
        ).format(
            closed=closed_as,
            chosen=_CHOSEN.format(closed=closed_as),
            **{name: _column(connection, f"closed_{name}") for name in ("by", "at", "why")},
        ),
        *(datasets, choice.path, choice.code, choice.line, closed, limit),
    )


def _closed_as(connection: Connection) -> sql.Composable | None:
    """Return how to ask for the state of a reject; None where landing has never run on this database."""
    found = query(connection, "select to_regclass('landing.rejects') is not null")
    return _column(connection, "closed_as") if found[0][0] else None


def _column(connection: Connection, name: str) -> sql.Composable:
    """Return a column of landing.rejects, or null where an older version made the table and none has run since."""
    found = query(
        connection,
        "select from pg_attribute where attrelid = to_regclass('landing.rejects') and attname = %s"
        " and not attisdropped",
        name,
    )
    return sql.Identifier(name) if found else sql.SQL("null::text")


def vacuum(connection: Connection) -> None:
    """Free the room of rejects that were rolled back."""
    connection.execute("vacuum landing.rejects")
