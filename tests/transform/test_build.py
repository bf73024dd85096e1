"""`warehouse build --select` says in seconds what is wrong, and a selection that matches nothing is wrong."""

from __future__ import annotations

import psycopg
import pytest

from tests.transform.conftest import Project

VISITS_TABLE = """
create schema raw_web;
create table raw_web.visits (
    visit_id bigint, at timestamptz, "order" varchar(8), kind text, stars smallint, paid numeric(12,2),
    weight double precision, is_new boolean, day date, token uuid, extra jsonb, guests jsonb, email text,
    _file text, _line bigint, _loaded_at timestamptz, _xid xid8);
insert into raw_web.visits (visit_id, at, kind) values (1, '2026-01-01', 'robot');
"""


@pytest.fixture
def visits(project: Project, target_uri: str) -> Project:
    project.model_new("web.visits", "visits_by_number")
    project.model_new("web.page-texts")  # its raw table is not there, so a build of all would fail
    with psycopg.connect(target_uri) as connection:
        connection.execute(VISITS_TABLE)
    return project


def test_selection_builds_what_it_names_and_unit_tests_run_when_asked_for(visits: Project, target_uri: str) -> None:
    done = visits.warehouse("build", "--select", "+visits_by_number", "--database", target_uri)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unit_test" not in done.stdout and "page_texts" not in done.stdout
    (yml,) = visits.dbt.rglob("visits_by_number.yml")
    expected = yml.read_text().rpartition("expect:")
    yml.write_text(expected[0] + "expect:" + expected[2].replace("visit_id: 1", "visit_id: 9"))
    done = visits.warehouse("build", "--select", "+visits_by_number", uri=target_uri)
    assert done.returncode == 0, done.stdout + done.stderr
    done = visits.warehouse("build", "--select", "+visits_by_number", "--unit-tests", uri=target_uri)
    assert done.returncode == 1
    assert "FAIL 1 visits_by_number::visits_by_number_follows_its_rule" in done.stdout
    with psycopg.connect(target_uri) as connection:
        assert connection.execute("select visit_id from marts.visits_by_number").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ref('stg_web__visits')", "ref('stg_web__visitors')", "depends on a node named 'stg_web__visitors'"),
        ("kind,", "kind || 'x' as sort,", "This model has an enforced contract that failed"),
        ("kind,", "kindd,", 'column "kindd" does not exist'),
    ],
)
def test_what_is_wrong_with_a_model_is_said(visits: Project, target_uri: str, old: str, new: str, said: str) -> None:
    (model,) = visits.dbt.rglob("visits_by_number.sql")
    model.write_text(model.read_text().replace(old, new))
    done = visits.warehouse("build", "--select=+visits_by_number", uri=target_uri)
    assert done.returncode == 1
    assert said in done.stdout


def test_selection_that_matches_nothing_is_an_error_with_the_models(project: Project) -> None:
    project.model_new("web.visits", "visits_by_number")
    done = project.warehouse("build", "--select", "+visits_by_nmber")
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert said[0] == (
        "--select '+visits_by_nmber' matches nothing that can be built or tested (did you mean visits_by_number?). "
        "The models are:"
    )
    assert said[1:3] == ["  marts.web.visits_by_number", "  staging.web.stg_web__visits"]
    assert "+name also what it reads" in said[3]
