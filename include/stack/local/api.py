"""A small client of Airflow's public REST API (v2), for the local stack: health, triggers, states and logs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_incrementing

from include import settings
from include.errors import FinalError
from include.stack.local import airflow
from include.stack.logins import ui_users

_NO_ANSWER = (httpx.HTTPError, ValueError, KeyError)  # no connection, no JSON, or JSON without a token


class ApiError(FinalError):
    """Airflow did not answer as it should; the message says what was asked."""


class Api:
    """A session with the api-server, as the first admin of the UI's users, or as anybody where no login is asked."""

    def __init__(self) -> None:
        self._client = httpx.Client(base_url=airflow.LOCAL_URL, timeout=30, trust_env=False)

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of GET /api/v2<path>."""
        return self._call("GET", path, params=query)

    def all(self, path: str, key: str, **query: Any) -> list[dict[str, Any]]:
        """Return all that GET /api/v2<path> has under `key`, page after page."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.get(path, limit=100, offset=len(found), **query)
            found += page[key]
            if not page[key] or len(found) >= page["total_entries"]:
                return found

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Return the JSON of POST /api/v2<path>."""
        return self._call("POST", path, json=body)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """Return the JSON of PATCH /api/v2<path>."""
        return self._call("PATCH", path, json=body)

    def health(self) -> dict[str, str]:
        """Return the state of each Airflow component by name, {} while nothing answers."""
        try:
            answer = self._client.get("/api/v2/monitor/health")
            return {name: part.get("status") or "unknown" for name, part in answer.json().items()}
        except (httpx.HTTPError, ValueError, AttributeError):
            return {}

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return every task instance of a run, mapped ones included."""
        return self.all(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances")

    def error_of(self, task: dict[str, Any]) -> str:
        """Return the last lines of a failed task's log that name its error."""
        path = f"/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}/logs"
        try:
            log = self.get(f"{path}/{task['try_number']}", map_index=task["map_index"], full_content=True)
        except ApiError as error:
            return f"(its log could not be read: {error})"
        lines = []
        for entry in log.get("content", []):
            for detail in entry.get("error_detail") or []:
                lines.append(f"{detail.get('exc_type')}: {detail.get('exc_value')}")
            if entry.get("level") in ("error", "critical"):
                lines.append(str(entry.get("event", "")))
        return "\n".join("\n".join(lines).splitlines()[-30:]) or "(its log names no error)"

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        # A busy machine may answer late. Only a GET is tried again: a POST without an answer may have been carried out.
        retrying = Retrying(
            stop=stop_after_attempt(4 if method == "GET" else 1),
            wait=wait_incrementing(start=1, increment=1),
            retry=retry_if_exception_type(_NO_ANSWER),
            reraise=True,
        )
        try:
            answer = retrying(self._request, method, path, **arguments)
            if not answer.is_error:
                return answer.json()
        except _NO_ANSWER as error:
            raise ApiError(
                f"{method} {path}: Airflow does not answer on port {settings.UI_PORT} ({error!r}): see the logs in "
                f"{airflow.LOGS}"
            ) from error
        raise ApiError(f"{method} {path}: Airflow answers {answer.status_code} {answer.text[:500]}")

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Send a request, with a new token where there is none or where the last one has expired."""
        if "Authorization" not in self._client.headers:
            self._log_in()
        answer = self._client.request(method, f"/api/v2{path}", **arguments)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._log_in()
            answer = self._client.request(method, f"/api/v2{path}", **arguments)
        return answer

    def _log_in(self) -> None:
        if settings.UI_LOGIN:
            admin = next(name for name, role in ui_users().items() if role == "admin")
            login = {"username": admin, "password": airflow.ui_passwords()[admin]}
            answer = self._client.post("/auth/token", json=login)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                raise ApiError(
                    f"Airflow refuses the password of {admin} in {airflow.PASSWORDS}: `make start` tells Airflow of a "
                    "changed one"
                )
        else:
            answer = self._client.get("/auth/token")
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def wait_for(condition: Callable[[], bool], seconds: float, what: str, pause: float = 0.3) -> None:
    """Return once condition() is true. Raises ApiError after `seconds`, or at once where a process of Airflow died.

    A plain loop, because tenacity's has one way to fail and this one has two.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        dead = airflow.dead_component()
        if dead:
            raise ApiError(f"Airflow's {dead.name} ended by itself. {dead.log} ends:\n{airflow.end_of(dead.log)}")
        if time.monotonic() > deadline:
            raise ApiError(f"{what}: not within {seconds:.0f} s; see the logs in {airflow.LOGS}")
        time.sleep(pause)
