"""Rows from one server's COPY to the other's, in constant memory.

COPY TO sends every row as a message of its own. Taking the messages from libpq without a generator step per row, and
handing them on in batches of a quarter of a megabyte, costs the client a fraction of what the servers spend. One
message is the least that libpq hands out, so a single value of 200 MB does pass through memory.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Generator
from contextlib import closing

import psycopg
from psycopg import sql
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

from include.postgres import Connection
from include.transfer.catalog import Table
from include.transfer.model import TableName, TransferInterruptedError

BATCH = 256 * 1024

Progress = Callable[[int, int], None]  # is told the rows (0 when not known yet) and the bytes of each batch


def copy_statements(
    table: Table, store: TableName, where: sql.Composable | None, *, fresh: bool = False
) -> tuple[sql.Composed, sql.Composed]:
    """Return the COPY TO of the table's rows and the COPY FROM into the store, with FREEZE where it is fresh."""
    names = sql.SQL(", ").join(sql.Identifier(c.name) for c in table.columns)
    options = "format binary" if all(c.binary for c in table.columns) else "format text"
    columns = sql.SQL(" ({})").format(names) if table.columns else sql.SQL("")
    plain = table.kind == "r" and not table.has_children and not any(c.generated for c in table.columns)
    if where is None and plain:
        rows = table.name.identifier + columns
    else:
        condition = sql.SQL(" where {}").format(where) if where is not None else sql.SQL("")
        rows = sql.SQL("(select {} from {}{})").format(names, table.name.identifier, condition)
    freeze = sql.SQL(", freeze" if fresh else "")
    return (
        sql.SQL("copy {} to stdout ({})").format(rows, sql.SQL(options)),
        sql.SQL("copy {}{} from stdin ({}{})").format(store.identifier, columns, sql.SQL(options), freeze),
    )


def pump(
    source: Connection, out: sql.Composed, target: Connection, into: sql.Composed, progress: Progress
) -> tuple[int, int]:
    """Send the rows of `out`, a COPY TO STDOUT, into `into`, a COPY FROM STDIN; return rows and bytes.

    Both servers say how many rows they sent and took: TransferInterruptedError when they differ. A failure before
    the last row has come closes the source.
    """
    sent: list[int] = []
    size = 0
    try:
        with target.cursor() as cursor:
            with cursor.copy(into) as copy, closing(_batches(source, out, sent)) as batches:
                for rows, batch in batches:
                    copy.write(batch)
                    size += len(batch)
                    progress(rows, len(batch))
            taken = cursor.rowcount if cursor.rowcount >= 0 else _copied(cursor)
    except BaseException:
        if not sent:
            source.close()  # in the middle of a COPY it is good for nothing else
        raise
    if sent != [taken]:
        raise TransferInterruptedError(f"the source sent {sent[0]} rows, the target took {taken}: run it again")
    return taken, size


def _copied(cursor: psycopg.Cursor[tuple[object, ...]]) -> int:
    result = cursor.pgresult
    if result is None or result.command_tuples is None:
        raise psycopg.OperationalError("the connection was lost")
    return result.command_tuples


def _batches(source: Connection, out: sql.Composable, sent: list[int]) -> Generator[tuple[int, bytearray], None, None]:
    """Yield (rows, bytes) batches; at the end append the server's own count of rows to `sent`."""
    pgconn = source.pgconn
    result = pgconn.exec_(out.as_bytes(source))
    if result.status != ExecStatus.COPY_OUT:
        raise error_from_result(result)
    get, socket = pgconn.get_copy_data, pgconn.socket
    batch, rows = bytearray(), 0
    while True:
        length, data = get(1)
        if length > 0:
            batch += data
            rows += 1
            if len(batch) >= BATCH:
                yield rows, batch
                batch, rows = bytearray(), 0
        elif length == 0:
            select.select([socket], [], [])
            pgconn.consume_input()
        else:
            break
    if batch:
        yield rows, batch
    end = pgconn.get_result()
    if end is None or end.status != ExecStatus.COMMAND_OK:
        raise psycopg.OperationalError("the connection was lost") if end is None else error_from_result(end)
    sent.append(end.command_tuples or 0)
    while pgconn.get_result() is not None:
        pass
