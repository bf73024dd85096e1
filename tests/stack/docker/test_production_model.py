"""The services of production.yml, checked without Docker: what a server relies on is set, and nothing is left open."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from airflow.configuration import conf

from include import settings
from include.cli import make_parser
from include.stack.docker.keys import PASSWORDS, ensure_keys
from tests.stack.docker.compose import AIRFLOW, AIRFLOW_HOME, PRODUCTION, mount, production, published

MODEL = production()
SERVICES = MODEL["services"]
ONCE = {"keys", "db-migration", "setup", "maintenance"}  # run and end
KEYS = f"{AIRFLOW_HOME}/keys"


def test_services_are_airflows_its_database_and_what_runs_once() -> None:
    assert SERVICES.keys() == {"postgres", *AIRFLOW, *ONCE}
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["maintenance"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_service_starts_again_by_itself_and_its_log_stays_small(name: str) -> None:
    service = SERVICES[name]
    assert service.get("restart") == (None if name in ONCE else "unless-stopped")
    assert service["logging"]["driver"] == "json-file"
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert "user" not in service and "privileged" not in service


def test_log_of_a_service_takes_at_most_some_megabytes() -> None:
    for service in SERVICES.values():
        options = service["logging"]["options"]
        assert re.fullmatch(r"\d+m", options["max-size"]) and int(options["max-file"]) <= 10


def test_service_of_the_keys_reaches_no_network_and_postgres_cannot_change_them() -> None:
    assert SERVICES["keys"]["network_mode"] == "none"
    assert mount("keys:/keys:ro") in SERVICES["postgres"]["volumes"]
    assert mount(f"keys:{KEYS}") in SERVICES["keys"]["volumes"]


def test_airflows_database_is_the_one_of_the_keys_and_its_data_stay(tmp_path: Path) -> None:
    ensure_keys(tmp_path)
    uri = urlsplit((tmp_path / "database_uri").read_text())
    environment = SERVICES["postgres"]["environment"]
    assert (uri.hostname, uri.path) == ("postgres", f"/{environment['POSTGRES_DB']}")
    assert uri.username == environment["POSTGRES_USER"]
    # Up to 17 the official image keeps its data in this folder; on another one an upgrade of the stack would lose them.
    assert mount("postgres_data:/var/lib/postgresql/data") in SERVICES["postgres"]["volumes"]


def test_manifest_that_the_setup_makes_is_the_one_that_dags_are_rendered_from() -> None:
    assert SERVICES["setup"]["command"] == ["warehouse", "build", "--parse"]
    for name in (*AIRFLOW, "setup"):
        environment, mounts = SERVICES[name]["environment"], {m["target"]: m for m in SERVICES[name]["volumes"]}
        folder, _, _ = environment["DBT_MANIFEST"].rpartition("/")
        assert mounts[folder]["source"] == "manifest", name


def test_maintenance_prunes_the_airflow_of_the_containers() -> None:
    args = make_parser("stack").parse_args(SERVICES["maintenance"]["command"][1:])
    assert args.environment and args.days == settings.HISTORY_DAYS


def test_ui_alone_is_published_and_on_loopback_unless_a_setting_says_otherwise() -> None:
    assert published(MODEL) == {"api-server": [("127.0.0.1", settings.UI_PORT)]}
    moved = production({"AIRFLOW_UI_HOST": "10.0.0.7", "AIRFLOW_UI_PORT": "8443"})
    assert published(moved) == {"api-server": [("10.0.0.7", 8443)]}
    assert {moved["services"][name]["environment"]["AIRFLOW__API__BASE_URL"] for name in AIRFLOW} == {
        "http://localhost:8443"
    }


def test_ui_asks_for_a_login() -> None:
    for name in AIRFLOW:
        environment = SERVICES[name]["environment"]
        assert environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] == "False"
        assert environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] == f"{KEYS}/{PASSWORDS}"


@pytest.mark.parametrize(
    ("given", "users"),
    [
        ({}, "admin:admin"),
        ({"UI_USERS": "ann:admin,bob:op"}, "ann:admin,bob:op"),
        ({"UI_USERS": "x:op", "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "eve:admin"}, "eve:admin"),
    ],
)
def test_passwords_are_made_for_the_users_that_airflow_knows(given: dict[str, str], users: str) -> None:
    """Airflow would make a missing one itself, and print it to its log."""
    services = production(given)["services"]
    assert {services[name]["environment"]["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] for name in AIRFLOW} == {users}
    assert services["keys"]["environment"] == {"UI_USERS": users}


@pytest.mark.parametrize("name", ["AIRFLOW_CONN_SOURCE_DB", "AIRFLOW_CONN_TARGET_DB"])
def test_missing_connection_is_named_with_where_to_set_it(name: str) -> None:
    with pytest.raises(KeyError, match=rf"{name}: set it in \.env to the postgresql:// URI"):
        production({name: ""})
    services = production({name: "postgresql://mine"})["services"]
    assert {services[each]["environment"][name] for each in (*AIRFLOW, "setup")} == {"postgresql://mine"}


def test_every_key_is_read_from_a_file_that_is_made(tmp_path_factory: pytest.TempPathFactory) -> None:
    made = set(ensure_keys(tmp_path_factory.mktemp("keys")))
    for name in (*AIRFLOW, "db-migration", "maintenance"):
        environment = SERVICES[name]["environment"]
        commands = {key: value for key, value in environment.items() if key.endswith("_CMD")}
        assert len(commands) == 4
        for variable, command in commands.items():
            section, key = variable.removeprefix("AIRFLOW__").removesuffix("_CMD").lower().split("__")
            assert (section, key) in conf.sensitive_config_values, f"Airflow reads no {variable}"
            assert command.removeprefix(f"cat {KEYS}/") in made, command
        assert not [key for key in environment if re.search(r"PASSWORD$|SECRET(_KEY)?$|FERNET_KEY$", key)]
    used = set(re.findall(r"/keys/(\w+)", " ".join(SERVICES["postgres"]["entrypoint"])))
    assert used == {"postgres_password"} <= made


def test_airflow_knows_every_option_that_the_page_and_the_files_name() -> None:
    files = [settings.PROJECT / "docs" / "production.md", settings.PROJECT / "Dockerfile", PRODUCTION]
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    variables = re.findall(r"AIRFLOW__[A-Z_]+[A-Z]", text)
    named = {tuple(name.removesuffix("_CMD").lower().split("__")[1:]) for name in variables}
    options = {(section, key) for section, said in conf.configuration_description.items() for key in said["options"]}
    options.add(("scheduler", "mp_start_method"))  # each component has it, and Airflow's list none of them
    assert {pair for pair in named if len(pair) == 2 and pair[0] != "cosmos"} - options <= {("section", "key")}
    assert len(named) > 15


def test_settings_of_env_reach_every_process() -> None:
    for name in {*AIRFLOW, *ONCE} - {"keys"}:
        assert SERVICES[name]["env_file"] == [{"path": ".env", "required": False}], name


def test_landing_files_lie_on_a_volume_or_in_a_folder_of_the_server() -> None:
    own = production({"LANDING_ROOT": "/data/in"})["services"]
    for name in (*AIRFLOW, "setup"):
        environment = SERVICES[name]["environment"]
        mounts = {each["target"]: each for each in SERVICES[name]["volumes"]}
        assert mounts[environment["LANDING_ROOT"]]["source"] == "landing"
        mounts = {each["target"]: each for each in own[name]["volumes"]}
        landing, archive = mounts[environment["LANDING_ROOT"]], mounts[environment["ARCHIVE_ROOT"]]
        assert (landing["type"], landing["source"], landing["options"]) == ("bind", "/data/in", "z")
        assert (archive["type"], archive["source"]) == ("bind", "/data/in_archive")


def test_certificate_authority_is_mounted_where_the_page_says() -> None:
    page = (settings.PROJECT / "docs" / "production.md").read_text(encoding="utf-8")
    assert f"sslrootcert={AIRFLOW_HOME}/ca.pem" in page
    services = production({"DATABASE_CA_FILE": "/etc/ssl/db.pem"})["services"]
    for name in AIRFLOW:
        assert mount(f"/etc/ssl/db.pem:{AIRFLOW_HOME}/ca.pem:ro") in services[name]["volumes"]


def test_every_volume_is_declared_and_has_a_folder_of_airflows_user_in_the_image() -> None:
    used = {m["source"] for service in SERVICES.values() for m in service["volumes"] if m["type"] == "volume"}
    assert used == set(MODEL["volumes"])
    made = re.search(r"^RUN mkdir -p (.*?) &&", (settings.PROJECT / "Dockerfile").read_text(), re.M)
    assert made
    folders = {f"{AIRFLOW_HOME}/{folder}" for folder in [*made[1].split(), "logs"]}  # the base image has logs
    for name in {*AIRFLOW, *ONCE}:
        assert {m["target"] for m in SERVICES[name]["volumes"] if m["type"] == "volume"} <= folders, name


def test_image_is_built_once_and_used_by_all() -> None:
    assert [name for name, service in SERVICES.items() if "build" in service] == ["keys"]
    assert {service["image"] for name, service in SERVICES.items() if name != "postgres"} == {
        "warehouse/airflow:production"
    }


def test_nothing_starts_before_what_it_reads() -> None:
    def before(name: str) -> set[tuple[str, str]]:
        waits = {(other, how["condition"]) for other, how in SERVICES[name]["depends_on"].items()}
        return waits.union(*(before(other) for other, _ in waits))

    for name in (*AIRFLOW, "db-migration"):
        assert {
            ("keys", "service_completed_successfully"),
            ("postgres", "service_healthy"),
        } <= before(name), name
    for name in AIRFLOW:
        assert {
            ("db-migration", "service_completed_successfully"),
            ("setup", "service_completed_successfully"),
        } <= before(name), name
