"""The demo's landing files: a day gives the same bytes each time; landing loads and rejects what the generator says."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import psycopg
import pytest

from include.contracts import read_contracts
from include.landing import land, pending_files
from include.stack.demo import make_landing_files

UNTIL = date(2026, 3, 4)


def _bytes(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_same_days_give_the_same_bytes(tmp_path: Path) -> None:
    make_landing_files(tmp_path / "a", until=UNTIL)
    make_landing_files(tmp_path / "b", until=UNTIL)
    assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b")


def test_overlapping_runs_agree_on_the_days_they_share(tmp_path: Path) -> None:
    make_landing_files(tmp_path / "a", days=3, until=UNTIL)
    make_landing_files(tmp_path / "b", days=1, until=UNTIL)
    first, second = _bytes(tmp_path / "a"), _bytes(tmp_path / "b")
    assert {name: first[name] for name in second} == second


@pytest.mark.parametrize("seed", [1, 2])
def test_landing_makes_of_the_files_what_the_generator_says(tmp_path: Path, source_uri: str, seed: int) -> None:
    root, archive = str(tmp_path / "in"), str(tmp_path / "archive")
    expected = make_landing_files(root, days=2, seed=seed, until=UNTIL)
    for contract in read_contracts():
        if contract.is_landed and contract.name in expected:
            found = land(contract, pending_files(contract, root), source_uri=source_uri, root=root, archive=archive)
            counts = expected[contract.name]
            assert len(found.files) == counts.files
            assert (found.rows_read, found.rows_loaded, found.rows_duplicate, found.rows_rejected) == (
                counts.rows,
                counts.loaded,
                counts.duplicates,
                counts.rejected,
            )
            assert pending_files(contract, root) == []
            with psycopg.connect(source_uri) as connection:
                stored = connection.execute(f"select count(*) from {contract.schema}.{contract.table}").fetchone()
            assert stored == (counts.loaded,)
    assert all(counts.rejected for counts in expected.values())
