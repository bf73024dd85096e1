"""Hashes of rows and columns that both servers compute for themselves, equal only where the values are the same.

hash_record_extended is the fastest hash in SQL, and it hashes what its types call equal: 1.0 like 1.00, -0 like 0, a
day like 24 hours. Values that differ must not pass for equal here, so such types are hashed in a form that tells them
apart, and types whose hash knows OIDs or a server's locale are hashed as text. Whether two servers' hashes agree is
tried on known values before any is believed.

The hash of a record is a sum of its columns' hashes with factors. Added up over rows, two rows that exchange a value
would cancel out, so every row's hash is hashed once more before rows are combined.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from include.transfer.catalog import Column
from include.transfer.session import Connection, scalar

_AS_THEY_ARE = {
    *("boolean", "bytea", '"char"', "name", "smallint", "integer", "bigint", "oid", "uuid", "date", "xid8"),
    *("time without time zone", "timestamp without time zone", "timestamp with time zone", "macaddr", "inet", "cidr"),
}
_AS_TEXT_BYTES = {"text", "character varying"}
_SENT = {"real": "float4send", "double precision": "float8send"}
_CHUNK = 400  # a record holds 1,664 columns at most, and one column may become two

_PROBE = """hash_record_extended(row(true, '\\x00ff'::bytea, 'a'::"char", 'n'::name, 1::int2, -2::int4, 3::int8, 4::oid,
    '00112233-4455-6677-8899-aabbccddeeff'::uuid, date '2000-02-29', time '12:34:56.789', '17'::xid8, null::int,
    timestamp '1999-12-31 23:59:59', timestamptz '1999-12-31 23:59:59+00', macaddr '08:00:2b:01:02:03',
    inet '10.0.0.1/8', cidr '10.0.0.0/8', 'é€😀'::text, 'x'::varchar, 'y  '::char(3), 1.50::numeric, numeric_send(1.50),
    float8send('NaN')), 42)"""


def hashes_agree(source: Connection, target: Connection) -> bool:
    """Return whether both servers have the hash functions and give the same hashes."""
    if min(source.info.server_version, target.info.server_version) < 140000:
        return False
    probe = sql.SQL("select {}").format(sql.SQL(_PROBE))
    return bool(scalar(source, probe) == scalar(target, probe))


def row_hash(columns: Sequence[Column]) -> sql.Composable:
    """Return the SQL of a row's hash, a bigint."""
    parts = [_terms(c) for c in columns]
    hashed: sql.Composable = sql.SQL("0")
    for start in range(0, len(parts), _CHUNK):
        row = sql.SQL(", ").join(term for terms in parts[start : start + _CHUNK] for term in terms)
        hashed = sql.SQL("hash_record_extended(row({}), {})").format(row, hashed)
    return sql.SQL("hashint8extended({}, 0)").format(hashed)


def _terms(column: Column) -> list[sql.Composable]:
    name = sql.Identifier(column.name)
    base = column.base
    if base in _AS_THEY_ARE:
        return [name]
    if base in _AS_TEXT_BYTES:
        return [sql.SQL('{} collate "C"').format(name)]  # bytes, whatever the column's collation calls equal
    if base == "character" and column.typmod > 0:
        return [sql.SQL('{} collate "C"').format(name)]
    if base == "numeric":
        # one hash stands for NaN and both infinities, which a column with a precision can't hold
        return [name] if column.typmod >= 0 else [sql.SQL("numeric_send({})").format(name)]
    if base in _SENT:
        return [sql.SQL("{}({})").format(sql.SQL(_SENT[base]), name)]
    if base == "character":
        return [sql.SQL("bpcharsend({})").format(name)]
    return [sql.SQL('{}::text collate "C"').format(name)]
