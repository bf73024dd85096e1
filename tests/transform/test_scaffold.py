"""Drafted models parse, lint and build as they are written, whatever the contract's names, types and key are."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg
import pytest
import yaml
from psycopg import sql

from include import settings
from include.cli import main
from include.contracts import DEFAULT_OWNER, read_contracts
from include.landing import ensure_tables
from include.transform.columns import model_columns
from include.transform.scaffold import ModelError, draft_mart, draft_staging
from tests.landing.conftest import THINGS, write_contract
from tests.transform.conftest import Project


def test_drafts_parse_lint_and_build_on_rows(project: Project, target_uri: str) -> None:
    written = project.model_new("web.visits", "visits_by_number", "pages")
    written += project.model_new("web.page-texts", "texts")
    written += project.model_new("web.people", "people_by_state")
    written += project.model_new("web.secrets")
    written += project.model_new("web.lines")
    assert {path.relative_to(project.dbt / "models").as_posix() for path in written} == {
        *(
            f"staging/web/stg_web__{table}.{kind}"
            for table in ("visits", "page_texts", "people", "secrets", "lines")
            for kind in ("sql", "yml")
        ),
        *(f"marts/pages/visits_by_number.{kind}" for kind in ("sql", "yml")),
        *(f"marts/web/{mart}.{kind}" for mart in ("texts", "people_by_state") for kind in ("sql", "yml")),
    }
    # This project has no intermediate models, which alone may be worth a warning.
    strict = '--warn-error-options={"error": "all", "warn": ["UnusedResourceConfigPath"]}'
    parsed = project.run_dbt(strict, "parse")
    assert parsed.returncode == 0, parsed.stdout
    manifest = json.loads((project.scratch / "manifest.json").read_text())
    assert manifest["nodes"]["model.warehouse.visits_by_number"]["columns"]["at"]["description"] == "When, {{ at }}."
    linter = [
        str(Path(sys.executable).with_name("sqlfluff")),
        "lint",
        "--config",
        str(settings.PROJECT / "pyproject.toml"),
    ]
    linted = subprocess.run(
        [*linter, str(project.dbt / "models")], cwd=settings.PROJECT, capture_output=True, text=True
    )
    assert linted.returncode == 0, linted.stdout

    landed = [contract for contract in read_contracts(project.contracts) if contract.is_landed]
    assert ensure_tables(landed, target_uri) == []
    with psycopg.connect(target_uri) as connection:
        connection.execute(
            "drop view if exists web.visits_current, web.page_texts_current, web.secrets_current, web.lines_current"
        )
        connection.execute("alter schema web rename to raw_web")
        connection.execute("create type raw_web.state as enum ('active', 'gone')")
        connection.execute(
            'create table raw_web.people (person_no int primary key, "Nick Name" text, created_at timestamptz not null,'
            " state raw_web.state not null, tags text[] not null, place inet)"
        )
        connection.execute(
            "insert into raw_web.people values (1, null, now(), 'active', '{a}', '::1'),"
            " (2, 'x', now(), 'active', '{}', null)"
        )
        for line, row in enumerate(
            (
                {"visit_id": 1, "at": "2026-01-01", "kind": "robot", "paid": "1.50", "email": "old@example.com"},
                {"visit_id": 1, "at": "2026-01-01", "kind": "it's a person", "paid": "2.50", "email": "a@example.com"},
                {"visit_id": 2, "at": "2026-01-02", "kind": "robot", "order": "select", "stars": 2, "extra": "{}"},
            )
        ):
            full = {**row, "_file": "visits.json", "_line": line}
            connection.execute(
                sql.SQL("insert into raw_web.visits ({}) values ({})").format(
                    sql.SQL(", ").join(map(sql.Identifier, full)), sql.SQL(", ").join(map(sql.Literal, full.values()))
                )
            )
        connection.execute(
            'insert into raw_web.page_texts (text, language, "user", _file, _line) '
            "values ('a', 'en', 'me', 'f', 1), ('b', 'fr', 'me', 'f', 2)"
        )
    built = project.run_dbt("build", uri=target_uri)
    assert built.returncode == 0, built.stdout
    assert "WARN=0 ERROR=0 SKIP=0" in built.stdout
    nodes = json.loads((project.scratch / "run_results.json").read_text())["results"]
    assert sum(node["unique_id"].startswith("unit_test.") for node in nodes) == 3
    with psycopg.connect(target_uri) as connection:
        rows = connection.execute(
            'select visit_id, kind, paid, "order" from marts.visits_by_number order by 1'
        ).fetchall()
        assert [(number, kind, str(paid), order) for number, kind, paid, order in rows] == [
            (1, "it's a person", "2.50", None),
            (2, "robot", "None", "select"),
        ]
        assert connection.execute("select state, row_count from marts.people_by_state").fetchall() == [("active", 2)]
        assert connection.execute("select count(*) from marts.texts").fetchone() == (2,)
        keys = connection.execute(
            "select conrelid::regclass::text, pg_get_constraintdef(oid) from pg_constraint"
            " where contype = 'p' and connamespace = 'marts'::regnamespace order by 1"
        ).fetchall()
        assert keys == [
            ("marts.people_by_state", "PRIMARY KEY (state)"),
            ("marts.texts", 'PRIMARY KEY ("user", language)'),
            ("marts.visits_by_number", "PRIMARY KEY (visit_id)"),
        ]
        personal = connection.execute(
            "select column_name from information_schema.columns where table_schema = 'marts'"
            " and column_name in ('email', 'guests', 'person_no')"
        ).fetchall()
        assert personal == []


def test_staging_model_has_the_form_of_the_projects_own(project: Project) -> None:
    sql_file, _ = project.model_new("web.page-texts")
    assert sql_file.read_text() == textwrap.dedent(
        """\
        with

        source as (

            select * from {{ source('raw_web', 'page_texts') }}

        ),

        newest as (

            {{ newest_version('source', ['"user"', 'language']) }}

        ),

        final as (

            select
                text,
                language,
                "user"  -- noqa: RF06
            from newest

        )

        select * from final
        """
    )
    application, _ = project.model_new("web.people")
    text = application.read_text()
    assert "newest" not in text and '"Nick Name" as nick_name,  -- noqa' in text
    assert "state::text as state," in text and "to_jsonb(tags) as tags," in text


def test_yml_says_grain_columns_tests_and_what_is_personal(project: Project) -> None:
    project.model_new("web.visits", "visits_by_number")
    (model,) = project.yml("stg_web__visits")["models"]
    assert model["description"].startswith("One row per visit_id of web.visits, as the newest landed version has it. ")
    assert model["description"].endswith("Holds personal values.")
    columns = {column["name"]: column for column in model["columns"]}
    assert list(columns) == [
        column.name for column in next(c for c in read_contracts(project.contracts) if c.name == "web.visits").columns
    ]
    assert columns["visit_id"]["data_tests"] == ["unique", "not_null"]
    assert columns["visit_id"]["description"] == "Number of the visit."
    assert columns["email"]["config"] == {"meta": {"personal": "email"}}
    assert columns["kind"]["data_tests"] == [
        {"accepted_values": {"arguments": {"values": ["it''s a person", "robot"]}}}
    ]
    (mart,) = project.yml("visits_by_number")["models"]
    assert mart["description"].startswith("One row per visit_id. TODO")
    types = {column["name"]: column["data_type"] for column in mart["columns"]}
    assert (types["at"], types["order"], types["paid"]) == (
        "timestamp with time zone",
        "character varying(8)",
        "numeric(12,2)",
    )
    assert "email" not in types and "guests" not in types
    constraints = {column["name"]: column.get("constraints") for column in mart["columns"]}
    assert constraints["at"] == constraints["kind"] == [{"type": "not_null"}] and constraints["paid"] is None
    assert constraints["visit_id"] is None, "the primary key says it"


def test_models_belong_to_the_team_of_the_contract(project: Project) -> None:
    project.model_new("web.visits", "visits_by_number")
    project.model_new("web.page-texts")
    assert project.run_dbt("parse").returncode == 0
    nodes = json.loads((project.scratch / "manifest.json").read_text())["nodes"]
    owners = {
        node["name"]: node["config"]["meta"].get("owner") for node in nodes.values() if node["path"].endswith("sql")
    }
    assert owners["stg_web__visits"] == owners["visits_by_number"] == "Web: {{ data }}"
    assert owners["stg_web__page_texts"] == DEFAULT_OWNER


def test_composite_key_is_tested_as_a_whole(project: Project) -> None:
    project.model_new("web.page-texts")
    (model,) = project.yml("stg_web__page_texts")["models"]
    (test,) = model["data_tests"]
    assert test["unique_together"]["arguments"]["columns"] == ["language", '"user"']
    tests = {column["name"]: column.get("data_tests") for column in model["columns"]}
    assert tests == {"text": None, "language": ["not_null"], "user": ["not_null"]}


def texts(project: Project) -> dict[Path, str]:
    return {path: path.read_text() for path in (project.dbt / "models").rglob("*") if path.is_file()}


def test_file_that_is_there_is_named_and_nothing_is_written(project: Project) -> None:
    model, _ = project.model_new("web.visits")
    model.write_text(model.read_text().replace("is_new,", "is_new as was_new,"))
    before = texts(project)
    with pytest.raises(ModelError, match=r"stg_web__visits\.sql, .*stg_web__visits\.yml: there already, so nothing"):
        project.model_new("web.visits", "visits_by_number")
    assert texts(project) == before
    (elsewhere,) = project.dbt.rglob("stg_web__visits.sql")
    elsewhere.rename(elsewhere.with_name("texts.sql"))
    before = texts(project)
    with pytest.raises(ModelError, match=r"texts\.sql: there already"):
        project.model_new("web.page-texts", "texts")
    assert texts(project) == before


def test_mart_of_a_staging_model_that_is_still_as_drafted_may_follow_later(project: Project) -> None:
    project.model_new("web.visits")
    before = texts(project)
    written = project.model_new("web.visits", "visits_by_number")
    assert [path.name for path in written] == ["visits_by_number.sql", "visits_by_number.yml"]
    assert texts(project).items() > before.items()
    with pytest.raises(ModelError, match=r"visits_by_number\.sql, .*visits_by_number\.yml: there already"):
        project.model_new("web.visits", "visits_by_number")


@pytest.mark.parametrize(
    ("name", "mart", "sentence"),
    [
        (
            "web.nothing",
            None,
            "web.nothing: no contract describes such a dataset; there are web.lines, web.page-texts, web.people",
        ),
        ("web.visits", "Visits", "Visits: a mart and its domain are named in small letters"),
        ("web.secrets", "secrets", "web.secrets: no mart can be drafted: its key is personal"),
    ],
)
def test_what_cannot_be_drafted_is_one_sentence(project: Project, name: str, mart: str | None, sentence: str) -> None:
    before = texts(project)
    with pytest.raises(ModelError) as caught:
        project.model_new(name, mart)
    assert sentence in str(caught.value)
    assert texts(project) == before


def test_command_says_what_it_has_written_and_how_to_build_it(project: Project) -> None:
    code = (
        "import pathlib, sys; from include import settings; settings.PROJECT = pathlib.Path(sys.argv.pop(1));"
        "settings.CONTRACTS, settings.DBT_PROJECT = settings.PROJECT / 'contracts', settings.PROJECT / 'dbt';"
        "from include.cli import main; sys.exit(main(sys.argv[1:]))"
    )

    def new(*words: str) -> list[str]:
        command = [sys.executable, "-c", code, str(project.dbt.parent), "model", "new", "web.visits", *words]
        done = subprocess.run(command, cwd=settings.PROJECT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    written, *_, build = new()
    assert written == "written: dbt/models/staging/web/stg_web__visits.sql"
    assert build == "  warehouse build --select +stg_web__visits"
    written, *_, build = new("--mart", "by_number", "--domain", "pages")
    assert written == "written: dbt/models/marts/pages/by_number.sql"
    assert build == "  warehouse build --select +by_number --unit-tests"


def test_domain_without_a_mart_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "new", "web.visits", "--domain", "pages"]) == 1
    assert capsys.readouterr().err == "--domain says where a mart goes: name the mart with --mart\n"


def test_mart_is_drafted_in_no_folder_outside(project: Project) -> None:
    before = texts(project)
    for domain in ("../elsewhere", "Pages", "a/b"):
        with pytest.raises(ModelError, match=f"{domain}: a mart and its domain are named in small letters"):
            project.model_new("web.visits", "visits_by_number", domain)
    assert texts(project) == before


def test_description_of_a_dataset_without_a_key_says_so(tmp_path: Path) -> None:
    head, _, rest = THINGS.partition("    servers:\n")
    _, _, table = rest.partition("    schema:\n")  # of an application: what lands has a key
    text = head + "    schema:\n" + table.replace("primaryKey: true, primaryKeyPosition: 1,", "")
    contract = write_contract(tmp_path, text)
    yml = yaml.safe_load(draft_staging(contract, tmp_path)[tmp_path / "models/staging/toys/stg_toys__things.yml"])
    assert yml["models"][0]["description"].startswith("One row per TODO (the contract names no key) of toys.things")


def test_columns_that_would_have_one_name_are_told(tmp_path: Path) -> None:
    text = THINGS.replace("name: label", "name: Its Label").replace("name: secret", "name: its-label")
    with pytest.raises(ModelError, match=r"toys\.things: two columns would be called its_label: write the staging"):
        draft_staging(write_contract(tmp_path, text), tmp_path)


@pytest.mark.parametrize(("table", "rows"), [("final", "toys_final"), ("order", "toys_order"), ("plain", "plain")])
def test_rows_of_a_mart_have_a_name_that_sql_takes_and_that_is_free(tmp_path: Path, table: str, rows: str) -> None:
    contract = write_contract(tmp_path, THINGS.replace("physicalName: things", f"physicalName: {table}"))
    text = draft_mart(contract, "mine", "toys", tmp_path)[tmp_path / "models/marts/toys/mine.sql"]
    assert f"\n{rows} as (\n" in text and f"\n    from {rows}\n" in text


def test_dbt_source_that_lags_behind_the_contract_comes_first(project: Project) -> None:
    (project.dbt / "models/staging/web/_web__sources.yml").unlink()
    with pytest.raises(ModelError, match="run `warehouse contract sources --write`"):
        project.model_new("web.visits")


def test_columns_of_a_model_keep_names_of_any_script(tmp_path: Path) -> None:
    text = THINGS.replace("name: label", "name: название").replace("name: secret", "name: 价格")
    contract = write_contract(tmp_path, text)
    assert [column.name for column in model_columns(contract)] == ["id", "название", "价格"]
