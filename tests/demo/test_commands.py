"""The commands of the demo: they write made-up data where it belongs, and take the demo away."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from include import settings, transfer
from include.cli import main
from include.landing import ledger
from include.postgres import connect
from include.stack.demo import make_tables, manifest
from include.stack.demo.removal import Plan, RemovalError, demo_models, drop_tables, plan_removal, remove
from include.stack.marks import BEGIN, END, without_demo
from tests.project import copy_project, project_files


@pytest.mark.parametrize("command", [["files", "--root"], ["schools"]], ids=" ".join)
def test_demo_files_that_cannot_be_written_are_one_sentence(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["demo", *command, str(tmp_path / "file" / "below")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(str(tmp_path / "file")) and "make the folder writable, or name another one" in said


@pytest.mark.parametrize("command", ["tables", "change"])
def test_nothing_is_written_to_a_source_of_somebody_else(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "WITH_DEMO", False)
    assert main(["demo", command]) == 1
    assert capsys.readouterr().err.startswith("source_db is not the demo's")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project's files."""
    copy_project(tmp_path)
    return tmp_path


WORDS = re.compile(
    r"retail|schools?\b|learning.modality|billing|sales|services\.events|stg_services|demo_package\(\)\.make",
    re.IGNORECASE,
)
# Files in which these words are an ordinary word or an example.
MAY_NAME_THEM = (
    "CHANGELOG.md",
    "docs/",
    "tests/landing/contracts/",
    "tests/stack/docker/test_stack_in_docker.py",
    "tests/transfer/",
    "include/contracts/",
    "include/landing/",
    "include/settings.py",
    ".env.example",
)


def test_list_is_complete(copy: Path) -> None:
    """Nothing that is left after the removal names a dataset, a model or a module of the demo."""
    made = copy / "dbt" / "target" / "compiled"
    made.mkdir(parents=True)
    remove(plan_removal(copy), copy)
    assert not made.parent.exists(), "dbt would go on with the demo's models"
    assert not (copy / "dbt/models/staging").exists(), "a folder that is empty now"
    left = [name for name in project_files() if (copy / name).is_file() and not name.startswith(MAY_NAME_THEM)]
    offenders = {}
    for name in left:
        found = WORDS.findall((copy / name).read_text(errors="ignore"))
        if found or "include.stack.demo " in (copy / name).read_text(errors="ignore"):
            offenders[name] = found
    assert offenders == {}
    assert (copy / "dbt/models/.gitkeep").is_file(), "a folder that git would leave out"
    assert plan_removal(copy) == Plan((), ())


def test_every_entry_of_the_list_exists() -> None:
    assert [path for path in manifest.PATHS if not (settings.PROJECT / path).exists()] == []
    for path in manifest.EDITED:
        assert without_demo((settings.PROJECT / path).read_text(), path) != (settings.PROJECT / path).read_text(), path


def test_every_file_with_a_mark_is_in_the_list_and_no_other() -> None:
    the_marks_themselves = "include/stack/marks.py"
    others = [
        name for name in project_files() if not name.startswith((*manifest.PATHS, "tests/", the_marks_themselves))
    ]
    texts = {name: (settings.PROJECT / name).read_text(errors="ignore") for name in others}
    marked = {name for name, text in texts.items() if BEGIN in text or END in text}
    assert marked == {*manifest.EDITED}


@pytest.mark.parametrize("text", ["a\n# demo: begin\nb\n", "# demo: end\n", "# demo: begin\n# demo: begin\n"])
def test_marks_that_do_not_pair_up_stop_the_removal_before_anything_is_changed(tmp_path: Path, text: str) -> None:
    (tmp_path / "README.md").write_text(text)
    (tmp_path / "tests/demo").mkdir(parents=True)
    with pytest.raises(RemovalError, match=r"README\.md.*mend the file by hand"):
        remove(Plan(("tests/demo",), ("README.md",)), tmp_path)
    assert (tmp_path / "tests/demo").is_dir()


def test_tables_of_the_demo_go_and_others_stay(source_uri: str, target_uri: str) -> None:
    make_tables(source_uri)
    drop_tables(source_uri, target_uri, demo_models())  # landing and transfer remember nothing yet
    make_tables(source_uri)
    with connect(source_uri, "source") as source, connect(target_uri, "target") as target:
        ledger.create_tables(source)
        transfer.ensure_audit(target)
        for dataset in ("retail.customers", "app.mine"):
            source.execute("insert into landing.files values (%s, 'a.json', 'f00', 'landed')", [dataset])
            row = [f"raw_{dataset}", dataset]
            target.execute("insert into transfer.tables values (%s, %s, 'o', '{}', null, 0, 'r')", row)
    with psycopg.connect(source_uri) as source, psycopg.connect(target_uri) as target:
        source.execute("create schema app")
        source.execute("create table app.mine (id int)")
        for schema in ("raw_retail", "raw_app", "marts"):
            target.execute(f"create schema {schema}".encode())
        target.execute("create table raw_retail.customers (id int)")
        target.execute("create table marts.sales_daily (id int)")
        target.execute("create table marts.mine (id int)")
        target.execute("create schema staging")
        target.execute("create table public.kept (id int)")
        target.execute("create view staging.stg_retail__customers as select * from public.kept")
        target.execute("create view staging.mine as select * from public.kept")
    models = demo_models()
    assert "sales_daily" in models["marts"] and "stg_retail__customers" in models["staging"]
    for _ in range(2):  # the second time there is nothing left
        drop_tables(source_uri, target_uri, models)
    query = (
        "select format('%I.%I', schemaname, tablename) from pg_tables"
        " where schemaname not in ('pg_catalog', 'information_schema') order by 1"
    )
    with psycopg.connect(source_uri) as source, psycopg.connect(target_uri) as target:
        own = [("app.mine",), *((f"landing.{table}",) for table in sorted(ledger.TABLES))]
        assert source.execute(query).fetchall() == own
        audit = [("transfer.runs",), ("transfer.snapshots",), ("transfer.tables",)]
        assert target.execute(query).fetchall() == [("marts.mine",), ("public.kept",), *audit]
        assert target.execute("select viewname from pg_views where schemaname = 'staging'").fetchall() == [("mine",)]
        assert source.execute("select dataset from landing.files").fetchall() == [("app.mine",)]
        assert target.execute("select target from transfer.tables").fetchall() == [("raw_app.mine",)]


@pytest.mark.parametrize("change", ["new", "edited", "staged"])
def test_what_git_could_not_bring_back_is_not_removed(copy: Path, change: str) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], cwd=copy, check=True)
    names = {"new": "dbt/models/marts/sales/my own.sql", "edited": "README.md", "staged": "tests/demo/mine.py"}
    file = copy / names[change]
    before = file.read_text() if file.exists() else ""
    file.write_text(before + "mine")
    if change == "staged":
        subprocess.run([*git, "add", names[change]], cwd=copy, check=True)
    with pytest.raises(RemovalError, match=f"not committed.*: {names[change]}: commit them"):
        remove(plan_removal(copy), copy)
    assert file.read_text() == before + "mine" and (copy / "tests/demo/test_commands.py").exists()
    subprocess.run([*git, "add", "-A"], cwd=copy, check=True)
    subprocess.run([*git, "commit", "-qm", "mine"], cwd=copy, check=True)
    remove(plan_removal(copy), copy)
    assert not (copy / "tests/demo").exists()


def test_removal_asks_and_can_be_looked_at_first(copy: Path) -> None:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "include", "demo", "remove", *options],
            cwd=copy, env={"PATH": "", "PYTHONPATH": str(copy), "LOCAL_ROOT": str(copy / ".local")},
            input="n\n", capture_output=True, text=True,
        )  # fmt: skip

    looked = run("--plan")
    assert looked.returncode == 0 and "removes  tests/demo" in looked.stdout and "edits    README.md" in looked.stdout
    assert run().returncode == 1 and (copy / "tests/demo").is_dir()
    done = run("--yes", "--keep-tables")
    assert done.returncode == 0, done.stderr
    assert not (copy / "tests/demo").exists() and not (copy / "include/stack/demo").exists()
    assert "invalid choice: 'demo'" in run("--plan").stderr


def test_removal_drops_nothing_in_a_source_of_somebody_else(copy: Path, source_uri: str, target_uri: str) -> None:
    tables = {source_uri: "sales.sale", target_uri: "raw_sales.sale"}
    for uri, table in tables.items():
        with psycopg.connect(uri) as connection:
            connection.execute(f"create schema {table.split('.')[0]}".encode())
            connection.execute(f"create table {table} (id int)".encode())
    connections = {"AIRFLOW_CONN_SOURCE_DB": source_uri, "AIRFLOW_CONN_TARGET_DB": target_uri}
    done = subprocess.run(
        [sys.executable, "-m", "include", "demo", "remove", "--yes"],
        cwd=copy, env={"PATH": "", "PYTHONPATH": str(copy), "LOCAL_ROOT": str(copy / ".local"), **connections},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and not (copy / "include/stack/demo").exists(), done.stderr
    for uri, table in tables.items():
        with psycopg.connect(uri) as connection:
            assert connection.execute("select to_regclass(%s) is not null", [table]).fetchone() == (True,)


@pytest.fixture
def little(
    tmp_path: Path, source_uri: str, target_uri: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], tuple[bool, bool]]:
    """A project that has one folder of the demo; says whether that and a table of the demo are there."""
    place = tmp_path / "tests/demo"
    place.mkdir(parents=True)
    monkeypatch.setattr(settings, "PROJECT", tmp_path)
    monkeypatch.setattr(settings, "WITH_DEMO", True)
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", source_uri)
    monkeypatch.setenv("AIRFLOW_CONN_TARGET_DB", target_uri)
    (tmp_path / "dbt/models").mkdir(parents=True)
    with psycopg.connect(source_uri) as connection:
        connection.execute("create schema sales")
        connection.execute("create table sales.sale (id int)")

    def left() -> tuple[bool, bool]:
        with psycopg.connect(source_uri) as connection:
            found = connection.execute("select to_regclass('sales.sale') is not null").fetchone()
        return place.exists(), found == (True,)

    return left


@pytest.mark.parametrize(
    ("options", "answers", "code", "left"),
    [
        ([], ["n"], 1, (True, True)),
        ([], [""], 1, (True, True)),
        ([], ["y", "n"], 0, (False, True)),
        ([], ["YES", ""], 0, (False, True)),
        ([], ["y", " Yes "], 0, (False, False)),
        (["--keep-tables"], ["y"], 0, (False, True)),
        (["--yes", "--keep-tables"], [], 0, (False, True)),
        (["--yes"], [], 0, (False, False)),
        (["--plan", "--yes"], [], 0, (True, True)),
    ],
    ids=str,
)
def test_nothing_goes_but_what_was_agreed_to(
    little: Callable[[], tuple[bool, bool]],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    answers: list[str],
    code: int,
    left: tuple[bool, bool],
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{answer}\n" for answer in answers)))
    assert main(["demo", "remove", *options]) == code
    assert little() == left


def test_nobody_who_answers_is_no_agreement(
    little: Callable[[], tuple[bool, bool]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["demo", "remove"]) == 1
    assert "say --yes, or --plan" in capsys.readouterr().err and little() == (True, True)


def test_no_table_is_dropped_where_the_files_cannot_be_edited(
    little: Callable[[], tuple[bool, bool]], capsys: pytest.CaptureFixture[str]
) -> None:
    (settings.PROJECT / "README.md").write_text(f"# {BEGIN}\n")
    assert main(["demo", "remove", "--yes"]) == 1
    assert "README.md" in capsys.readouterr().err and little() == (True, True)


def test_demo_goes_also_where_its_databases_do_not_run(
    little: Callable[[], tuple[bool, bool]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", "postgresql://me:secret@127.0.0.1:1/shop")
    assert main(["demo", "remove", "--yes"]) == 0
    assert capsys.readouterr().err.startswith("the demo's tables stay: source_db: can't connect")
    assert little() == (False, True)


def test_options_decide_how_much_is_made_up(
    tmp_path: Path, source_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def made(*words: str) -> tuple[dict[str, dict[str, int]], dict[str, bytes]]:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        assert main(["demo", words[0], *(["--root"] if words[0] == "files" else []), str(root), *words[1:]]) == 0
        files = [root] if root.is_file() else [path for path in root.rglob("*") if path.is_file()]
        return json.loads(capsys.readouterr().out), {str(path.relative_to(root)): path.read_bytes() for path in files}

    one = made("files", "--days=1", "--until=2026-03-04")
    assert made("files", "--days=1", "--until=2026-03-04", "--seed=1") == one
    assert made("files", "--days=1", "--until=2026-03-04", "--seed=2")[1] != one[1]
    assert len(made("files", "--days=2", "--until=2026-03-04")[1]) > len(one[1])
    assert any("date=2026-03-03" in name for name in one[1])
    assert not any("2026-03" in name for name in made("files", "--days=1", "--until=2026-04-04")[1])
    few, more = (made("schools", "--districts=3", f"--weeks={weeks}")[1]["."] for weeks in (2, 4))
    assert few.count(b"\n") < more.count(b"\n") < made("schools", "--districts=9", "--weeks=4")[1]["."].count(b"\n")

    monkeypatch.setattr(settings, "WITH_DEMO", True)
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", source_uri)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    counts = []
    for words in (["tables", "--rows=7"], ["change", "--rows=2"], ["change", "--rows=5", "--rounds=3"]):
        assert main(["demo", *words]) == 0
        with psycopg.connect(source_uri) as connection:
            counts += connection.execute("select max(id) from billing.account").fetchone() or ()
    assert (counts[0], counts[1] - counts[0], counts[2] - counts[1]) == (7, 2, 15)
    assert main(["demo", "tables", "--rows=9"]) == 0 and "left alone" in capsys.readouterr().out
    pauses: list[float] = []

    def interrupt_the_third(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt_the_third)
    assert main(["demo", "change", "--rows=1", "--rounds=0", "--pause=0.25"]) == 130
    assert pauses == [0.25, 0.25, 0.25], "no number of rounds ends it"
