"""Valid rows into their table, one chunk at a time, while the next rows are still being judged.

A row goes in unless it equals the newest version of its key. Most rows have a key that neither the table nor the chunk
holds: those are copied straight into the table. The others go into a temporary table, the stage, and are compared there
in the order of their file and line. Example, with the key 1 in the table as (1, a) and a chunk of four lines:

    line 1: (2, x)     a new key                  copied
    line 2: (1, a)     equals the table's newest  duplicate
    line 3: (1, b)     differs from line 2        a version
    line 4: (1, b)     equals line 3              duplicate

Lines 2 to 4 are staged, because the index finds their key in the table.

Rows that come late are all staged. Each is compared with the version before its place in the order of the deliveries
and gets the `_loaded_at` of that place. Rows without a key are never compared: all of them go in.
"""

from __future__ import annotations

import queue
import re
import sys
import threading
from collections import Counter
from itertools import count
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from include.contracts import Contract
from include.contracts.names import first_free
from include.landing.deliveries import Place
from include.landing.tables import NEWEST_FIRST, column_list, key_hash, name_of
from include.postgres import Connection, safe_message
from include.storage import UnusableFileError

_EMPTY_STAGE = sql.SQL("truncate stage")
CHUNK_CHARACTERS = 4 << 20  # of COPY text that are merged at once

# Types whose values are equal exactly where their texts are. A key of other types (1.0 and 1.00, a time in two zones)
# can't be looked up by the text of a line, so such rows are all staged.
_PLAIN_TYPES = {"text", "varchar", "smallint", "integer", "bigint", "date", "boolean"}

_Blocks = list[tuple[str, list[str]]]  # paths of files, each with some of its lines


class _Chunk(NamedTuple):
    """Lines that are merged at once. The thread that writes prepares it, so that the server never waits for that."""

    blocks: _Blocks
    data: bytes  # the lines as COPY takes them
    keys: list[str]  # one text per column of the key, with one line per row; empty where keys can't be looked up
    suspects: set[int]  # numbers, from 1, of the rows that must be staged whatever the table holds


class Merger:
    """Takes rows as text for COPY and merges them, in a thread of its own and in the transaction that is open.

    `create_stage` must have been called in the session. On leaving the `with` block all rows are in the table, and
    `loaded` says how many of each file; an exception inside the block leaves it to the transaction to undo them.
    """

    def __init__(self, connection: Connection, contract: Contract, place: Place | None = None) -> None:
        """Without a place, the rows are newer than all that are in the table."""
        self.loaded: Counter[str] = Counter()  # rows by file
        self._connection = connection
        self._is_compared = bool(contract.key)
        self._is_placed = place is not None
        self._statements = _statements(contract, place) if contract.key else _statements_without_key(contract, place)
        names = [column.name for column in contract.columns]
        self._key = [names.index(name) for name in contract.key]
        types = {column.type.partition("(")[0] for column in contract.columns if column.is_key}
        self._is_key_plain = types <= _PLAIN_TYPES and place is None
        self._blocks: _Blocks = []
        self._size = 0
        self._chunks: queue.Queue[_Chunk | None] = queue.Queue(maxsize=1)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Merger:
        # The thread that merges needs the interpreter only briefly, between two waits for the server. By default it
        # would wait 5 ms each time for the thread that judges rows; this is set back at the end of the block.
        self._interval = sys.getswitchinterval()
        sys.setswitchinterval(0.0005)
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._hand_over()
        self._chunks.put(None)
        self._thread.join()
        sys.setswitchinterval(self._interval)
        if kind is None and self._error is not None:
            raise self._error

    def write(self, path: str, lines: list[str]) -> None:
        """Take lines of a file, each with its line end: the columns, the path and the line's number."""
        self._blocks.append((path, lines))
        self._size += sum(map(len, lines))
        if self._size > CHUNK_CHARACTERS:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._error is not None:
            raise self._error
        if self._blocks:
            self._chunks.put(self._chunk(self._blocks))
        self._blocks = []
        self._size = 0

    def _chunk(self, blocks: _Blocks) -> _Chunk:
        """Cut the keys out of the lines, and find the rows that can't be compared with the table by their key's text.

        Those are rows whose key stands in the chunk more than once, and rows whose key holds an escaped character.
        """
        lines = [line for _, block in blocks for line in block]
        data = "".join(lines).encode()
        if not self._is_compared:
            return _Chunk(blocks, data, [], set(range(1, len(lines) + 1)) if self._is_placed else set())
        columns = [[line.split("\t", place + 1)[place] for line in lines] for place in self._key]
        texts = ["\n".join(column) for column in columns]  # COPY's text format escapes line breaks
        if not (self._is_key_plain and all(texts)):
            return _Chunk(blocks, data, [], set(range(1, len(lines) + 1)))
        suspects: set[int] = set()
        keys = columns[0] if len(columns) == 1 else list(map("\t".join, zip(*columns, strict=True)))
        if len(set(keys)) < len(keys):
            times = Counter(keys)
            suspects.update(number for number, key in enumerate(keys, 1) if times[key] > 1)
        if any("\\" in text for text in texts):  # an escaped text is not the key's value
            for column in columns:
                suspects.update(number for number, key in enumerate(column, 1) if "\\" in key and key != "\\N")
        return _Chunk(blocks, data, texts, suspects)

    def _work(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            if self._error is None:
                try:
                    self._merge(chunk)
                except BaseException as error:  # handed to the thread that writes
                    self._error = error

    def _merge(self, chunk: _Chunk) -> None:
        """Copy the rows whose key is new, stage the others and append those that are versions."""
        compared = chunk.suspects
        if chunk.keys and self._statements.find_keys is not None:
            compared.update(number for (number,) in self._execute(self._statements.find_keys, chunk.keys))
        if not compared:
            self._copy(self._statements.copy, chunk.data)
            for path, block in chunk.blocks:
                self.loaded[path] += len(block)
            return
        staged, direct = [], []
        numbers = count(1)
        for path, block in chunk.blocks:
            for line in block:
                if next(numbers) in compared:
                    staged.append(line)
                else:
                    direct.append(line)
                    self.loaded[path] += 1
        self._copy(self._statements.copy, "".join(direct).encode())
        self._execute(_EMPTY_STAGE)
        self._copy(self._statements.stage, "".join(staged).encode())
        if self._statements.drop_repetitions is not None:
            self._execute(self._statements.drop_repetitions)
        self.loaded.update(dict(self._execute(self._statements.append)))

    def _execute(self, statement: sql.SQL | sql.Composed, values: list[str] | None = None) -> psycopg.Cursor[Any]:
        # Never prepared: a plan that was made for an empty table would scan a grown one for every row.
        return self._connection.execute(statement, values, prepare=False)

    def _copy(self, statement: sql.Composed, data: bytes) -> None:
        if not data:
            return
        try:
            with self._connection.cursor().copy(statement) as copy:
                copy.write(data)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise _rejected(error, data) from None


def create_stage(connection: Connection, contract: Contract) -> None:
    """Create the session's stage: the temporary table in which rows are compared."""
    connection.execute("set client_min_messages = warning")
    connection.execute("set temp_buffers = '32MB'")
    connection.execute(
        sql.SQL("create temp table stage as select {}, _file, _line from {} with no data").format(
            column_list(contract), name_of(contract)
        )
    )


class _Statements(NamedTuple):
    find_keys: sql.Composed | None  # numbers of the rows whose key is in the table; None without a key
    copy: sql.Composed
    stage: sql.Composed
    drop_repetitions: sql.Composed | None  # None without a key
    append: sql.Composed


_COPY = sql.SQL("copy {table} ({columns}, _file, _line) from stdin")
_STAGE = sql.SQL("copy stage ({columns}, _file, _line) from stdin")


def _statements_without_key(contract: Contract, place: Place | None) -> _Statements:
    """Compose the statements for rows that are compared with none."""
    parts = {
        "table": name_of(contract),
        "columns": column_list(contract),
        "at": sql.SQL("now()") if place is None else sql.Literal(place.at),
    }
    append = sql.SQL(
        "with appended as (insert into {table} ({columns}, _file, _line, _loaded_at)"
        " select {columns}, _file, _line, {at} from stage returning _file)"
        " select _file, count(*) from appended group by _file"
    )
    return _Statements(None, _COPY.format(**parts), _STAGE.format(**parts), None, append.format(**parts))


def _statements(contract: Contract, place: Place | None) -> _Statements:
    """Compose the statements of merging.

    In the stage, a row that equals the row before it of the same key is dropped first. Then only the first row of each
    key is compared with the table's newest version: every other one differs from the row before it.
    """
    types = {column.name: column.type for column in contract.columns}
    key = [sql.Identifier(name) for name in contract.key]
    # They stand beside the contract's columns, of which one may be called so.
    ours = {name: sql.Identifier(first_free(name, set(types))) for name in ("number", "placed_at", "is_duplicate")}
    parts: dict[str, sql.Composable] = {
        **ours,
        "at": sql.SQL("now()"),
        "until": sql.SQL(""),
        "table": name_of(contract),
        "columns": column_list(contract),
        "staged": column_list(contract, "stage"),
        "old": column_list(contract, "newest"),
        "hash": key_hash(contract, "stage"),
        "table_hash": key_hash(contract, "t"),
        "newest_first": NEWEST_FIRST,
        "same_key": sql.SQL(" and ").join(
            sql.SQL("{} is not distinct from {}").format(sql.Identifier("t", name), sql.Identifier("stage", name))
            for name in contract.key
        ),
        "key": sql.SQL(", ").join(key),
        "texts": sql.SQL(", ").join(sql.SQL(r"string_to_table(%s, E'\n', '\N')") for _ in key),
        "values": sql.SQL(", ").join(
            sql.SQL("keys.{}::{}").format(name, sql.SQL(types[text]))
            for name, text in zip(key, contract.key, strict=True)
        ),
    }
    if place is not None:
        parts |= _placed(place, parts)
    # LIMIT in a lateral join forces one index lookup per key; a plain join may read the whole table for each chunk.
    find_keys = sql.SQL(
        "select {number} from rows from ({texts}) with ordinality as keys({key}, {number}) cross join lateral"
        " (select from {table} t where {table_hash} = hash_record_extended(row({values}), 0) limit 1) as found"
    )
    drop_repetitions = sql.SQL(
        "delete from stage using ("
        " select ctid as tid, row({staged}) is not distinct from lag(row({staged})) over same_key as is_same"
        " from stage window same_key as (partition by {hash} order by _file, _line)"
        ") as compared where compared.tid = stage.ctid and compared.is_same"
    )
    append = sql.SQL(
        "with appended as ("
        "insert into {table} ({columns}, _file, _line, _loaded_at) select {columns}, _file, _line, {placed_at} from ("
        " select stage.*, row_number() over (partition by {hash} order by stage._file, stage._line) = 1"
        "  and newest._line is not null and row({staged}) is not distinct from row({old}) as {is_duplicate}"
        " from (select stage.*, {at} as {placed_at} from stage) as stage left join lateral ("
        "  select t.* from {table} t where {table_hash} = {hash} and {same_key}{until}"
        "  order by {newest_first} limit 1"
        " ) as newest on true"
        ") as compared where not {is_duplicate} returning _file"
        ") select _file, count(*) from appended group by _file"
    )
    return _Statements(
        find_keys.format(**parts),
        _COPY.format(**parts),
        _STAGE.format(**parts),
        drop_repetitions.format(**parts),
        append.format(**parts),
    )


def _placed(place: Place, parts: dict[str, sql.Composable]) -> dict[str, sql.Composable]:
    """Return the parts of statements for rows that have their place before others."""
    times = {"at": sql.Literal(place.at), "before": sql.Literal(place.before), "later": sql.Literal(list(place.later))}
    at = sql.SQL(
        "case when exists (select from {table} t where {table_hash} = {hash} and {same_key}"
        " and t._loaded_at < {at} and t._file = any({later}::text[])) then {before} else {at} end"
    )
    until = sql.SQL(" and (t._loaded_at, t._file, t._line) < (stage.{placed_at}, stage._file, stage._line)")
    return {"at": at.format(**(parts | times)) if place.later else times["at"], "until": until.format(**parts)}


def _rejected(error: psycopg.Error, data: bytes) -> UnusableFileError:
    """Return the error that says which row of which file Postgres did not take, without its values."""
    place = re.search(r", line ([0-9]+)(?:, column (\S+?))?(:|$)", error.diag.context or "")
    where = "a row"
    if place:
        *_, path, line = data.split(b"\n")[int(place[1]) - 1].decode().split("\t")
        where = f"{path} line {line}" + (f", column {place[2]}" if place[2] else "")
    return UnusableFileError(
        f"is rejected by Postgres at {where}: {safe_message(error)}: compare the contract with the table's types"
        " and constraints"
    )
