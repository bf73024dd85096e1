"""Which of two files is the newer delivery, told by the contract and not by the bytes of their names."""

from __future__ import annotations

import dataclasses
import os
from itertools import pairwise
from pathlib import Path

import pytest

from include.landing import pending_files
from include.landing.order import comparable, in_order, name_position
from include.storage import Root
from tests.landing.conftest import THINGS, write_contract

ORDERS = [
    ("name", ["o_1.json", "o_2.json", "o_9.json", "o_10.json", "o_100.json"]),
    ("name", ["o_08.json", "o_9.json", "o_0010.json"]),
    ("name", ["o_2026-01-31.json", "o_2026-02-01.json", "o_2026-10-01.json"]),
    ("name", ["o_20260131.json", "o_20260201.json"]),
    ("name", ["d=2/h=10.json", "d=10/h=9.json", "d=10/h=10.json"]),
    ("name", ["a.json", "b.json", "b_1.json"]),
    ("name", ["o_007.json", "o_7.json"]),  # one number: the bytes decide
    (r"v(\d+)", ["c_v2.json", "a_v9.json", "b_v10.json"]),
    (r"_(\w+)\.json", ["x_2026a.json", "x_2026b.json"]),
    (r"(\d+)?\.json", ["a.json", "b.json", "x_1.json"]),  # without the part: first, by their names
]


@pytest.mark.parametrize(("order", "paths"), ORDERS)
def test_names_are_ordered_as_the_contract_says(tmp_path: Path, order: str, paths: list[str]) -> None:
    contract = dataclasses.replace(write_contract(tmp_path, THINGS), delivery_order=order)
    for given in (paths, paths[::-1]):
        assert [delivery.path for delivery in in_order(contract, given, Root(str(tmp_path)))] == paths


def test_positions_that_can_be_compared_are_ordered_by_their_bytes(tmp_path: Path) -> None:
    contract = write_contract(tmp_path, THINGS)
    for order, paths in ORDERS:
        found = in_order(dataclasses.replace(contract, delivery_order=order), paths, Root(str(tmp_path)))
        for one, other in pairwise(delivery.position for delivery in found):
            if comparable(one) == comparable(other):
                assert one.encode() <= other.encode()


def test_names_that_differ_in_more_than_numbers_can_not_be_compared() -> None:
    assert comparable(name_position("o_9.json")) == comparable(name_position("o_10.json"))
    assert comparable(name_position("north.json")) != comparable(name_position("south.json"))
    assert comparable(name_position("o_1.json")) != comparable(name_position("o_1b.json"))


def test_files_wait_in_the_order_of_their_times_where_the_contract_says_so(tmp_path: Path) -> None:
    contract = dataclasses.replace(write_contract(tmp_path, THINGS), path="toys/*.json", delivery_order="modified")
    for name, time in (("b", 3), ("a", 1), ("c", 2)):
        file = tmp_path / "toys" / f"{name}.json"
        file.parent.mkdir(exist_ok=True)
        file.touch()
        os.utime(file, (time, time))
    assert pending_files(contract, str(tmp_path)) == ["toys/a.json", "toys/c.json", "toys/b.json"]
