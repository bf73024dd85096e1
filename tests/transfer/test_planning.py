"""Which tables a run moves and how: the choice, and what overrides it."""

from __future__ import annotations

import pytest

from include.transfer import TransferError, plan, read_modes
from tests.transfer.conftest import LANDED, execute, move, rows


def test_the_choice_of_a_mode_can_be_overridden_by_pattern(source_uri: str, target_uri: str) -> None:
    execute(source_uri, *LANDED, "create table plain (v int)")
    modes = read_modes("retail.e*=full, retail.*=key")
    planned = {p.source: p for p in plan(source_uri, target_uri, include=["retail.*"], modes=modes)}
    assert planned["retail.events"].mode == "full" and "configured" in planned["retail.events"].reason
    assert "later runs key comparison: configured" in planned["retail.account"].reason
    execute(target_uri, "create schema retail", "create table retail.account (id bigint primary key)")
    [of_others] = plan(source_uri, target_uri, include=["retail.account"])
    assert of_others.reason.startswith("full refresh: not moved before, later runs key comparison")
    with pytest.raises(TransferError, match=r"public.plain: mode key is configured, but the table lacks a key"):
        plan(source_uri, target_uri, modes=read_modes("*.plain=key"))
    for text in ("retail.*", "=full", "retail.*=fast"):
        with pytest.raises(TransferError, match="write PATTERN=MODE"):
            read_modes(text)


def test_transferred_tables_can_be_transferred_on(source_uri: str, target_uri: str, old_uri: str) -> None:
    execute(source_uri, "create table t as select 1 as v")
    for _ in range(2):
        move(source_uri, old_uri)
        assert [p.source for p in plan(old_uri, target_uri)] == ["public.t"]
        move(old_uri, target_uri)
    assert rows(target_uri, "select distinct target from transfer.runs") == [("public.t",)]
    execute(source_uri, "create schema transfer", "create table transfer.runs (id int)")
    with pytest.raises(TransferError, match=r"transfer.runs: the transfer keeps its own tables .*: exclude"):
        plan(source_uri, target_uri)
