"""Mode `append`: what can't be seen by the transaction id is not lost."""

from __future__ import annotations

from tests.transfer.conftest import LANDED, execute, move


def test_rows_deleted_from_an_appended_table_cause_a_full_refresh(source_uri: str, target_uri: str) -> None:
    execute(source_uri, *LANDED, "insert into retail.events (id) select generate_series(1, 100)")
    move(source_uri, target_uri)
    execute(source_uri, "delete from retail.events where id < 10", "insert into retail.events (id) values (1000)")
    done = move(source_uri, target_uri)["retail.events"]
    assert (done.mode, done.rows) == ("full", 92)
    assert any("deleted or changed" in note for note in done.notes)


def test_rows_of_a_restored_dump_travel_though_their_transactions_are_unknown_here(
    source_uri: str, target_uri: str
) -> None:
    execute(source_uri, *LANDED, "insert into retail.events values (1, 'restored', '900000000000'), (2, 'null', null)")
    assert move(source_uri, target_uri)["retail.events"].rows == 2
    execute(source_uri, "insert into retail.events (id) values (3)")
    done = move(source_uri, target_uri)["retail.events"]
    assert (done.mode, done.rows, done.rows_changed) == ("append", 3, 1)
