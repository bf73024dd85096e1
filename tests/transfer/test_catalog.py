"""What a view can and can't be taken for."""

from __future__ import annotations

from tests.transfer.conftest import execute, move, texts


def test_a_view_moves_as_a_table_when_asked(source_uri: str, target_uri: str) -> None:
    execute(source_uri, "create view v as select i as id, 'x' || i as name from generate_series(1, 10) i")
    move(source_uri, target_uri, views=True, include=["public.v"])
    assert texts(source_uri, "v") == texts(target_uri, "v")


def test_a_view_with_a_transaction_id_of_its_own_moves_again(source_uri: str, target_uri: str) -> None:
    execute(
        source_uri,
        "create table t (id int, x xid8 default pg_current_xact_id())",
        "create view v as select * from t",
        "alter view v alter column x set default pg_current_xact_id()",
    )
    for number in range(3):
        execute(source_uri, f"insert into v (id) values ({number})")
        assert move(source_uri, target_uri, views=True)["public.v"].mode == "full"
        assert texts(source_uri, "v") == texts(target_uri, "v")
