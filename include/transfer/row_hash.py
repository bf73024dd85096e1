"""Hashes of rows and columns that both servers compute for themselves, equal only where the values are the same.

A row's hash is 64 bits wide. It starts from the columns that may be null, and each of the others is then hashed with
what came before it as the seed. So a value counts together with all others of its row, and rows can be combined by
XOR: two rows that exchange a value don't cancel out. Taking a record's hash (hash_record_extended) instead, which first
makes the record, takes half as long again.

Values that differ must not pass for equal, so what a type's own hash can't tell apart is hashed in another form: 1.0
and 1.00, -0 and 0, a day and 24 hours; a bigint or a time and one whose upper half differs as its lower half does, for
those are folded to 32 bits. Types whose hash knows OIDs or a server's locale are hashed as text. Whether two servers'
hashes agree is tried on known values before any is believed.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from include.postgres import Connection, scalar
from include.transfer.catalog import Column
from include.transfer.session import older_version

# functions of a value and a seed
_FUNCTIONS = {
    "smallint": "hashint2extended",
    "integer": "hashint4extended",
    "bigint": "hashint8extended",
    "oid": "hashoidextended",
    "uuid": "uuid_hash_extended",
    "numeric": "hash_numeric_extended",
    "text": "hashtextextended",
    "character varying": "hashtextextended",
    "character": "hashbpcharextended",
}
_FUNCTIONS_FROM_18 = {"date": "hashdateextended", "boolean": "hashboolextended", "bytea": "hashbyteaextended"}
_AS_THEY_ARE = {"boolean", "bytea", '"char"', "name", "date", "macaddr", "inet", "cidr"}  # in a record
_SENT = {
    "real": "float4send",
    "double precision": "float8send",
    "numeric": "numeric_send",
    "character": "bpcharsend",
    "time without time zone": "time_send",
    "timestamp without time zone": "timestamp_send",
    "timestamp with time zone": "timestamptz_send",
    "xid8": "xid8send",
}
_CHUNK = 400  # a record holds 1,664 columns at most, and a statement isn't nested much deeper

_PROBE = """hash_record_extended(row(true, '\\x00ff'::bytea, 'a'::"char", 'n'::name, date '2000-02-29', null::int,
    macaddr '08:00:2b:01:02:03', inet '10.0.0.1/8', cidr '10.0.0.0/8', 'é€😀'::text, float8send('NaN')),
    hashint2extended(1::int2, hashint4extended(-2, hashint8extended(3, hashoidextended(4, uuid_hash_extended(
    '00112233-4455-6677-8899-aabbccddeeff', hash_numeric_extended(1.50, hashtextextended('é€😀' collate "C",
    hashbpcharextended('y  '::char(3) collate "C", 42)))))))))"""


def hashes_agree(source: Connection, target: Connection) -> bool:
    """Return whether both servers have the hash functions and give the same hashes."""
    encodings = {connection.info.parameter_status("server_encoding") for connection in (source, target)}
    if older_version(source, target) < 140000 or len(encodings) > 1:  # text is hashed as the bytes that are stored
        return False
    probe = sql.SQL("select {}").format(sql.SQL(_PROBE))
    return bool(scalar(source, probe) == scalar(target, probe))


def row_hash(columns: Sequence[Column], version: int) -> sql.Composable:
    """Return the SQL of a row's hash, a bigint, never null. `version` is the older server's, as server_version_num."""
    functions = _FUNCTIONS | (_FUNCTIONS_FROM_18 if version >= 180000 else {})
    direct: list[Column] = []
    others: list[Column] = []
    for c in columns:
        is_direct = c.base in functions and not _is_sent(c) and len(direct) < _CHUNK
        (direct if is_direct else others).append(c)
    seed: list[sql.Composable] = [sql.SQL("0::bigint")]
    for start in range(0, len(others), _CHUNK):
        row = sql.SQL(", ").join(map(_term, others[start : start + _CHUNK]))
        seed = [sql.SQL("hash_record_extended(row("), row, sql.SQL("), "), *seed, sql.SQL(")")]
    for place, c in enumerate(direct, 1):
        if not c.not_null:
            of_column = _hashed(functions[c.base], c, [sql.Literal(place)])
            seed += [sql.SQL(" # coalesce("), *of_column, sql.SQL(", 0)")]
    last = [c for c in direct if c.not_null]
    for c in last:
        seed = _hashed(functions[c.base], c, seed)
    return sql.Composed(seed if last else [sql.SQL("hash_record_extended(row(int8send("), *seed, sql.SQL(")), 0)")])


def _hashed(function: str, column: Column, seed: list[sql.Composable]) -> list[sql.Composable]:
    """Return the parts of the hash of a column; in one list, since a nest of a column a level would be too deep."""
    name = sql.Identifier(column.name)
    call = sql.SQL(f"{function}(")
    if column.base == "bigint":
        return [call, name, sql.SQL(", "), name, sql.SQL(" # ("), *seed, sql.SQL("))")]
    text = column.base in ("text", "character varying", "character")
    # bytes, whatever the column's collation calls equal
    return [call, name, sql.SQL(' collate "C", ' if text else ", "), *seed, sql.SQL(")")]


def _is_sent(column: Column) -> bool:
    """Return whether the column's binary form must be hashed."""
    if column.base == "numeric":
        # one hash stands for NaN and both infinities, which a column with a precision can't hold
        return column.typmod < 0
    return column.base in _SENT and not (column.base == "character" and column.typmod > 0)


def _term(column: Column) -> sql.Composable:
    name = sql.Identifier(column.name)
    if column.base == "bigint":
        return sql.SQL("int8send({})").format(name)
    if column.base in _AS_THEY_ARE or (column.base in _FUNCTIONS and not _is_sent(column)):
        text = column.base in ("text", "character varying", "character")
        return sql.SQL('{} collate "C"').format(name) if text else name
    if _is_sent(column):
        return sql.SQL("{}({})").format(sql.SQL(_SENT[column.base]), name)
    return sql.SQL('{}::text collate "C"').format(name)
