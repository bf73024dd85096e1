"""What of the stack without Docker runs."""

from __future__ import annotations

from include import settings
from include.report import table
from include.stack.local import airflow
from include.stack.local.api import Api
from include.stack.local.lifecycle import needed_servers, servers
from include.stack.local.postgres import port_is_free


def describe() -> str:
    """Return a table of the parts, with their process ids and ports, and Airflow's health where its UI answers."""
    rows = []
    for server, embedded in servers():
        rows.append(_row(f"postgres {server.name}", embedded.pid(), str(server.port)))
    for name in airflow.COMPONENTS:
        process = airflow.Component(name).process()
        port = str(settings.UI_PORT) if name == "api-server" else ""
        rows.append(_row(f"airflow {name}", process.pid if process else None, port))
    text = table(["part", "state", "pid", "port"], rows)
    health = Api().health() if airflow.Component("api-server").process() else {}
    if health:
        text += "\n\nAirflow: " + ", ".join(f"{name} {state}" for name, state in health.items())
    return text


def stopped_databases() -> list[str]:
    """Return which of source and target the stack runs itself and has stopped.

    A port on which another server answers, such as Docker's, does not count: that server can be asked.
    """
    return [
        server.name
        for server, embedded in servers()
        if server.name in needed_servers()
        and server != settings.AIRFLOW_DB
        and not embedded.is_running()
        and port_is_free(server.port)
    ]


def _row(name: str, pid: int | None, port: str) -> dict[str, str]:
    return {"part": name, "state": "running" if pid else "stopped", "pid": str(pid or ""), "port": port}
