"""Values of every type at its limits, and tables that hold them."""

from __future__ import annotations

from tests.transfer.conftest import execute

TYPES = {
    "smallint": ["-32768", "32767", "0"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "real": ["'NaN'", "'Infinity'", "'-Infinity'", "'-0'", "1.1", "3.4028235e38", "1e-45"],
    "double precision": ["'NaN'", "'Infinity'", "'-0'", "0.1", "1.7976931348623157e308", "5e-324"],
    "numeric": ["'NaN'", "'Infinity'", "'-Infinity'", "1.0", "1.00", "0", "0.000", f"{'9' * 1000}.{'1' * 1000}"],
    "numeric(12,2)": ["'NaN'", "-9999999999.99", "0.10"],
    "money": ["'-92233720368547758.08'", "'12.34'"],
    "text": ["''", "'a\nb\tc\\\\d\r'", "'\\N'", "'\\.'", "'emoji 😀 é ß'", "repeat('x', 1000000)", "' '"],
    "varchar(5)": ["''", "'abc'", "'  '"],
    "char(5)": ["''", "'abc'", "' x'"],
    "bpchar": ["'abc  '", "'abc'", "''"],
    "name": ["'n'", "repeat('é', 31)"],
    '"char"': ["'a'", "''"],
    "bytea": ["''", "'\\x00ff0a5c'", "decode(repeat('00', 100000), 'hex')"],
    "boolean": ["true", "false"],
    "date": ["'infinity'", "'-infinity'", "'4713-01-01 BC'", "'5874897-12-31'", "'2000-02-29'"],
    "timestamp": ["'infinity'", "'-infinity'", "'4713-01-01 BC'", "'294276-12-31 23:59:59.999999'"],
    "timestamptz": ["'infinity'", "'294276-12-31 23:59:59.999999Z'", "'0044-03-15 12:00:00+01 BC'"],
    "timestamp(0)": ["'2000-01-01 00:00:01'"],
    "time": ["'24:00:00'", "'00:00:00.000001'"],
    "timetz": ["'00:00+15:59'", "'24:00-15:59'", "'10:00+01'", "'09:00+00'"],
    "interval": [
        "'1 day'",
        "'24 hours'",
        "'-178000000 years'",
        "'1 mon -1 day 00:00:00.000001'",
        "'30 days'",
        "'1 mon'",
    ],
    "uuid": ["'00112233-4455-6677-8899-aabbccddeeff'"],
    "json": ['\'{"a":  1, "a": 2}\'', "'\"\\u0000\"'", "'null'"],
    "jsonb": ["'{\"a\": 1.0}'", "'{\"a\": 1.00}'", "'null'", "'[]'"],
    "inet": ["'10.0.0.1/8'", "'::1'", "'10.0.0.1'"],
    "cidr": ["'10.0.0.0/8'", "'::/0'"],
    "macaddr": ["'08:00:2b:01:02:03'"],
    "macaddr8": ["'08:00:2b:01:02:03:04:05'"],
    "bit(3)": ["B'101'", "B'000'"],
    "varbit": ["B''", "B'1'", "B'10'"],
    "point": ["'(1,NaN)'", "'(-0,0)'"],
    "polygon": ["'((0,0),(1,1),(1,0))'"],
    "circle": ["'<(0,0),1.1>'"],
    "tsvector": ["'a:1A fat:2 cat'"],
    "tsquery": ["'a & !b'"],
    "xid8": ["'18446744073709551615'"],
    "pg_lsn": ["'16/B374D848'"],
    "regclass": ["'pg_class'"],
    "oid": ["4294967295"],
    "jsonpath": ["'$.a[*] ? (@ > 1)'"],
    "integer[]": ["'{}'", "'{1,NULL,-3}'", "'[0:1]={1,2}'", "'{{1,2},{3,4}}'"],
    "text[]": ["""'{"","NULL",NULL,"a,b","c\\"d"}'"""],
    "numeric[]": ["'{1.0}'", "'{1.00}'", "'{NaN}'"],
    "timestamptz[]": ["'{infinity,\"0044-03-15 12:00:00+00 BC\"}'"],
    "int4range": ["'empty'", "'[1,5)'", "'(,)'"],
    "numrange": ["'[1.0,1.00]'", "'[1.00,1.0]'"],
    "tstzmultirange": ["'{[2000-01-01 00:00Z,2000-01-02 00:00Z),[2001-01-01 00:00Z,infinity)}'"],
    "shop.mood": ["'sad'", "'odd ''one'''"],
    "shop.mood[]": ["'{sad,NULL}'", "'{}'"],
    "shop.positive": ["1", "2.50"],
    "shop.price": ["row(1.50, 'EUR')", "row(null, null)", "row(1.5, 'E\"U,R')"],
    "shop.price[]": ["array[row(1.50, 'EUR')::shop.price]"],
    "shop.span": ["'[1.5,2.5)'", "'empty'"],
    "shop.spans": ["'{[1.5,2.5),[3,4]}'"],
    "shop.moods": ["'{sad,NULL}'", "'{}'"],
    "shop.moods[]": ["array['{sad}'::shop.moods]"],
    "shop.holder": ["row('{sad}', 3, row(1, 'x'))"],
}


DEFINITIONS = (
    "create schema shop",
    "create type shop.mood as enum ('sad', 'ok', 'odd ''one''')",
    "create domain shop.moods as shop.mood[]",
    "create domain shop.positive as numeric(8,2) not null check (value > 0)",
    "create type shop.price as (amount numeric, currency text)",
    "create type shop.span as range (subtype = float8, multirange_type_name = shop.spans)",
    "create type shop.holder as (moods shop.mood[], n shop.positive, p shop.price)",
)


def make_typed_tables(uri: str) -> list[str]:
    """Make one table per type: a key, a column of the type, and one of the type that is NULL. Return their names."""
    execute(uri, *DEFINITIONS)
    tables = []
    for number, (kind, values) in enumerate(TYPES.items()):
        table = f"shop.t{number}"
        values = ", ".join(f"({key}, ({value})::{kind})" for key, value in enumerate(values))
        nothing = "" if "positive" in kind else f", nothing {kind}"
        execute(
            uri,
            f"create table {table} (id integer primary key, value {kind}{nothing})",
            f"insert into {table} values {values}",
        )
        tables.append(table)
    return tables
