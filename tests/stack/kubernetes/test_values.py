"""The values for Airflow's Helm chart say what the compose file of a server says, and name the secrets that exist.

The chart itself is not at hand here. docs/production.md says how the values were checked against it.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from include import settings
from tests.stack.docker.compose import AIRFLOW_HOME, image_environment, pinned, production

VALUES: dict[str, Any] = yaml.safe_load((settings.PROJECT / "include/stack/kubernetes/values.yaml").read_text())
PAGE = (settings.PROJECT / "docs" / "production.md").read_text(encoding="utf-8")
ON_A_SERVER = production()["services"]["scheduler"]["environment"]


def test_airflow_is_set_as_on_a_server() -> None:
    environment = {entry["name"]: entry["value"] for entry in VALUES["env"]}
    assert {name: environment[name] for name in environment if "AIRFLOW__" in name} == {
        name: ON_A_SERVER[name] for name in environment if "AIRFLOW__" in name
    }
    assert ON_A_SERVER["AIRFLOW__CORE__EXECUTOR"] == VALUES["executor"]
    of_a_server_alone = re.compile(r"_CMD$|__API__|SIMPLE_AUTH|EXECUTOR|EXECUTION_API|DOCS")
    expected = {name for name in ON_A_SERVER if "AIRFLOW__" in name and not of_a_server_alone.search(name)}
    assert expected == {name for name in environment if "AIRFLOW__" in name}
    assert not image_environment().keys() & environment.keys(), "the pods run the image, which has these"
    assert {"LANDING_ROOT", "ARCHIVE_ROOT"} <= environment.keys()
    assert VALUES["airflowHome"] == AIRFLOW_HOME
    constraints = pinned(settings.PROJECT / "include/stack/local/constraints.txt")
    assert VALUES["airflowVersion"] == constraints["apache-airflow"]


def test_pool_of_the_transfer_is_set_as_on_a_server() -> None:
    command = production()["services"]["db-migration"]["command"][-1]
    slots = production()["services"]["db-migration"]["environment"]["TRANSFER_POOL_SLOTS"]
    assert VALUES["migrateDatabaseJob"]["args"][-1] == command.replace('"$TRANSFER_POOL_SLOTS"', slots)
    assert slots == str(settings.TRANSFER_POOL_SLOTS)


def test_page_makes_every_secret_that_the_values_name() -> None:
    named = {entry["secretName"] for entry in VALUES["secret"]} | {VALUES["data"]["metadataSecretName"]}
    named |= {VALUES[name] for name in ("fernetKeySecretName", "apiSecretKeySecretName", "jwtSecretName")}
    assert named == {"warehouse"} and "kubectl create secret generic warehouse" in PAGE
    of_the_chart = {"connection", "fernet-key", "api-secret-key", "jwt-secret"}  # the keys that it looks for
    keys = of_the_chart | {entry["secretKey"] for entry in VALUES["secret"]}
    assert set(re.findall(r"--from-literal=([\w-]+)=", PAGE)) == keys
    connections = {entry["envName"]: entry["secretKey"] for entry in VALUES["secret"]}
    assert connections == {"AIRFLOW_CONN_SOURCE_DB": "source-db", "AIRFLOW_CONN_TARGET_DB": "target-db"}


def test_nobody_gets_in_with_the_charts_password() -> None:
    assert VALUES["createUserJob"]["enabled"] is False
    assert VALUES["postgresql"]["enabled"] is False


def test_history_is_kept_as_long_as_elsewhere() -> None:
    kept = VALUES["databaseCleanup"]
    assert kept["enabled"] and kept["retentionDays"] == settings.HISTORY_DAYS
    assert re.findall(r"older than (\d+) days", PAGE) == [str(settings.HISTORY_DAYS)]
    example = (settings.PROJECT / ".env.example").read_text(encoding="utf-8")
    assert re.findall(r"^#HISTORY_DAYS=(.*)$", example, re.M) == [str(settings.HISTORY_DAYS)]
