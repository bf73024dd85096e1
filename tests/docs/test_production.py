"""docs/production.md: its commands for backups, restores and a mart's way back, carried out on servers that are lost.

Airflow's services run in no container here. So `compose` is a script that runs what it is asked to run in the service
postgres or scheduler on the embedded servers; tests/stack/docker runs the real one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from include import settings
from include.postgres import Role
from include.stack.local.postgres import PostgresServer, free_port, programs
from tests.conftest import FAST
from tests.docs.pages import Copy, read_blocks

pytestmark = pytest.mark.timeout(600)

PAGE = (settings.PROJECT / "docs" / "production.md").read_text(encoding="utf-8")
PASSWORD = "secret"
ROWS = 100
COMPOSE = """#!/bin/sh
case "$1 $2 $3" in
"exec -T postgres") shift 3; program=$1; shift
    PATH="$AIRFLOW_PROGRAMS:$PATH" PGHOST=127.0.0.1 PGPORT="$AIRFLOW_PORT" exec "$program" "$@" ;;
"exec -T scheduler") shift 4; exec .venv/bin/warehouse "$@" ;;
"run --rm -T") case "$*" in *" -c .") tar -C keys -c . ;; *) mkdir -p keys && tar -C keys -x ;; esac ;;
*) echo "compose $*" >&2 ;;
esac
"""
VISITS = """
apiVersion: v3.2.0
kind: DataContract
id: web.visits
version: 1.0.0
status: active
servers: [{server: landing, type: custom, path: "web/day=*/visits.json", format: json}]
schema:
  - name: visits
    physicalName: visits
    logicalType: object
    properties:
      - {name: visit_id, logicalType: integer, physicalType: bigint, primaryKey: true, primaryKeyPosition: 1,
         required: true, description: Number of the visit.}
      - {name: page, logicalType: string, physicalType: text, required: true, description: Page.}
"""
ORDERS = """
create schema app authorization source_db;
create table app.orders (id bigint primary key, page text, amount numeric(10, 2));
alter table app.orders owner to source_db;
insert into app.orders select n, '/' || n % 3, n from generate_series(1, 500) n;
"""
MART = """
select page, count(*) as visits, (select sum(amount) from {{ source('app', 'orders') }}) as amount
from {{ ref('stg_web__visits') }}
group by page
"""
MART_YML = """
models:
  - name: page_visits
    columns:
      - {name: page, data_type: text}
      - {name: visits, data_type: bigint}
      - {name: amount, data_type: numeric}
"""


def commands(heading: str) -> str:
    """Return the commands of a section of the page."""
    section = re.search(rf"^#+ (?:\d+\. )?{heading}\n(.*?)(?=^#|\Z)", PAGE, re.M | re.S)
    assert section, f"docs/production.md has no section {heading}"
    return "\n".join(block.text for block in read_blocks(section[0]))


@dataclass
class Warehouse:
    """A project with its three servers, and the marts that its pipeline has built."""

    copy: Copy
    servers: dict[str, PostgresServer]
    days: int = 0  # of files that were landed, ROWS each

    def run(self, commands: str) -> str:
        return self.copy.run(commands)

    def land(self) -> None:
        """Put the files of the next day into the landing root, change an application's rows, and run the pipeline."""
        self.days += 1
        file = self.copy.folder / "landing" / "web" / f"day={self.days}" / "visits.json"
        file.parent.mkdir(parents=True)
        rows = [{"visit_id": self.days * 1000 + number, "page": f"/{number % 3}"} for number in range(ROWS)]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.sql("source", f"update app.orders set amount = amount + {self.days} where id % 7 = 0")
        self.run(".venv/bin/warehouse land")
        self.run(".venv/bin/warehouse transfer\n.venv/bin/warehouse build --select +page_visits")

    def sql(self, name: str, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.servers[name].uri(f"{name}_db" if name != "airflow" else "airflow")) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def mart(self) -> list[tuple[object, ...]]:
        return self.sql("target", "select page, visits, amount from marts.page_visits order by page")

    def visits(self) -> int:
        """How many visits the mart counts."""
        return int(str(self.sql("target", "select sum(visits) from marts.page_visits")[0][0]))

    def last_transfers(self) -> list[tuple[object, ...]]:
        query = "select distinct on (source) source, mode, verdict from transfer.runs order by source, started_at desc"
        return self.sql("target", query)

    def make_airflows_database(self) -> None:
        """Make what the image's entrypoint makes at its first start."""
        with psycopg.connect(self.servers["airflow"].uri(), autocommit=True) as connection:
            connection.execute(f"create role postgres superuser login password '{PASSWORD}'")
            connection.execute("create database airflow owner postgres")

    def lose(self, name: str) -> None:
        """Destroy a server with its data, and start an empty one on the same port."""
        old = self.servers[name]
        old.destroy()
        self.servers[name] = PostgresServer(
            old.folder, old.port, major=old.major, superuser_password=PASSWORD, options=FAST
        )
        self.servers[name].start()


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """One warehouse for all tests: each lands a day more, and leaves a warehouse that runs."""
    folder = tmp_path_factory.mktemp("production")
    majors = {"source": 18, "target": 18, "airflow": settings.AIRFLOW_POSTGRES_MAJOR}
    servers = {
        name: PostgresServer(folder / name, free_port(), major=major, superuser_password=PASSWORD, options=FAST)
        for name, major in majors.items()
    }
    try:
        yield _fill(folder / "project", servers)
    finally:
        for server in servers.values():
            server.destroy()


def _fill(folder: Path, servers: dict[str, PostgresServer]) -> Warehouse:
    source, target, airflow = servers.values()
    source.start([Role("source_db", "source_db", ("source_db",))])
    target.start([Role("target_db", "target_db", ("target_db",))])
    airflow.start()
    copy = Copy(
        folder,
        AIRFLOW_CONN_SOURCE_DB=source.uri("source_db", "source_db", "source_db"),
        AIRFLOW_CONN_TARGET_DB=target.uri("target_db", "target_db", "target_db"),
    )
    compose = folder / "bin" / "compose"
    compose.parent.mkdir()
    compose.write_text(COMPOSE)
    compose.chmod(0o755)
    passwords = folder / "pgpass"
    passwords.write_text(f"*:*:*:*:{PASSWORD}\n")
    passwords.chmod(0o600)
    place = "host=127.0.0.1 port={0.port} user=superuser dbname={1}"
    copy.environment |= {
        "SOURCE": place.format(source, "source_db"),
        "TARGET": place.format(target, "target_db"),
        "AIRFLOW_PORT": str(airflow.port),
        "AIRFLOW_PROGRAMS": str(programs(airflow.major)),
        "PGPASSFILE": str(passwords),
        "PATH": f"{compose.parent}{os.pathsep}{programs(target.major)}{os.pathsep}{copy.environment['PATH']}",
        "LANDING_ROOT": str(folder / "landing"),
        "ARCHIVE_ROOT": str(folder / "archive"),
        "TRANSFER_TABLES": "web.*,app.*",
    }
    warehouse = Warehouse(copy, servers)
    warehouse.make_airflows_database()
    warehouse.sql("source", ORDERS)
    (folder / "include/contracts/web").mkdir(parents=True)
    (folder / "include/contracts/web/visits.yaml").write_text(VISITS)
    warehouse.run(".venv/bin/warehouse contract sources --write\n.venv/bin/warehouse model new web.visits")
    sources = folder / "dbt/models/staging/app/_app__sources.yml"
    sources.parent.mkdir(parents=True)
    sources.write_text("sources: [{name: app, schema: raw_app, tables: [{name: orders}]}]\n")
    marts = folder / "dbt/models/marts/web"
    marts.mkdir(parents=True)
    (marts / "page_visits.sql").write_text(MART)
    (marts / "page_visits.yml").write_text(MART_YML)
    warehouse.run(".venv/bin/warehouse stack keys --folder keys")
    warehouse.land()
    return warehouse


def test_target_that_was_lost_comes_back_and_catches_up(warehouse: Warehouse) -> None:
    warehouse.sql(
        "target",
        "create role analyst login; grant usage on schema marts, raw_web to analyst;"
        " grant select on marts.page_visits, raw_web.visits to analyst",
    )
    warehouse.run(commands("Back up"))
    before = warehouse.visits()
    warehouse.land()
    expected = warehouse.mart()
    warehouse.lose("target")
    restore, run = re.split(r"(?=^compose)", commands("Restore the target"), maxsplit=1, flags=re.M)
    warehouse.run(restore)
    assert warehouse.visits() == before, "the backup is of the day before"
    assert warehouse.sql("target", "select has_table_privilege('analyst', 'marts.page_visits', 'select')") == [(True,)]
    said = warehouse.run(run)
    assert warehouse.visits() == before + ROWS
    assert warehouse.mart() == expected
    assert warehouse.sql("target", "select has_table_privilege('analyst', 'raw_web.visits', 'select')") == [(True,)]
    last = [("app.orders", "key", "verified"), ("web.visits", "append", "verified")]
    assert warehouse.last_transfers() == last, said


def test_source_that_was_lost_lands_again_what_came_after_the_backup(warehouse: Warehouse) -> None:
    warehouse.run(commands("Back up"))
    before = warehouse.visits()
    warehouse.land()
    amount = "select sum(amount) from {}.orders"
    warehouse.lose("source")
    restore, run = re.split(r"(?=^cp)", commands("Restore the source"), maxsplit=1, flags=re.M)
    warehouse.run(restore)
    assert warehouse.sql("source", "select count(*) from web.visits") == [(before,)]
    lost = warehouse.sql("source", amount.format("app"))
    assert warehouse.sql("target", amount.format("raw_app")) != lost
    warehouse.run(run)
    assert warehouse.visits() == before + ROWS
    landed = warehouse.sql("source", "select count(*), count(distinct visit_id) from web.visits")
    assert landed == [(before + ROWS, before + ROWS)]
    assert warehouse.sql("target", amount.format("raw_app")) == lost, "the target follows the older source"
    assert warehouse.last_transfers() == [("app.orders", "full", "verified"), ("web.visits", "full", "verified")]
    assert not list((warehouse.copy.folder / "landing").rglob("*.json"))
    assert len(list((warehouse.copy.folder / "archive").rglob("*.json"))) == warehouse.days
    warehouse.land()
    assert warehouse.visits() == before + 2 * ROWS


def test_history_of_airflow_and_its_keys_come_back(warehouse: Warehouse) -> None:
    folder = warehouse.copy.folder
    uri = warehouse.servers["airflow"].uri("airflow").replace("://", "+psycopg2://", 1)
    environment = {**warehouse.copy.environment, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": uri}

    def airflow(*arguments: str) -> None:
        command = [sys.executable, "-m", "airflow", *arguments]
        subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)

    airflow("db", "migrate")
    warehouse.sql(
        "airflow",
        "insert into dag_run (dag_id, run_id, run_type, run_after, state)"
        " values ('warehouse', 'manual__1', 'manual', now(), 'success')",
    )
    key = (folder / "keys/fernet_key").read_text()
    warehouse.run(commands("Back up"))
    warehouse.lose("airflow")
    warehouse.make_airflows_database()
    warehouse.run("rm -r keys")
    warehouse.run(commands("Restore Airflow's own database"))
    assert warehouse.sql("airflow", "select run_id, state from dag_run") == [("manual__1", "success")]
    airflow("db", "check-migrations")
    assert (folder / "keys/fernet_key").read_text() == key
    assert (folder / "keys/fernet_key").stat().st_mode & 0o077 == 0


def test_mart_is_rolled_back_and_yesterdays_is_taken_from_the_backup(warehouse: Warehouse) -> None:
    warehouse.run(
        "git init -q . && git config user.email a@b.c && git config user.name a && git add -A dbt include"
        " && git commit -qm good"
    )
    good = warehouse.mart()
    warehouse.run(commands("Back up"))
    mart = warehouse.copy.folder / "dbt/models/marts/web/page_visits.sql"
    mart.write_text(MART.replace("count(*)", "2 * count(*)"))
    warehouse.run("git commit -qam wrong\n.venv/bin/warehouse build --select +page_visits")
    assert warehouse.mart() != good
    section = commands("Roll back a mart").replace("orders_daily", "page_visits")
    mend, aside = re.split(r"(?=^createdb)", section, maxsplit=1, flags=re.M)
    warehouse.run(aside)
    with psycopg.connect(warehouse.servers["target"].uri("yesterday")) as connection:
        assert connection.execute("select page, visits, amount from marts.page_visits order by page").fetchall() == good
    (remove,) = re.findall(r"`(dropdb .*yesterday)`", PAGE)
    warehouse.run(remove)
    warehouse.run(mend)
    assert warehouse.mart() == good


def test_dumping_a_refreshed_table_alone_gives_no_row_as_the_page_warns(warehouse: Warehouse) -> None:
    warehouse.run(".venv/bin/warehouse transfer --full")
    assert "alone give an empty one" in PAGE
    alone = warehouse.run('pg_dump --dbname="$TARGET" --data-only --table=raw_app.orders')
    assert not re.search(r"^\d+\t", alone, re.M)
    assert len(re.findall(r"^\d+\t/\d", warehouse.run('pg_dump --dbname="$TARGET" --data-only'), re.M)) >= 500


def test_target_is_restored_on_a_server_that_still_runs(warehouse: Warehouse) -> None:
    before = warehouse.mart()
    warehouse.run(commands("Back up"))
    (drop,) = re.findall(r"`(dropdb .*target_db)`", PAGE)
    reader = psycopg.connect(warehouse.servers["target"].uri("target_db"))
    warehouse.run(drop)  # ends the reader's connection
    reader.close()
    warehouse.run(re.split(r"^compose", commands("Restore the target"), flags=re.M)[0])
    assert warehouse.mart() == before
