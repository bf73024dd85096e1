"""Whatever dies and whenever: readers see the old rows or the new ones, and the next run completes.

Each round changes the source, starts a transfer, and after a random moment kills the client, a backend of either
server (which takes the whole server down and through crash recovery) or cuts the connections. TRANSFER_FAULTS sets the
number of rounds; the default keeps the suite short.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from include.settings import PROJECT
from include.stack.local.postgres import PostgresServer, free_port
from include.transfer import TransferError, plan, transfer_table
from include.transfer.modes import full as full_mode
from tests.transfer.conftest import execute, rows

ROUNDS = int(os.environ.get("TRANSFER_FAULTS", "12"))
ROWS = 60_000
STATE = "select count(*), sum(v), sum(hashint8(id + v)) from item"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A source and a target that may be killed, so with fsync as in real life."""
    pair = [PostgresServer(Path(tmp_path_factory.mktemp(name)), free_port()) for name in ("source", "target")]
    for server in pair:
        server.start()
    yield pair[0], pair[1]
    for server in pair:
        server.destroy()


class Proxy:
    """Passes a TCP port on to another until it is cut, as by a cable."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self._to))
            self._sockets += [here, there]
            for pair in ((here, there), (there, here)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 18):
                other.sendall(data)
        self.cut()

    def cut(self) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


class Reader(threading.Thread):
    """Reads the target all the while and keeps every state it has seen."""

    def __init__(self, uri: str) -> None:
        super().__init__(daemon=True)
        self.uri, self.over = uri, threading.Event()
        self.seen: list[tuple[object, ...]] = []
        self.reads = 0

    def run(self) -> None:
        while not self.over.is_set():
            try:
                with psycopg.connect(self.uri, autocommit=True, connect_timeout=5) as connection:
                    while not self.over.is_set():
                        state = connection.execute(STATE).fetchone()
                        assert state is not None
                        self.reads += 1
                        if not self.seen or self.seen[-1] != state:
                            self.seen.append(state)
                        time.sleep(0.005)
            except psycopg.OperationalError:
                time.sleep(0.05)


def _change(uri: str, number: int) -> tuple[object, ...]:
    execute(
        uri,
        f"begin; update item set v = v + 1 where id % 50 = {number % 50};"
        f" delete from item where id % 997 = {number % 997};"
        f" insert into item select {ROWS} * {number} + i, 0, 'new' from generate_series(1, 60) i; commit",
    )
    return rows(uri, STATE)[0]


def _move(source_uri: str, target_uri: str, full: bool) -> None:
    [item] = plan(source_uri, target_uri, include=["public.item"], full=full)
    transfer_table(source_uri, target_uri, item, run_id=f"fault-{time.monotonic_ns()}", verify=not full)


def _kill_backend(server: PostgresServer) -> None:
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        pids = connection.execute("select pid from pg_stat_activity where application_name = 'transfer'").fetchall()
    for (pid,) in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _wait_until_up(server: PostgresServer) -> None:
    for _ in range(600):
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(server.uri(), connect_timeout=5):
            return
        time.sleep(0.05)
    raise AssertionError(f"port {server.port} did not come back")


def test_no_fault_shows_a_reader_half_a_table(
    servers: tuple[PostgresServer, PostgresServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_mode, "_LEAST_RANGE", 2 * 1024 * 1024)  # the table goes over in several ranges
    source, target = servers
    source_uri, target_uri = source.uri(), target.uri()
    execute(
        source_uri,
        "create table item (id bigint primary key, v bigint not null, name text)",
        f"insert into item select i, 0, repeat('x', 50 + i % 50) from generate_series(1, {ROWS}) i",
    )
    chance = random.Random(20261121)
    _move(source_uri, target_uri, full=True)
    started = time.monotonic()
    _move(source_uri, target_uri, full=True)
    full_time = time.monotonic() - started
    states = [rows(source_uri, STATE)[0]]
    reader = Reader(target_uri)
    reader.start()
    failures = 0
    for number in range(1, ROUNDS + 1):
        states.append(_change(source_uri, number))
        full = number % 3 != 0
        fault = ("client", "source", "target", "cut")[number % 4]
        moment = chance.uniform(0, 1.2 * full_time)
        if fault == "client":
            command = [sys.executable, "-m", "include", "transfer", "--source", source_uri, "--target", target_uri]
            command += ["--tables", "public.item"] + (["--full"] if full else [])
            with subprocess.Popen(command, cwd=PROJECT, stdout=-3, stderr=-3) as process:
                time.sleep(0.4 + moment)
                failures += process.poll() is None
                process.kill()
        else:
            proxies = [Proxy(server.port) for server in (source, target)]
            uris = [
                f"postgresql://superuser:{s.superuser_password}@127.0.0.1:{p.port}/postgres"
                for s, p in zip(servers, proxies, strict=True)
            ]

            def strike(fault: str = fault, moment: float = moment, proxies: list[Proxy] = proxies) -> None:
                time.sleep(moment)
                if fault == "cut":
                    chance.choice(proxies).cut()
                else:
                    _kill_backend(source if fault == "source" else target)

            thread = threading.Thread(target=strike)
            thread.start()
            try:
                _move(*uris, full=full)
            except TransferError as error:
                failures += 1
                assert "postgres:" not in str(error)
            thread.join()
            for proxy in proxies:
                proxy.cut()
        for server in servers:
            _wait_until_up(server)
        now = rows(target_uri, STATE)[0]
        assert now in states[-2:], f"round {number}, {fault}: the target holds neither the old rows nor the new ones"
        _move(source_uri, target_uri, full=False)
        assert rows(target_uri, STATE)[0] == states[-1], f"round {number}: rows are lost or doubled after {fault}"
        litter = (
            "select relname from pg_class c where relnamespace = 'transfer'::regnamespace and relkind = 'r'"
            " and relname not in ('runs', 'tables', 'snapshots')"
            " and not exists (select from pg_inherits where inhrelid = c.oid)"
        )
        assert rows(target_uri, litter) == []
    reader.over.set()
    reader.join()
    places = [states.index(state) if state in states else None for state in reader.seen]
    assert None not in places, "a reader saw rows that the source never held together"
    assert places == sorted(places), "a reader saw older rows after newer ones"
    assert reader.reads > ROUNDS
    assert failures > ROUNDS // 4, "the faults came too late to break anything"
    print(f"\n{ROUNDS} faults, {failures} broke a run, {reader.reads} reads, none bad")
