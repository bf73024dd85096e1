"""The key of a sample: the shortest combination of columns that is unique in it.

Whether values are equal is told by their codes, see `include.contracts.sample`. A combination is compared code by code,
so that no two rows are taken for one.
"""

from __future__ import annotations

from array import array
from itertools import combinations, pairwise
from math import prod
from typing import NamedTuple

from include.contracts import sample as samples
from include.contracts.sample import Sample, distinct, parts_of

_MAX_KEY_COLUMNS = 4
_MAX_CANDIDATES = 20  # columns among which a key of several is looked for
_MAX_FULL_TESTS = 60  # of combinations that are unique in the first rows


class Key(NamedTuple):
    """The shortest combination of names that is unique, empty where there is none, and sentences that say how it is."""

    names: tuple[str, ...]
    notes: list[str]


def find_key(sample: Sample) -> Key:
    """Look for a key among the fields of a sample: of names like an id first, and the leftmost."""
    rows = sample.rows_coded
    coded = [
        (name, field.rank(), field.key_codes()) for name, field in sample.fields.items() if field.codes is not None
    ]
    fields = [(name, rank, codes) for name, rank, codes in coded if codes is not None and len(codes) == rows]
    fields.sort(key=lambda field: field[1])
    counts = {name: distinct(codes) for name, _, codes in fields}
    candidates = fields[:_MAX_CANDIDATES]
    where = "the sample" if rows == sample.rows else f"the first {rows:,} rows, the only ones that were compared,"
    alone = [name for name, _, _ in fields if counts[name] == rows]
    if alone:
        by_chance = "; by its name and type that may be chance" if sample.fields[alone[0]].rank() > 1 else ""
        return Key((alone[0],), [f"the key is {alone[0]}: every row of {where} has another{by_chance}"])
    shown = sorted(counts, key=lambda name: -counts[name])[:5]
    figures = "; ".join(f"{name} has {counts[name]:,} values in {rows:,} rows" for name in shown)
    figures = figures or "none is there in every row"
    ordered = sorted(candidates, key=lambda candidate: list(sample.fields).index(candidate[0]))
    if len(ordered) > 1 and _is_unique([codes for _, _, codes in ordered], rows):
        names, gave_up = _combination(ordered, counts, rows)
        if names:
            joined = " and ".join(names)
            return Key(names, [f"no column alone is a key: {figures}", f"the key is {joined}: unique in {where}"])
        reason = "too many combinations to try" if gave_up else f"nor {_MAX_KEY_COLUMNS} of them together"
        return Key((), [f"no key: no column is unique in {where} ({figures}), {reason}"])
    return Key((), [f"no key: no column, nor all that have a value in every row, are unique in {where} ({figures})"])


def _combination(
    candidates: list[tuple[str, int, array[int]]], counts: dict[str, int], rows: int
) -> tuple[tuple[str, ...], bool]:
    """Return the names of the shortest unique combination, and whether the search was given up."""
    tests = 0
    for size in range(2, min(_MAX_KEY_COLUMNS, len(candidates)) + 1):
        for group in sorted(combinations(candidates, size), key=lambda group: sum(rank for _, rank, _ in group)):
            if prod(counts[name] for name, _, _ in group) < rows:
                continue
            codes = [codes for _, _, codes in group]
            if not (_is_unique(codes, min(rows, 1000)) and _is_unique(codes, min(rows, 30_000))):
                continue
            if _is_unique(codes, rows):
                return tuple(name for name, _, _ in group), False
            tests += 1
            if tests == _MAX_FULL_TESTS:
                return (), True
    return (), False


def _is_unique(columns: list[array[int]], rows: int) -> bool:
    """Return whether the first rows differ from each other in these columns."""
    first = columns if rows == len(columns[0]) else [column[:rows] for column in columns]
    if rows <= samples.AT_ONCE:
        return len(set(zip(*first, strict=True))) == rows
    repeated = _repeated(array("q", map(hash, zip(*first, strict=True))))
    seen = set()
    for row in zip(*first, strict=True) if repeated else ():
        if hash(row) in repeated:
            if row in seen:
                return False
            seen.add(row)
    return True


def _repeated(codes: array[int]) -> set[int]:
    found = set()
    for part in parts_of(codes):
        if len(set(part)) < len(part):
            part_sorted = sorted(part)
            found |= {code for code, after in pairwise(part_sorted) if code == after}
    return found
