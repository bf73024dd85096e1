"""What the target says of its transfers."""

from __future__ import annotations

from include.transfer import summary
from tests.transfer.conftest import execute, move


def test_the_summary_has_the_last_run_of_each_table(source_uri: str, target_uri: str) -> None:
    assert str(summary(target_uri)) == "transferred: nothing yet"
    execute(source_uri, "create table t (id int primary key)", "create table u (v int)", "insert into t values (1)")
    move(source_uri, target_uri)
    execute(source_uri, "insert into t values (2)")
    move(source_uri, target_uri, verify=False, include=["public.t"])
    section = summary(target_uri)
    assert section.title == "transferred"
    assert section.columns == ("source", "target", "mode", "rows", "seconds", "verdict")
    assert [(row["source"], row["mode"], row["rows"], row["verdict"]) for row in section.rows] == [
        ("public.t", "key", 2, "counted"),
        ("public.u", "full", 0, "verified"),
    ]
