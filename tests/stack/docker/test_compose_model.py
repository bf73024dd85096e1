"""The services of `astro dev start`, checked without Docker: nothing clashes or is missing, a variable moves a port."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from pathlib import Path

import pytest

from include import settings
from include.cli import make_parser
from tests.stack.docker.compose import AIRFLOW, AIRFLOW_HOME, NAME, merged, published

SERVICES = merged()["services"]
OWN = SERVICES.keys() - {"postgres", "db-migration", "source-db", "target-db", "pgadmin", *AIRFLOW}
GIB = {"g": 1.0, "m": 1 / 1024}


def targets(service: str, kind: str | None = None) -> dict[str, str]:
    return {m["target"]: m["source"] for m in SERVICES[service]["volumes"] if kind in (None, m["type"])}


def test_every_port_is_bound_to_loopback_and_taken_once() -> None:
    ports = published(merged())
    assert ports == {
        "api-server": [("127.0.0.1", settings.UI_PORT)],
        "source-db": [("127.0.0.1", settings.SOURCE.port)],
        "target-db": [("127.0.0.1", settings.TARGET.port)],
        "postgres": [("127.0.0.1", settings.AIRFLOW_DB.port)],
        "pgadmin": [("127.0.0.1", settings.PGADMIN_PORT)],
    }
    assert len({port for ((_, port),) in ports.values()}) == len(ports)


@pytest.mark.parametrize(
    ("variable", "service"),
    [("SOURCE_DB_PORT", "source-db"), ("TARGET_DB_PORT", "target-db"), ("PGADMIN_PORT", "pgadmin")],
)
def test_one_variable_moves_one_port(variable: str, service: str) -> None:
    before, after = published(merged()), published(merged({variable: "23456"}))
    assert after == {**before, service: [("127.0.0.1", 23456)]}


@pytest.mark.parametrize(("variable", "service"), [("AIRFLOW_UI_PORT", "api-server"), ("AIRFLOW_DB_PORT", "postgres")])
def test_airflows_ports_follow_their_variable_beside_the_ports_of_the_cli(variable: str, service: str) -> None:
    model = merged({variable: "23456"})
    assert ("127.0.0.1", 23456) in published(model)[service]
    if service == "api-server":
        links = {model["services"][name]["environment"]["AIRFLOW__API__BASE_URL"] for name in AIRFLOW}
        assert links == {"http://localhost:23456"}


@pytest.mark.parametrize("name", ["source", "target"])
def test_one_variable_changes_a_password_wherever_it_is_needed(name: str) -> None:
    variable, old, new = f"{name.upper()}_DB_PASSWORD", f"{name}_db", "changed"
    services = merged({variable: new})["services"]
    assert services[f"{name}-db"]["environment"]["POSTGRES_PASSWORD"] == new
    for service in AIRFLOW:
        uri = services[service]["environment"][f"AIRFLOW_CONN_{name.upper()}_DB"]
        assert uri == f"postgresql://{name}_db:{new}@{name}-db:5432/{name}_db"
    for service in ("setup", "pgadmin"):
        assert services[service]["environment"][variable] == new
    other = {"source": "target", "target": "source"}[name]
    assert services[f"{other}-db"]["environment"]["POSTGRES_PASSWORD"] == f"{other}_db" != old


def test_one_variable_changes_the_target_wherever_dbt_is_run() -> None:
    services = merged({"WAREHOUSE_TARGET": "dev", "DBT_SCHEMA_PREFIX": "ann"})["services"]
    for service in (*AIRFLOW, "setup", "manifest"):
        environment = services[service]["environment"]
        assert (environment["WAREHOUSE_TARGET"], environment["DBT_SCHEMA_PREFIX"]) == ("dev", "ann"), service
        assert SERVICES[service]["environment"]["WAREHOUSE_TARGET"] == settings.WAREHOUSE_TARGET == "prod"


def test_own_connections_win_over_the_demo_servers() -> None:
    mine = "postgresql://me:secret@db.example.com/shop"
    services = merged({"AIRFLOW_CONN_SOURCE_DB": mine})["services"]
    assert {services[name]["environment"]["AIRFLOW_CONN_SOURCE_DB"] for name in AIRFLOW} == {mine}


def test_links_name_the_port_that_the_ui_is_published_on() -> None:
    for name in AIRFLOW:
        environment = SERVICES[name]["environment"]
        assert environment["AIRFLOW__API__BASE_URL"] == f"http://localhost:{settings.UI_PORT}"
        assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://api-server:8080/execution/"


def test_every_airflow_service_mounts_dbt_manifest_and_landing_files() -> None:
    for name in AIRFLOW:
        mounts, environment = targets(name), SERVICES[name]["environment"]
        assert mounts[f"{AIRFLOW_HOME}/dbt"] == "./dbt"
        assert mounts[f"{AIRFLOW_HOME}/manifest"] == targets("manifest")[f"{AIRFLOW_HOME}/manifest"] == "manifest"
        docs = json.loads(environment["AIRFLOW__COSMOS__DBT_DOCS_PROJECTS"])["warehouse"]["dir"]
        assert docs.startswith(f"{AIRFLOW_HOME}/manifest/")
        assert mounts[environment["LOCAL_ROOT"] + "/landing"] == "landing"
        assert mounts[environment["ARCHIVE_ROOT"]] == "landing_archive"


def test_the_projects_files_cannot_be_changed_by_a_container() -> None:
    for name in (*AIRFLOW, "setup", "manifest"):
        ours = {m["target"]: m for m in SERVICES[name]["volumes"] if m["source"].startswith("./")}
        assert f"{AIRFLOW_HOME}/dbt" in ours
        assert all("ro" in m["options"].split(",") for m in ours.values()), name


def test_our_services_run_commands_of_the_program() -> None:
    def parsed(service: str) -> argparse.Namespace:
        program, *words = SERVICES[service]["command"]
        assert program == "warehouse"
        return make_parser().parse_args(words)

    assert parsed("setup").handler.__name__ == "_setup"
    assert parsed("manifest").watch, "an edited model would not show in the UI"


def test_landing_runs_at_the_first_start_unless_a_setting_says_otherwise() -> None:
    for name in AIRFLOW:
        assert SERVICES[name]["environment"]["FIRST_RUN"] == "immediately"
        assert merged({"FIRST_RUN": "scheduled"})["services"][name]["environment"]["FIRST_RUN"] == "scheduled"


def test_passwords_of_pgadmin_are_in_a_file_that_its_user_alone_can_read(tmp_path: Path) -> None:
    """The entrypoint itself, in a folder of the test."""
    shell, option, script = SERVICES["pgadmin"]["entrypoint"]
    script = script.replace("/var/lib/pgadmin", str(tmp_path)).replace("exec /entrypoint.sh", "umask")
    given = merged({"SOURCE_DB_PASSWORD": "s3cr3t"})["services"]["pgadmin"]["environment"]
    done = subprocess.run(
        [shell, option, script], env={"PATH": "/usr/bin:/bin", **given}, capture_output=True, text=True, check=True
    )
    (file,) = tmp_path.rglob("pgpass")
    assert file.read_text().splitlines() == [
        "source-db:5432:*:source_db:s3cr3t",
        "target-db:5432:*:target_db:target_db",
    ]
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.name == "admin_example.com"
    assert int(done.stdout, 8) == 0o22, "pgAdmin's own files have the usual rights"


def test_the_image_has_a_folder_of_the_user_astro_for_every_volume() -> None:
    dockerfile = (settings.PROJECT / "Dockerfile").read_text()
    assert f"DBT_MANIFEST={AIRFLOW_HOME}/manifest/manifest.json" in dockerfile
    made = re.search(r"^RUN mkdir -p (.*?) &&", dockerfile, re.M)
    assert made
    for name in (*AIRFLOW, *OWN):
        ours = {place for place, volume in targets(name, "volume").items() if volume != "airflow_logs"}
        folders = {f"{AIRFLOW_HOME}/{folder}" for folder in made[1].split()}
        assert all(any(f"{folder}/".startswith(f"{place}/") for folder in folders) for place in ours), name


def test_nothing_runs_as_root_in_the_projects_image() -> None:
    dockerfile = (settings.PROJECT / "Dockerfile").read_text()
    assert re.findall(r"^USER (\w+)$", dockerfile, re.M)[-1:] == ["astro"]
    assert not [name for name, service in SERVICES.items() if "user" in service]


def test_own_landing_folder_is_mounted() -> None:
    services = merged({"LANDING_ROOT": "/data/in"})["services"]
    for name in (*AIRFLOW, "setup"):
        environment, mounts = services[name]["environment"], {m["target"]: m for m in services[name]["volumes"]}
        landing, archive = mounts[environment["LANDING_ROOT"]], mounts[environment["ARCHIVE_ROOT"]]
        assert (landing["type"], landing["source"], landing["options"]) == ("bind", "/data/in", "z")
        assert (archive["type"], archive["source"]) == ("bind", "/data/in_archive")


def test_no_service_mounts_two_things_in_one_place() -> None:
    for name, service in SERVICES.items():
        places = [mount["target"] for mount in service["volumes"]]
        assert len(places) == len(set(places)), name


def test_every_named_volume_is_declared_and_used() -> None:
    used = {m["source"] for service in SERVICES.values() for m in service["volumes"] if m["type"] == "volume"}
    assert used == set(merged()["volumes"])


def test_a_database_keeps_its_data_on_its_volume() -> None:
    for name, volume in (("source-db", "source_data"), ("target-db", "target_data")):
        # From 18 on the official image keeps one folder per version below this one. It refuses a mount of the old one.
        assert targets(name) == {"/var/lib/postgresql": volume}
        assert SERVICES[name]["environment"]["PGDATA"] == f"/var/lib/postgresql/{settings.POSTGRES_MAJOR}/docker"


def test_every_service_joins_airflows_network() -> None:
    assert [name for name, service in SERVICES.items() if service["networks"] != ["airflow"]] == []


def test_every_dependency_can_be_satisfied() -> None:
    def wait_on(name: str, above: tuple[str, ...] = ()) -> None:
        assert name not in above, f"{' waits for '.join((*above, name))}"
        for other, how in SERVICES[name]["depends_on"].items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for the health of {other}"
            if how["condition"] == "service_completed_successfully":
                assert "restart" not in SERVICES[other], f"{name} waits for the end of {other}"
            wait_on(other, (*above, name))

    for name in SERVICES:
        wait_on(name)


def test_no_migration_and_no_task_starts_before_its_database_answers() -> None:
    def everything_before(name: str) -> set[tuple[str, str]]:
        waits = {(other, how["condition"]) for other, how in SERVICES[name]["depends_on"].items()}
        return waits.union(*(everything_before(other) for other, _ in waits))

    assert ("postgres", "service_healthy") in everything_before("db-migration")
    for name in AIRFLOW:
        healthy = {other for other, condition in everything_before(name) if condition == "service_healthy"}
        assert {"postgres", "source-db", "target-db"} <= healthy, name
        ended = {other for other, condition in everything_before(name) if condition == "service_completed_successfully"}
        assert ended == {"db-migration", "setup"}, name


def test_services_restart_after_a_crash_except_those_that_run_once() -> None:
    once = {name for name, service in SERVICES.items() if "restart" not in service}
    assert once == {"db-migration", "setup"}
    assert {SERVICES[name]["restart"] for name in SERVICES.keys() - once} == {"unless-stopped"}


def test_memory_limits_leave_room_on_a_laptop_with_8_gib() -> None:
    limits = {name: service.get("mem_limit") for name, service in SERVICES.items() if name != "db-migration"}
    assert all(limits.values()), limits
    running = sum(float(limit[:-1]) * GIB[limit[-1]] for name, limit in limits.items() if name != "setup")
    assert running <= 7.0


def test_service_names_contain_no_name_of_the_clis_services() -> None:
    ours = SERVICES.keys() - {"postgres", "db-migration", *AIRFLOW}
    assert not [name for name in ours for part in ("postgres", *AIRFLOW) if part in name]


def test_our_own_steps_run_in_the_projects_image() -> None:
    assert {SERVICES[name]["image"] for name in (*OWN, *AIRFLOW)} == {f"{NAME}/airflow:latest"}
