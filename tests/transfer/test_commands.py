"""The verb `transfer`: what it moves, what it prints and what its exit code says."""

from __future__ import annotations

import argparse

import pytest

from include.cli import main
from include.transfer.commands import OwnTransfer, add_commands
from tests.transfer.conftest import execute, rows


def test_a_table_that_fails_is_a_sentence_and_an_exit_code_and_the_others_move(
    source_uri: str, target_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(source_uri, "create table t (v int)", "create table u (v int)", "insert into u values (1)")
    uris = ["--source", source_uri, "--target", target_uri]
    assert main(["transfer", *uris]) == 0
    assert "2 of 2 tables moved in" in capsys.readouterr().out
    execute(source_uri, "alter table t alter v type date using null")
    assert main(["transfer", *uris]) == 1
    printed = capsys.readouterr()
    assert "1 of 2 tables moved in" in printed.out and "failed" in printed.out
    assert "public.t: column v is date in the source and integer in the target" in printed.err
    assert "Traceback" not in printed.err
    assert main(["transfer", *uris, "--tables", "none.*"]) == 1
    assert "no table matches" in capsys.readouterr().err


def test_the_own_defaults_count_only_without_source_and_target(
    source_uri: str, target_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(
        source_uri,
        "create schema shop",
        "create table shop.item (id int primary key)",
        "create table shop.log_a ()",
        "create table other ()",
    )
    own = OwnTransfer(
        source_uri=lambda: source_uri,
        target_uri=lambda: target_uri,
        tables=lambda: ["shop.*"],
        exclude=["shop.log_*"],
        schema_prefix="raw_",
        modes="shop.item=full",
    )
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers(), own)

    def run(*options: str) -> str:
        args = parser.parse_args(["transfer", *options])
        assert args.handler(args) == 0
        return capsys.readouterr().out

    printed = run("--plan")
    assert "raw_shop.item" in printed and "configured" in printed and "other" not in printed
    with pytest.raises(AssertionError):
        run("--plan", "--tables", "shop.log_a", "--exclude", "nothing.*")
    assert "no table matches" in capsys.readouterr().err
    printed = run("--plan", "--source", source_uri)
    assert "raw_shop" not in printed and "configured" not in printed and "public.other" in printed
    run()
    assert rows(target_uri, "select target, verdict from transfer.runs") == [("raw_shop.item", "counted")]
