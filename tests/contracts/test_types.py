"""Two spellings of a type are the same to a contract exactly where they are the same to Postgres."""

from __future__ import annotations

import itertools

import psycopg
import pytest

from include.contracts.types import is_same_type

# A ~ stands for a blank.
SPELLINGS = """
int integer int4 serial smallint int2 smallserial bigint int8 bigserial bool boolean BOOLEAN text name uuid decimal
numeric dec numeric(10,2) decimal(10,2) numeric(10) numeric(10,0) real float4 float(3) float(24) double~precision
float float8 float(25) Double~~Precision varchar character~varying varchar(20) character~varying(20) varchar(21) char
character char(1) bpchar(1) char(2) character(2) bpchar(2) bpchar "char" bytea interval interval(3)
interval~day~to~second(3) interval~year timestamptz timestamp~with~time~zone timestamp timestamptz(3)
timestamp(3)~with~time~zone timestamp~(3)~with~time~zone timestamp(3) timestamp(3)~without~time~zone time timetz
time~with~time~zone time(3) timetz(3) time(3)~with~time~zone bit bit(1) bit(5) varbit(5) bit~varying(5) json jsonb
pg_catalog.jsonb int[] integer[] int4[][] int[3] int~array integer~array[4] text[] varchar(20)[]
character~varying(20)[] numeric(10,2)[] decimal(10,2)[] timestamptz[] timestamp~with~time~zone[] "char"[] int4range
money app.state app."state" APP.STATE state app."State" "app"."State" "State" app.state[] state[] app."a~~b" "a~~b"
app."a.b" "a.b" app."order" app.order "order" app.email
"""


@pytest.fixture
def spelled(source_uri: str) -> dict[str, str]:
    """What the catalog calls the type of each spelling."""
    found = {}
    with psycopg.connect(source_uri, autocommit=True) as connection:
        connection.execute('create schema app; create type app.state as enum (); create type app."State" as enum ()')
        connection.execute('create type app."a  b" as enum (); create type app."a.b" as enum ()')
        connection.execute('create type app."order" as enum (); create domain app.email as text')
        for spelling in (word.replace("~", " ") for word in SPELLINGS.split()):
            connection.execute("set search_path = pg_catalog, app")
            connection.execute(f"create table app.t (c {spelling})".encode())
            connection.execute("set search_path = pg_catalog")
            query = "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'app.t'::regclass"
            (found[spelling],) = connection.execute(f"{query} and attnum = 1".encode()).fetchone() or ("",)
            connection.execute("drop table app.t")
    return found


def test_spellings_of_a_type_mean_what_they_mean_to_postgres(spelled: dict[str, str]) -> None:
    assert len(set(spelled.values())) > 40
    for written, catalog in itertools.product(spelled, set(spelled.values())):
        assert is_same_type(written, catalog) == (spelled[written] == catalog), (written, catalog)
