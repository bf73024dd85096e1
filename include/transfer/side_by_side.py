"""One question to both servers at the same time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

from psycopg import sql

from include.postgres import Connection


class Reading:
    """The rows of a query, read by a thread of its own so that two servers work at the same time."""

    def __init__(self, connection: Connection, statement: sql.Composed) -> None:
        self._rows: queue.Queue[tuple[Any, ...] | BaseException | None] = queue.Queue(maxsize=8)
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(connection, statement), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while (row := self._rows.get()) is not None:
            if isinstance(row, BaseException):
                raise row
            yield row

    def abandon(self) -> None:
        """Stop reading; the connection is free for others afterwards."""
        self._abandoned.set()
        self._thread.join()

    def _read(self, connection: Connection, statement: sql.Composed) -> None:
        try:
            with connection.cursor() as cursor:
                for row in cursor.stream(statement, binary=True):
                    if not self._put(row):
                        return
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _put(self, row: tuple[Any, ...] | BaseException | None) -> bool:
        while not self._abandoned.is_set():
            try:
                self._rows.put(row, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False


def side_by_side(ours: Reading, theirs: Reading) -> Iterator[tuple[int, Any, Any]]:
    """Yield each chunk and what both sides have of it, None for a side that has nothing. Both come in order."""
    try:
        left, right = iter(ours), iter(theirs)
        here, there = next(left, None), next(right, None)
        while here is not None or there is not None:
            chunk = min(row[0] for row in (here, there) if row is not None)
            is_here, is_there = here is not None and here[0] == chunk, there is not None and there[0] == chunk
            yield chunk, here[1:] if here and is_here else None, there[1:] if there and is_there else None
            here = next(left, None) if is_here else here
            there = next(right, None) if is_there else there
    finally:
        for reading in (ours, theirs):
            reading.abandon()


def ask_both(source: Connection, ours: sql.Composed, target: Connection, theirs: sql.Composed) -> tuple[Any, Any]:
    """Return the one row that each side answers with."""
    readings = Reading(source, ours), Reading(target, theirs)
    try:
        [here], [there] = readings
    finally:
        for reading in readings:
            reading.abandon()
    return here, there
