"""The demo's application tables: the same seed gives the same rows; a change inserts, updates and deletes some."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg

from include.contracts import read_contracts
from include.stack.demo import change_tables, make_tables

UNTIL = datetime(2026, 3, 4, tzinfo=UTC)
OWNED = [contract for contract in read_contracts() if not contract.is_landed]


def _rows(uri: str) -> dict[str, list[tuple[Any, ...]]]:
    with psycopg.connect(uri) as connection:
        return {c.name: connection.execute(f"select * from {c.schema}.{c.table} order by id").fetchall() for c in OWNED}


def test_same_seed_gives_same_rows_and_a_second_call_adds_none(source_uri: str, target_uri: str) -> None:
    assert make_tables(source_uri, until=UNTIL)
    assert make_tables(target_uri, until=UNTIL)
    assert not make_tables(source_uri, until=UNTIL)
    assert _rows(source_uri) == _rows(target_uri)
    assert min(len(rows) for rows in _rows(source_uri).values()) >= 200


def test_a_round_of_changes_inserts_updates_and_deletes(source_uri: str) -> None:
    make_tables(source_uri, rows=500)
    before = _rows(source_uri)
    for seed in range(3):
        change_tables(source_uri, seed=seed)
    after = _rows(source_uri)
    for name, rows in before.items():
        old, new = {row[0]: row for row in rows}, {row[0]: row for row in after[name]}
        assert new.keys() - old.keys(), f"{name}: no row came"
        assert old.keys() - new.keys(), f"{name}: no row went"
        assert any(old[key] != new[key] for key in old.keys() & new.keys()), f"{name}: no row changed"
