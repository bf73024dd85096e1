"""Landing, transfer and dbt reach databases that demand TLS, and refuse a server whose certificate is not verified."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from include import settings
from include.stack.local.postgres import PostgresServer
from tests.landing.conftest import THINGS, write_contract
from tests.tls import Authority, terminator

LAND = """
import sys
from pathlib import Path
from include.contracts import read_contract
from include.landing import land, pending_files
from include import settings

contract, root = read_contract(Path(sys.argv[1])), sys.argv[2]
print(land(contract, pending_files(contract, root), source_uri=settings.connection_uri("source_db"), root=root,
           archive=root + "_archive"))
"""
DBT = "from include.transform import run_dbt; raise SystemExit(run_dbt(['debug', '--connection']))"


@dataclass
class Databases:
    """A source and a target behind TLS, both with certificates of the trusted authority."""

    source: str
    target: str
    trusted: Path
    stranger: Path

    def run(self, authority: Path, *command: str, mode: str = "verify-full") -> subprocess.CompletedProcess[str]:
        """Run Python with the project's two connections, which trust that authority."""
        parameters = f"?sslmode={mode}&sslrootcert={quote(str(authority), safe='')}"
        return subprocess.run(
            [sys.executable, *command],
            cwd=settings.PROJECT,
            env={
                **os.environ,
                "AIRFLOW_CONN_SOURCE_DB": self.source + parameters,
                "AIRFLOW_CONN_TARGET_DB": self.target + parameters,
                "NO_COLOR": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def databases(
    tmp_path: Path, source_server: PostgresServer, target_server: PostgresServer, source_uri: str, target_uri: str
) -> Iterator[Databases]:
    trusted, stranger = Authority(tmp_path, "trusted"), Authority(tmp_path, "stranger")
    context = trusted.issue("127.0.0.1")
    with terminator(source_server.port, context) as source, terminator(target_server.port, context) as target:
        yield Databases(
            source_uri.replace(f":{source_server.port}/", f":{source}/"),
            target_uri.replace(f":{target_server.port}/", f":{target}/"),
            trusted.file,
            stranger.file,
        )


def test_every_stage_connects_where_the_certificate_is_verified(
    databases: Databases, tmp_path: Path, source_uri: str, target_uri: str
) -> None:
    write_contract(tmp_path, THINGS)
    file = tmp_path / "in" / "toys" / "day" / "things.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"id": 1, "label": "ball", "secret": "a@example.com"}\n')
    contract = tmp_path / "contracts" / "toys" / "things.yaml"
    landed = databases.run(databases.trusted, "-c", LAND, str(contract), str(tmp_path / "in"))
    assert landed.returncode == 0, landed.stderr
    moved = databases.run(databases.trusted, "-m", "include", "transfer", "--tables", "toys.*", "--verify")
    assert moved.returncode == 0, moved.stderr
    with psycopg.connect(target_uri) as connection:
        assert connection.execute("select id, label from raw_toys.things").fetchall() == [(1, "ball")]
    debugged = databases.run(databases.trusted, "-c", DBT)
    assert debugged.returncode == 0 and "OK connection ok" in debugged.stdout


@pytest.mark.parametrize("stage", ["land", "transfer", "dbt"])
def test_stage_refuses_a_server_whose_certificate_another_authority_has_signed(
    databases: Databases, tmp_path: Path, stage: str
) -> None:
    write_contract(tmp_path, THINGS)
    file = tmp_path / "in" / "toys" / "day" / "things.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"id": 1, "label": "ball", "secret": "a@example.com"}\n')
    command = {
        "land": ["-c", LAND, str(tmp_path / "contracts" / "toys" / "things.yaml"), str(tmp_path / "in")],
        "transfer": ["-m", "include", "transfer", "--tables", "toys.*"],
        "dbt": ["-c", DBT],
    }[stage]
    for authority, reason in ((databases.stranger, "certificate verify failed"), (tmp_path / "none.pem", "none.pem")):
        refused = databases.run(authority, *command)
        said = refused.stdout + refused.stderr
        assert refused.returncode == 1 and reason in said, said
        assert ":superuser" not in said and conninfo_to_dict(databases.source)["password"] not in said
    assert file.exists()
