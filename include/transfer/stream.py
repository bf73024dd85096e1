"""Rows from one server's COPY to the other's, in constant memory.

COPY TO sends every row as a message of its own, and the client must keep up with two servers. So `_batches` takes the
messages from libpq directly, without the generator step per row of `psycopg.Cursor.copy`, and hands them on in batches
of a quarter of a megabyte; that costs the client a fraction of what the servers spend. A message is the least that
libpq hands out: a single value of 200 MB does pass through memory.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Generator
from contextlib import closing
from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

from include.postgres import Connection
from include.transfer.catalog import Table
from include.transfer.model import TableName, TransferInterruptedError

BATCH = 256 * 1024  # bytes

Progress = Callable[[int, int], None]  # called with the rows (0 where not known yet) and the bytes of each batch


class Copied(NamedTuple):
    """What one COPY moved."""

    rows: int
    bytes: int


def copy_statements(
    table: Table, into: TableName, where: sql.Composable | None, *, freeze: bool = False
) -> tuple[sql.Composed, sql.Composed]:
    """Return the COPY TO of a source table's rows and the COPY FROM into a target table.

    `freeze` is allowed only where the target's open transaction has created the table.
    """
    names = sql.SQL(", ").join(sql.Identifier(c.name) for c in table.columns)
    columns = sql.SQL(" ({})").format(names) if table.columns else sql.SQL("")
    # The binary format is the faster one, but some types have none, or another one in the other version.
    options = sql.SQL("format binary" if all(c.binary for c in table.columns) else "format text")
    # COPY of a table leaves out its children, partitions and generated columns, so those need a query.
    plain = table.kind == "r" and not table.has_children and not any(c.generated for c in table.columns)
    if where is None and plain:
        rows = table.name.identifier + columns
    else:
        condition = sql.SQL(" where {}").format(where) if where is not None else sql.SQL("")
        rows = sql.SQL("(select {} from {}{})").format(names, table.name.identifier, condition)
    frozen = sql.SQL(", freeze" if freeze else "")
    return (
        sql.SQL("copy {} to stdout ({})").format(rows, options),
        sql.SQL("copy {}{} from stdin ({}{})").format(into.identifier, columns, options, frozen),
    )


def pump(
    source: Connection, copy_to: sql.Composed, target: Connection, copy_from: sql.Composed, progress: Progress
) -> Copied:
    """Send the rows of a COPY TO STDOUT into a COPY FROM STDIN.

    Raises TransferInterruptedError when the number of rows that the source sent and the number that the target took
    differ. A failure before the source's last row closes the source.
    """
    sent: list[int] = []
    size = 0
    try:
        with target.cursor() as cursor:
            with cursor.copy(copy_from) as copy, closing(_batches(source, copy_to, sent)) as batches:
                for rows, batch in batches:
                    copy.write(batch)
                    size += len(batch)
                    progress(rows, len(batch))
            taken = cursor.rowcount if cursor.rowcount >= 0 else _command_rows(cursor)
    except BaseException:
        if not sent:
            source.close()  # the rest of the COPY is still on its way: no other statement could run on it
        raise
    if sent != [taken]:
        raise TransferInterruptedError(f"the source sent {sent[0]} rows, the target took {taken}: run it again")
    return Copied(taken, size)


def _command_rows(cursor: psycopg.Cursor[tuple[object, ...]]) -> int:
    """Return the count of the server's "COPY n", where psycopg has left `rowcount` open."""
    result = cursor.pgresult
    if result is None or result.command_tuples is None:
        raise psycopg.OperationalError("the connection was lost")
    return result.command_tuples


def _batches(
    source: Connection, copy_to: sql.Composable, sent: list[int]
) -> Generator[tuple[int, bytearray], None, None]:
    """Yield (rows, bytes) batches; at the end append the server's own count of rows to `sent`."""
    pgconn = source.pgconn
    result = pgconn.exec_(copy_to.as_bytes(source))
    if result.status != ExecStatus.COPY_OUT:
        raise error_from_result(result)
    get, socket = pgconn.get_copy_data, pgconn.socket
    batch, rows = bytearray(), 0
    while True:
        length, data = get(1)  # 1: don't wait
        if length > 0:
            batch += data
            rows += 1
            if len(batch) >= BATCH:
                yield rows, batch
                batch, rows = bytearray(), 0
        elif length == 0:  # no whole message has come yet
            select.select([socket], [], [])
            pgconn.consume_input()
        else:  # the COPY has ended, or failed: the result says which
            break
    if batch:
        yield rows, batch
    end = pgconn.get_result()
    if end is None or end.status != ExecStatus.COMMAND_OK:
        raise psycopg.OperationalError("the connection was lost") if end is None else error_from_result(end)
    sent.append(end.command_tuples or 0)
    while pgconn.get_result() is not None:
        pass
