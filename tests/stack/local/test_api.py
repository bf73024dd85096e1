"""How the client of Airflow's API deals with answers that are late, missing or not Airflow's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from include.stack.local import airflow, pipelines
from include.stack.local.api import Api, ApiError, wait_for

Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)


def api(answer: Answer) -> tuple[Api, list[str]]:
    """A client of a pretended Airflow, and the list of requests that it gets, logins left out."""
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "x"})
        seen.append(f"{request.method} {request.url.path}")
        return answer(request)

    client = Api()
    client._client = httpx.Client(base_url="http://airflow", transport=httpx.MockTransport(handle))
    return client, seen


def no_answer(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("busy", request=request)


def test_read_is_tried_four_times_and_a_write_once() -> None:
    client, seen = api(no_answer)
    with pytest.raises(ApiError, match="GET /dags: Airflow does not answer"):
        client.get("/dags")
    assert seen == ["GET /api/v2/dags"] * 4
    with pytest.raises(ApiError, match="POST /dags: Airflow does not answer"):
        client.post("/dags", {})
    assert seen[4:] == ["POST /api/v2/dags"]


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The api-server is on this machine, and `make run` sends it the token of an admin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"scheduler": {"status": "healthy"}}')

        def log_message(self, *_: object) -> None:
            pass

    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setattr(airflow, "LOCAL_URL", f"http://127.0.0.1:{server.server_port}")
        assert Api().health() == {"scheduler": "healthy"}


def test_late_answer_counts() -> None:
    answers = iter([no_answer, no_answer, lambda request: httpx.Response(200, json={"dags": []})])
    client, _ = api(lambda request: next(answers)(request))
    assert client.get("/dags") == {"dags": []}


def test_expired_token_is_renewed() -> None:
    codes = iter([401, 200])
    client, seen = api(lambda request: httpx.Response(next(codes), json={}))
    assert client.post("/dags", {}) == {}
    assert len(seen) == 2


def test_refusal_is_an_error_with_its_words_and_is_not_tried_again() -> None:
    client, seen = api(lambda request: httpx.Response(404, text="no such DAG"))
    with pytest.raises(ApiError, match="GET /dags/x: Airflow answers 404 no such DAG"):
        client.get("/dags/x")
    assert len(seen) == 1


def test_another_program_on_the_port_is_an_error_and_never_healthy() -> None:
    client, _ = api(lambda request: httpx.Response(200, text="<html>"))
    assert client.health() == {}
    with pytest.raises(ApiError, match="does not answer on port"):
        client.get("/dags")


def test_wait_ends_with_the_log_of_a_process_that_died(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow, "dead_component", lambda: airflow.Component("triggerer"))
    with pytest.raises(ApiError, match="Airflow's triggerer ended by itself"):
        wait_for(lambda: False, 60, "health")


def test_wait_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow, "dead_component", lambda: None)
    with pytest.raises(ApiError, match="health: not within 0 s"):
        wait_for(lambda: False, 0.01, "health", pause=0.01)


def test_failed_task_is_named_with_its_own_error() -> None:
    tasks = [
        {"task_id": "plan_transfer", "state": "success", "map_index": -1, "try_number": 1},
        {
            "task_id": "transfer_table",
            "state": "failed",
            "map_index": 3,
            "try_number": 2,
            "rendered_map_index": "app.x",
        },
    ]
    detail = [{"exc_type": "TransferError", "exc_value": "app.x: no"}]
    log = [
        {"level": "info", "event": "moving"},
        {
            "level": "error",
            "event": "Task failed",
            "error_detail": detail,
        },
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/taskInstances"):
            found = [task | {"dag_id": "warehouse", "dag_run_id": "r"} for task in tasks]
            return httpx.Response(200, json={"task_instances": found, "total_entries": 2})
        assert request.url.path.endswith("/taskInstances/transfer_table/logs/2")
        assert request.url.params["map_index"] == "3"
        return httpx.Response(200, json={"content": log})

    client, _ = api(answer)
    assert pipelines._failure(client, "warehouse", "r").splitlines() == [
        f"warehouse failed ({airflow.UI_URL}/dags/warehouse/runs/r)",
        "  task transfer_table[app.x]:",
        "    TransferError: app.x: no",
        "    Task failed",
    ]


def test_log_that_cannot_be_read_hides_no_failed_task() -> None:
    client, _ = api(lambda request: httpx.Response(404, text="no such log"))
    task = {"dag_id": "d", "dag_run_id": "r", "task_id": "t", "try_number": 1, "map_index": -1}
    assert client.error_of(task).startswith("(its log could not be read: GET /dags/d/dagRuns/r/taskInstances/t/logs/1")
