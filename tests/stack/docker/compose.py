"""The compose models of `astro dev start` and of a server, worked out without Docker.

`astro_cli` repeats what the Astro CLI 1.45 gives each service in its compose file for Airflow 3. Compose fills in
variables and merges files by the rules of the Compose specification; this covers the rules that our files use.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from include import settings

AIRFLOW = ("scheduler", "dag-processor", "api-server", "triggerer")
AIRFLOW_HOME = "/usr/local/airflow"
PRODUCTION = settings.PROJECT / "include" / "stack" / "docker" / "production.yml"
CONFIG = yaml.safe_load((settings.PROJECT / ".astro" / "config.yaml").read_text())
NAME = "warehouse_0a1b2c"  # the CLI adds six digits of a checksum of the folder's name

Model = dict[str, Any]


def merged(variables: Mapping[str, str] | None = None) -> Model:
    """Return the services, volumes and configs of a start with these variables in the shell or in .env."""
    given = {"COMPOSE_PROJECT_NAME": NAME, **(variables or {})}
    override = yaml.safe_load((settings.PROJECT / "docker-compose.override.yml").read_text())
    (include,) = override.pop("include")
    assert not override and include["project_directory"] == "."
    ours = fill_in(yaml.safe_load((settings.PROJECT / include["path"]).read_text()), given)
    return merge(canonical(astro_cli()), canonical({key: ours[key] for key in ours if not key.startswith("x-")}))


def production(variables: Mapping[str, str] | None = None) -> Model:
    """Return the services and volumes of a start by production.yml, connections of some databases given."""
    database = "postgresql://me:secret@db.example.com/shop"
    given = {"AIRFLOW_CONN_SOURCE_DB": database, "AIRFLOW_CONN_TARGET_DB": database, **(variables or {})}
    ours = yaml.safe_load(PRODUCTION.read_text())
    return canonical(fill_in(ours, {"COMPOSE_PROJECT_NAME": ours["name"], **given}))


def astro_cli() -> Model:
    """Return what the CLI's own file holds, as far as ours could clash with it."""
    ui, postgres = CONFIG["api-server"]["port"], CONFIG["postgres"]
    environment = {
        "AIRFLOW__API__BASE_URL": "http://localhost:8080",
        "AIRFLOW__API__PORT": "8080",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://api-server:8080/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://postgres:postgres@postgres:5432",
    }
    common = {"image": f"{NAME}/airflow:latest", "environment": environment, "networks": ["airflow"]}
    mounts = [f"/project/{folder}:{AIRFLOW_HOME}/{folder}:z" for folder in ("dags", "plugins", "include")]
    mounts.append(f"airflow_logs:{AIRFLOW_HOME}/logs")
    airflow = {**common, "depends_on": ["db-migration"], "restart": "unless-stopped", "volumes": mounts}
    tests = [f"/project/tests:{AIRFLOW_HOME}/tests:z"]
    settings_file = [f"/project/airflow_settings.yaml:{AIRFLOW_HOME}/airflow_settings.yaml:z"]
    return {
        "services": {
            "postgres": {
                "image": f"docker.io/postgres:{postgres['tag']}",
                "networks": ["airflow"],
                "ports": [f"127.0.0.1:{postgres['port']}:5432"],
                "volumes": ["postgres_data:/var/lib/postgresql/data"],
                "restart": "unless-stopped",
            },
            "db-migration": {**common, "depends_on": ["postgres"]},
            "scheduler": {**airflow, "volumes": mounts + tests + settings_file},
            "dag-processor": {**airflow, "volumes": mounts + tests},
            "api-server": {**airflow, "volumes": mounts + tests, "ports": [f"127.0.0.1:{ui}:8080"]},
            "triggerer": airflow,
        },
        "volumes": {"postgres_data": {}, "airflow_logs": {}},
        "networks": {"airflow": {}},
    }


def image_environment() -> dict[str, str]:
    """Return the variables that the image sets, which those of a compose file and of .env win over."""
    lines = [line for line in (settings.PROJECT / "Dockerfile").read_text().splitlines(True) if line[:1] != "#"]
    instructions = "".join(lines).replace("\\\n", "").splitlines()
    pairs = [pair for line in instructions if line.startswith("ENV ") for pair in shlex.split(line)[1:]]
    return dict(pair.split("=", 1) for pair in pairs)


def fill_in(node: Any, variables: Mapping[str, str]) -> Any:
    """Return the node with ${NAME}, ${NAME:-default} and ${NAME:+instead} filled in, $$ standing for $.

    Raises KeyError, with the message of ${NAME:?message}, where that variable is empty or not there.
    """
    if isinstance(node, dict):
        return {key: fill_in(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [fill_in(item, variables) for item in node]
    if not isinstance(node, str):
        return node
    innermost = re.compile(r"(?<!\$)\$\{([A-Z_]+)(?:(:[-+?])([^${}]*))?\}")

    def value(match: re.Match[str]) -> str:
        name, operator, text = match.groups()
        found = variables.get(name, "")
        if operator == ":?" and not found:
            raise KeyError(f"{name}: {text}")
        if operator == ":+":
            return text if found else ""
        return found or text or ""

    while innermost.search(node):
        node = innermost.sub(value, node)
    return node.replace("$$", "$")


def canonical(model: Model) -> Model:
    """Return the model with the short forms of depends_on, environment and volumes spelt out."""
    services = {}
    for name, service in model["services"].items():
        waits, environment = service.get("depends_on", {}), service.get("environment", {})
        services[name] = {
            **service,
            "depends_on": waits if isinstance(waits, dict) else {n: {"condition": "service_started"} for n in waits},
            "environment": environment if isinstance(environment, dict) else dict(e.split("=", 1) for e in environment),
            "volumes": [mount(text) for text in service.get("volumes", [])],
        }
    return {**model, "services": services}


def mount(text: str) -> dict[str, str]:
    source, target, *options = text.split(":")
    kind = "bind" if source.startswith((".", "/")) else "volume"
    return {"type": kind, "source": source, "target": target, "options": ",".join(options)}


def merge(base: Any, added: Any) -> Any:
    """Return two models as one: mappings key by key, lists one after the other without repeats, else the added one."""
    if isinstance(base, dict) and isinstance(added, dict):
        return {
            key: merge(base[key], added[key]) if key in base and key in added else (base | added)[key]
            for key in base | added
        }
    if isinstance(base, list) and isinstance(added, list):
        return base + [item for item in added if item not in base]
    return added


def published(model: Model) -> dict[str, list[tuple[str, int]]]:
    """Return the host ports by service, each with the address it is bound to."""
    found: dict[str, list[tuple[str, int]]] = {}
    for name, service in model["services"].items():
        for text in service.get("ports", []):
            address, host, _ = text.split(":")
            found.setdefault(name, []).append((address, int(host)))
    return found


def pinned(path: Path) -> dict[str, str]:
    """Return the name==version lines of a requirements file, names in lower case and without extras."""
    lines = (re.match(r"([\w.-]+)(?:\[.*\])?==([\w.]+)", line) for line in path.read_text().splitlines())
    return {line[1].lower(): line[2] for line in lines if line}


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Return what condition() returns once that is true; the test fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:.0f} s"
        time.sleep(2)
    return found
