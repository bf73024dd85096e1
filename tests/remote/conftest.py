"""A server of SFTP and one of S3 on loopback, each with a landing root behind an Airflow connection."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import boto3
import pytest
from moto.server import ThreadedMotoServer

SECRET = "hush-hush"


class _Login(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("me", SECRET)


@dataclass
class SftpServer:
    """A server in a thread, whose files are in a folder of this machine."""

    folder: Path
    key: Any = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    port: int = 0
    slow: float = 0.0  # seconds before each block that is written

    def start(self) -> None:
        is_ready = threading.Event()
        outer = self

        class Files(asyncssh.SFTPServer):
            def __init__(self, channel: Any) -> None:
                super().__init__(channel, chroot=str(outer.folder).encode())

            async def write(self, file: Any, offset: int, data: bytes) -> int:
                await asyncio.sleep(outer.slow)
                return super().write(file, offset, data)

        async def listen() -> None:
            self.listener = await asyncssh.create_server(
                _Login, "127.0.0.1", 0, server_host_keys=[self.key], sftp_factory=Files
            )
            self.port = self.listener.sockets[0].getsockname()[1]
            is_ready.set()

        def run() -> None:
            self.loop.run_until_complete(listen())
            self.loop.run_forever()

        self.loop = asyncio.new_event_loop()
        threading.Thread(target=run, daemon=True).start()
        assert is_ready.wait(10)

    def stop(self) -> None:
        async def end() -> None:
            self.listener.close()
            sessions = asyncio.all_tasks() - {asyncio.current_task()}
            for session in sessions:
                session.cancel()
            await asyncio.gather(*sessions, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)

    def connection(self, **options: Any) -> str:
        """Return the connection to this server as a variable has it."""
        public = self.key.export_public_key().decode().strip()
        said = {
            "host": "127.0.0.1",
            "port": self.port,
            "login": "me",
            "password": SECRET,
            "extra": {"host_key": public},
        }
        return json.dumps({"conn_type": "sftp", **said, **options})


@dataclass
class Elsewhere:
    """A landing root on a server, and what its owner does there by other means than the project's."""

    url: str
    sftp: SftpServer | None = None
    s3: Any = None

    def put(self, path: str, content: bytes, age: float = 60.0) -> None:
        """Write a file below the root that was last changed so many seconds ago, where the server says when."""
        if self.sftp is None:
            self.s3.put_object(Bucket="bucket", Key=f"{self.url.rpartition('/')[2]}/{path}", Body=content)
            return
        file = self.sftp.folder / self.url.rpartition("/")[2] / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        os.utime(file, (time.time() - age, time.time() - age))


@pytest.fixture(scope="session")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    server = SftpServer(tmp_path_factory.mktemp("sftp"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


def aws_connection(endpoint: str) -> str:
    said = {"login": "me-me-me", "password": SECRET, "extra": {"endpoint_url": endpoint, "region_name": "us-east-1"}}
    return json.dumps({"conn_type": "aws", **said})


@pytest.fixture(params=["sftp", "s3"])
def elsewhere(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sftp: SftpServer, s3_endpoint: str
) -> Elsewhere:
    """An empty root of its own on each server."""
    monkeypatch.setenv("HOME", str(tmp_path))
    name = f"landing-{tmp_path.name.replace('_', '-')}"
    if request.param == "sftp":
        monkeypatch.setenv("AIRFLOW_CONN_BOX", sftp.connection())
        return Elsewhere(f"sftp://box@/{name}", sftp=sftp)
    monkeypatch.setenv("AIRFLOW_CONN_STORE", aws_connection(s3_endpoint))
    s3 = boto3.client(
        "s3", endpoint_url=s3_endpoint, aws_access_key_id="me", aws_secret_access_key=SECRET, region_name="us-east-1"
    )
    s3.create_bucket(Bucket="bucket")
    return Elsewhere(f"s3://store@bucket/{name}", s3=s3)
