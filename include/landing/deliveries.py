"""Which files are deliveries that are still to be landed, and where in the order of the deliveries each one stands.

- A path that comes with the bytes it was last landed with is the same file again, as after a run that was killed before
  it moved the file to the archive. It is nothing new.
- Bytes that equal those of the delivery before it change nothing either. Of a dataset without a key they count.
- Every other file is a delivery, also one whose bytes came before: a state may go back to what it was.

A delivery that comes late, after one that is later in the order, takes its place before that one: its rows get a
`_loaded_at` before that of the later rows. What is asked here is asked under the dataset's lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString, NamedTuple, Protocol

from include.contracts import Contract
from include.landing.order import comparable
from include.postgres import Connection

_BEFORE_ALL = timedelta(hours=1)  # between a late delivery and the first one, so that others fit in between
_STEP = timedelta(microseconds=1)


class IncomingFile(Protocol):
    """What identifies a file on its way into the table."""

    path: str
    position: str
    sha256: str
    is_held: bool


class Landed(NamedTuple):
    """What landing.files keeps of a delivery: where it stands, and how many rows became what."""

    path: str
    sha256: str
    position: str
    status: str
    counts: tuple[int, int, int, int]  # read, loaded, duplicate, rejected
    note: str = ""
    ordered_at: datetime | None = None  # None: now
    header: str | None = None


@dataclass(frozen=True)
class Place:
    """The place of a late delivery's rows: `at`, but `before` those of a later delivery that has the key too."""

    at: datetime
    before: datetime
    later: tuple[str, ...] = ()  # paths of later deliveries whose rows stand at or before `at`


@dataclass(frozen=True)
class Verdict:
    """What a file is, given all that has landed."""

    landed_as: str | None = None  # the path of the delivery that it repeats
    is_returning: bool = False  # other bytes have landed under its path
    is_late: bool = False


def judge_files(connection: Connection, contract: Contract, files: Sequence[IncomingFile]) -> list[Verdict]:
    """Say of files, given in the order of their deliveries, which ones are still to be landed.

    A late file is judged by itself, see `place_of`: the answer holds until another file lands.
    """
    found = _rows(
        connection,
        "select latest.sha256, later.position is not null, earlier.sha256, earlier.path"
        " from unnest(%(paths)s::text[], %(positions)s::text[], %(first)s::text[], %(last)s::text[])"
        "  with ordinality as file(path, position, first, last, n)"
        " left join lateral ("
        "  select sha256 from landing.files f where dataset = %(dataset)s and f.path = file.path and status = 'landed'"
        "  order by loaded_at desc, delivery desc limit 1) as latest on true"
        " left join lateral ("
        "  select position from landing.files f where dataset = %(dataset)s and status = 'landed'"
        "  and f.position > file.position and f.position < file.last limit 1) as later on true"
        " left join lateral ("
        "  select sha256, path from landing.files f where dataset = %(dataset)s and status = 'landed'"
        "  and f.position <= file.position and f.position > file.first"
        '  order by position desc, ordered_at desc, path collate "C" desc limit 1) as earlier on later is not null'
        " order by n",
        named={
            "dataset": contract.name,
            "paths": [file.path for file in files],
            "positions": [file.position for file in files],
            "first": [comparable(file.position) for file in files],
            "last": [_end(file.position) for file in files],
        },
    )
    before = _newest(connection, contract)  # of the deliveries that are not late
    verdicts = []
    for file, (latest, is_late, earlier_sha256, earlier_path) in zip(files, found, strict=True):
        if latest == file.sha256:
            verdicts.append(Verdict(file.path))
            continue
        if contract.without_key:
            verdicts.append(Verdict(is_returning=latest is not None))
            continue
        same = (earlier_path if earlier_sha256 == file.sha256 else None) if is_late else before.get(file.sha256)
        verdicts.append(Verdict(same, is_returning=latest is not None, is_late=is_late))
        if not is_late and not file.is_held:
            before = {file.sha256: file.path}
    return verdicts


def place_of(connection: Connection, contract: Contract, position: str) -> Place:
    """Return the place of a late delivery: just behind the last one before it, or before all that come later."""
    found = _rows(
        connection,
        "select ordered_at from landing.files where dataset = %(dataset)s and status = 'landed'"
        " and position > %(first)s and position <= %(position)s order by position desc, ordered_at desc limit 1",
        named=_named(contract, position),
    )
    if found:
        ((last,),) = _rows(
            connection,
            "select max(ordered_at) from landing.files where dataset = %(dataset)s and status = 'landed'"
            " and ordered_at between %(at)s and %(at)s + interval '1 ms'",  # other late ones at the same place
            named={"dataset": contract.name, "at": found[0][0]},
        )
        at = last + _STEP
    else:
        ((first,),) = _rows(
            connection,
            "select min(ordered_at) from landing.files where dataset = %(dataset)s and status = 'landed'"
            " and position > %(position)s and position < %(last)s",
            named=_named(contract, position),
        )
        at = first - _BEFORE_ALL
    return _place(connection, contract, position, at)


def place_of_landed(connection: Connection, contract: Contract, delivery: int) -> Place:
    """Return the place of a delivery that has landed, for rows of it that come in afterwards."""
    ((position, at),) = _rows(
        connection,
        "select position, ordered_at from landing.files where dataset = %(dataset)s and delivery = %(delivery)s",
        named={"dataset": contract.name, "delivery": delivery},
    )
    return _place(connection, contract, position, at)


def _place(connection: Connection, contract: Contract, position: str, at: datetime) -> Place:
    """Return the place at a time. Files that landed at once share theirs, so some later ones may not stand behind."""
    later = _rows(
        connection,
        "select path, min(ordered_at) from landing.files where dataset = %(dataset)s and status = 'landed'"
        " and position > %(position)s and position < %(last)s and ordered_at < %(at)s group by path",
        named={**_named(contract, position), "at": at},
    )
    before = min((time for _, time in later), default=at + _STEP) - _STEP
    return Place(at, before, tuple(path for path, _ in later))


def _newest(connection: Connection, contract: Contract) -> dict[str, str]:
    """Return the hash of the newest delivery that has landed, with its path.

    Nothing where none has, and where a late one has landed since, of which rows may count as newer.
    """
    found = _rows(
        connection,
        "select sha256, path, loaded_at >= (select max(loaded_at) from landing.files where dataset = %(dataset)s"
        " and status = 'landed') from landing.files where dataset = %(dataset)s and status = 'landed'"
        ' order by ordered_at desc, path collate "C" desc, delivery desc limit 1',
        named={"dataset": contract.name},
    )
    return {sha256: path for sha256, path, is_last in found if is_last}


def _named(contract: Contract, position: str) -> dict[str, Any]:
    return {"dataset": contract.name, "position": position, "first": comparable(position), "last": _end(position)}


def _end(position: str) -> str:
    """Return what is greater than every position that this one can be compared with, and less than every other."""
    return comparable(position)[:-1] + chr(ord(comparable(position)[-1]) + 1)


def _rows(connection: Connection, statement: LiteralString, *, named: dict[str, Any]) -> list[tuple[Any, ...]]:
    return connection.execute(statement, named).fetchall()
