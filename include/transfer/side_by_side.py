"""One query on both servers at the same time, so that a comparison takes as long as the slower of the two."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

from psycopg import sql

from include.postgres import Connection

_QUEUED_ROWS = 8  # rows of `RowReader` are large: each stands for a thousand ranges of the table


class RowReader:
    """Reads the rows of a query in a thread of its own, a few rows ahead of whoever iterates over it."""

    def __init__(self, connection: Connection, statement: sql.Composed) -> None:
        self._rows: queue.Queue[tuple[Any, ...] | BaseException | None] = queue.Queue(maxsize=_QUEUED_ROWS)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(connection, statement), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while (row := self._rows.get()) is not None:
            if isinstance(row, BaseException):
                raise row
            yield row

    def stop(self) -> None:
        """Stop reading and wait for the thread: afterwards the caller may use the connection."""
        self._stopped.set()
        self._thread.join()

    def _read(self, connection: Connection, statement: sql.Composed) -> None:
        """Queue the rows, then None; an error is queued as well, for the thread that iterates."""
        try:
            with connection.cursor() as cursor:
                for row in cursor.stream(statement, binary=True):
                    if not self._put(row):
                        return
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _put(self, row: tuple[Any, ...] | BaseException | None) -> bool:
        """Queue a row, an error or the end (None); return False when the reader was stopped instead."""
        while not self._stopped.is_set():
            try:
                # with a timeout, because a full queue that nobody empties would keep the thread from ending
                self._rows.put(row, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False


def merge_by_first_column(source: RowReader, target: RowReader) -> Iterator[tuple[int, Any, Any]]:
    """Yield (value, the source's row, the target's row) for each value of the first column.

    Both readers give rows in the order of their first column, an integer that doesn't repeat. The rows come without
    that column, and None stands for the side that lacks the value. Stops both readers in the end.
    """
    try:
        left, right = iter(source), iter(target)
        in_source, in_target = next(left, None), next(right, None)
        while in_source is not None or in_target is not None:
            value = min(row[0] for row in (in_source, in_target) if row is not None)
            source_has = in_source is not None and in_source[0] == value
            target_has = in_target is not None and in_target[0] == value
            yield (
                value,
                in_source[1:] if in_source and source_has else None,
                in_target[1:] if in_target and target_has else None,
            )
            in_source = next(left, None) if source_has else in_source
            in_target = next(right, None) if target_has else in_target
    finally:
        for reader in (source, target):
            reader.stop()


def ask_both(
    source: Connection, source_query: sql.Composed, target: Connection, target_query: sql.Composed
) -> tuple[Any, Any]:
    """Run a query of one row on each side, both at the same time, and return the two rows."""
    readers = RowReader(source, source_query), RowReader(target, target_query)
    try:
        [source_row], [target_row] = readers
    finally:
        for reader in readers:
            reader.stop()
    return source_row, target_row
