"""An error names what to do and shows neither a password nor a value."""

from __future__ import annotations

import re

import psycopg
import pytest

from include.errors import WarehouseError
from include.postgres import StatementRefusedError, safe_message
from include.transfer import ensure_audit, plan, release_snapshot, shared_snapshot
from include.transfer.session import connect
from tests.transfer.conftest import execute, move


def test_no_error_tells_a_password_or_a_value(source_uri: str, target_uri: str) -> None:
    password = source_uri.split(":")[2].split("@")[0]
    wrong = [
        source_uri.replace(password, "wrong-secret"),
        source_uri + "?nonsense=1&password=wrong-secret",
        "postgresql://u:wrong-secret@[::1:99/x",
        "postgresql://u:wrong-secret@127.0.0.1:1/x",
    ]
    for uri in wrong:
        with pytest.raises(WarehouseError) as error:
            plan(uri, target_uri)
        assert "wrong-secret" not in str(error.value)
        assert error.value.__cause__ is None and error.value.__suppress_context__
    execute(source_uri, "create table t (email text unique)", "insert into t values ('a@example.com')")
    for statement in (
        "insert into t values ('a@example.com')",
        "select 'a@example.com'::integer",
        "select 'a@example.com'::json",
        "alter table t add check (email = 'b')",
    ):
        with pytest.raises(psycopg.Error) as raised:
            execute(source_uri, statement)
        assert "example.com" in str(raised.value) or raised.value.sqlstate == "23514"
        assert "example.com" not in safe_message(raised.value)


def test_a_missing_right_on_the_snapshots_of_runs_is_one_sentence(target_uri: str) -> None:
    database = target_uri.split("/")[-1]
    with connect(target_uri, "target") as target:
        ensure_audit(target)
    execute(
        target_uri,
        "create role transfer_poor login password 'poor'",
        f"grant connect on database {database} to transfer_poor",
        "grant usage on schema transfer to transfer_poor",
    )
    poor = re.sub(r"//.*@", "//transfer_poor:poor@", target_uri)
    for ask in (lambda: shared_snapshot(poor, "r", timeout=0), lambda: release_snapshot(poor, "r")):
        with pytest.raises(StatementRefusedError, match=r"^target: permission denied for table snapshots"):
            ask()
    execute(target_uri, "drop owned by transfer_poor", "drop role transfer_poor")


@pytest.mark.parametrize("missing", ["audit", "schema"])
def test_a_missing_right_to_create_comes_with_the_grant_that_gives_it(
    source_uri: str, target_uri: str, missing: str
) -> None:
    execute(source_uri, "create schema shop", "create table shop.item (id int primary key)")
    execute(target_uri, "create role \"odd-role\" login password 'poor'")
    if missing == "schema":
        with connect(target_uri, "target") as target:
            ensure_audit(target)
        execute(
            target_uri,
            'grant usage on schema transfer to "odd-role"',
            'grant all on all tables in schema transfer to "odd-role"',
        )
    poor = re.sub(r"//.*@", "//odd-role:poor@", target_uri)
    try:
        with pytest.raises(WarehouseError, match="can't make the schema") as refused:
            move(source_uri, poor)
        execute(target_uri, str(refused.value)[str(refused.value).index("grant create") :])
        assert set(move(source_uri, poor)) == {"shop.item"}
    finally:
        execute(target_uri, 'drop owned by "odd-role" cascade', 'drop role "odd-role"')
