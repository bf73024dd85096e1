"""What the tests of contracts for tables share: an application's database, its reader, and a folder of contracts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from include import settings
from include.cli import main

APPLICATION = """
create schema app;
comment on schema app is 'Orders of a shop.';
create type app.state as enum ('open', 'TODO', 'it''s paid');
create type app."Shipping Kind" as enum ('air', 'sea');
create type app.price as (amount numeric(10,2), currency char(3));
create domain app.email as text check (value like '%@%');
create domain app.scores as int[] not null;
create table app.orders (
    id bigint generated always as identity,
    line smallint,
    country char(2) not null,
    code varchar(20),
    state app.state not null,
    kind app."Shipping Kind",
    states app.state[],
    total numeric(10,2) not null,
    ratio numeric,
    price app.price not null,
    customer_email app.email not null,
    birth_date date,
    scores app.scores,
    tags text[],
    placed_at timestamptz(3) not null default now(),
    at_local timestamp,
    at_time time,
    gift boolean,
    weight real,
    document jsonb,
    period tstzrange,
    raw bytea,
    flag "char",
    unique (country, code),
    primary key (line, id)
);
comment on table app.orders is 'Orders, one row per line. {{ env_var(''HOME'') }}';
comment on column app.orders.country is 'Where it goes: {% raw %}.';
create table app.events (id int not null, at date not null, primary key (id, at)) partition by range (at);
create table app.events_2026 partition of app.events for values from ('2026-01-01') to ('2027-01-01');
create view app.open_orders as select id, line from app.orders where state = 'open';
create materialized view app.totals as select country, sum(total) from app.orders group by country;
create table app.secret (id int primary key);
create schema "App Data";
create type "App Data"."order" as enum ('a');
create table "App Data"."Order Lines" (
    "Id" int primary key, id text not null, "user" text not null, "o'clock" "App Data"."order" not null,
    "a {{ b }}" text not null, "select" text);
create table "App Data".order_lines (id int primary key);
create table "App Data"."order-lines" (id int primary key);
create table "App Data"."table" (id int primary key);
insert into app.orders (line, country, state, total, price, customer_email, scores)
    values (1, 'NL', 'it''s paid', 2.5, row(2.5, null), 'ann@example.com', '{1}');
insert into app.events values (1, '2026-02-01');
insert into "App Data"."Order Lines" values (1, 'x', 'y', 'a', 'z');
"""


@dataclass
class Application:
    """An application's database, a user who may read most of it, and a project's folders."""

    uri: str
    reader_uri: str
    target_uri: str
    contracts: Path
    dbt: Path
    capture: pytest.CaptureFixture[str]

    def warehouse(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """Run a command, whose exit code must be as given; return what it printed on stdout and stderr."""
        self.capture.readouterr()
        assert main(arguments) == code, self.capture.readouterr()
        return self.capture.readouterr()

    def execute(self, statements: str) -> None:
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(statements.encode())

    def texts(self) -> dict[str, str]:
        files = sorted(self.contracts.glob("*/*.yaml"))
        return {str(file.relative_to(self.contracts)): file.read_text(encoding="utf-8") for file in files}

    def fill_todos(self) -> None:
        """Write what a person would write in the place of every TODO, except where the rows say it."""
        for name, text in self.texts().items():
            (self.contracts / name).write_text(re.sub(r"(description: )'?TODO.*", r"\1What it is.", text), "utf-8")


@pytest.fixture
def application(
    source_uri: str,
    target_uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Application]:
    """An application's database; commands reach it as a user who may only read."""
    parts = conninfo_to_dict(source_uri)
    reader = f"postgresql://reader:reader@127.0.0.1:{parts['port']}/{parts['dbname']}"
    for name, value in (("CONTRACTS", tmp_path / "contracts"), ("DBT_PROJECT", tmp_path / "dbt")):
        value.mkdir()
        monkeypatch.setattr(settings, name, value)
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_DB", reader)
    monkeypatch.setenv("AIRFLOW_CONN_TARGET_DB", target_uri)
    with psycopg.connect(source_uri, autocommit=True) as connection:
        connection.execute(APPLICATION.encode())
        connection.execute("create role reader login password 'reader'")
        try:
            connection.execute('grant usage on schema app, "App Data" to reader')
            connection.execute('grant select on all tables in schema app, "App Data" to reader')
            connection.execute("revoke select on app.secret from reader")
            yield Application(source_uri, reader, target_uri, tmp_path / "contracts", tmp_path / "dbt", capsys)
        finally:
            connection.execute(sql.SQL("drop owned by reader; drop role reader"))
