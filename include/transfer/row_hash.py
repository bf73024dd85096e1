"""Hashes of rows that both servers compute for themselves, equal only where the values are the same.

A row's hash is 64 bits wide. For a table (id integer not null, big bigint not null, name text, price real) it is

    hashint8extended("big", "big" # (                             -- never NULL: hashed with what follows as the seed
      hashint4extended("id",                                      -- never NULL
        hash_record_extended(row(float4send("price")), 0::bigint) -- a type without such a function
        # coalesce(hashtextextended("name" collate "C", 3), 0)    -- may be NULL: hashed with its position as the seed
    )))

Because each value is the seed of another one's hash, it counts together with all others of its row. So the hashes of
many rows can be combined by XOR: two rows that exchange a value don't cancel out. hash_record_extended of the whole
row would do as well, but it makes the record first and takes half as long again. (`#` is XOR.)

Values that differ must not pass for equal, so what a type's own hash can't tell apart is hashed in another form:

    1.0 and 1.00; -0 and 0; a day and 24 hours       equal to SQL: the binary form or the text is hashed
    1 and 2^32 as bigint; some pairs of times        folded to 32 bits: the value itself goes into the seed, or its
                                                     binary form is hashed
    types whose hash depends on OIDs or a locale     hashed as text

`hashes_agree` tries on known values whether both servers compute the same hashes before any is believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from psycopg import sql

from include.postgres import Connection, scalar
from include.transfer.catalog import Column
from include.transfer.session import older_version

# Functions of a value and a seed, which take a column as it is.
_FUNCTIONS: dict[str, LiteralString] = {
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
_FUNCTIONS_FROM_18: dict[str, LiteralString] = {
    "date": "hashdateextended",
    "boolean": "hashboolextended",
    "bytea": "hashbyteaextended",
}
# Types that a record's hash tells apart as they are.
_AS_THEY_ARE = {"boolean", "bytea", '"char"', "name", "date", "macaddr", "inet", "cidr"}
# Types of which the binary form is hashed.
_SENT: dict[str, LiteralString] = {
    "real": "float4send",
    "double precision": "float8send",
    "numeric": "numeric_send",
    "character": "bpcharsend",
    "time without time zone": "time_send",
    "timestamp without time zone": "timestamp_send",
    "timestamp with time zone": "timestamptz_send",
    "xid8": "xid8send",
}
_TEXTS = ("text", "character varying", "character")
# Columns of one record, which holds 1,664 at most, and calls in one nest, which the server's stack limits.
_MOST_COLUMNS = 400

# One value of each function and of each type in `_AS_THEY_ARE`, some outside ASCII.
_PROBE: LiteralString = """hash_record_extended(row(true, '\\x00ff'::bytea, 'a'::"char", 'n'::name,
    date '2000-02-29', null::int, macaddr '08:00:2b:01:02:03', inet '10.0.0.1/8', cidr '10.0.0.0/8', 'é€😀'::text,
    float8send('NaN')),
    hashint2extended(1::int2, hashint4extended(-2, hashint8extended(3, hashoidextended(4, uuid_hash_extended(
    '00112233-4455-6677-8899-aabbccddeeff', hash_numeric_extended(1.50, hashtextextended('é€😀' collate "C",
    hashbpcharextended('y  '::char(3) collate "C", 42)))))))))"""


def hashes_agree(source: Connection, target: Connection) -> bool:
    """Return whether both servers have the hash functions and give the same hashes."""
    # text is hashed as the bytes that the server stores
    encodings = {connection.info.parameter_status("server_encoding") for connection in (source, target)}
    if older_version(source, target) < 140000 or len(encodings) > 1:  # hash_record_extended came with 14
        return False
    probe = sql.SQL("select {}").format(sql.SQL(_PROBE))
    return bool(scalar(source, probe) == scalar(target, probe))


def row_hash(columns: Sequence[Column], version: int) -> sql.Composable:
    """Return the SQL of a row's hash over these columns: a bigint, never NULL.

    `version` is server_version_num of the older server, because both must have the functions.
    """
    functions = _FUNCTIONS | (_FUNCTIONS_FROM_18 if version >= 180000 else {})
    direct: list[Column] = []  # hashed by a function of their own
    in_record: list[Column] = []
    for c in columns:
        has_function = c.base in functions and not _is_sent(c) and len(direct) < _MOST_COLUMNS
        (direct if has_function else in_record).append(c)
    # The SQL is built from the inside out: `seed` is what the next call hashes its value with.
    seed: list[sql.Composable] = [sql.SQL("0::bigint")]
    for start in range(0, len(in_record), _MOST_COLUMNS):
        values = sql.SQL(", ").join(map(_record_value, in_record[start : start + _MOST_COLUMNS]))
        seed = [sql.SQL("hash_record_extended(row("), values, sql.SQL("), "), *seed, sql.SQL(")")]
    for position, c in enumerate(direct, 1):
        if not c.not_null:  # a call with NULL is NULL; the position tells equal values of two columns apart
            column_hash = _call(functions[c.base], c, [sql.Literal(position)])
            seed += [sql.SQL(" # coalesce("), *column_hash, sql.SQL(", 0)")]
    never_null = [c for c in direct if c.not_null]
    for c in never_null:
        seed = _call(functions[c.base], c, seed)
    if never_null:
        return sql.Composed(seed)
    # The last step must be a hash: XOR alone would let equal changes in two columns of two rows cancel out.
    return sql.Composed([sql.SQL("hash_record_extended(row(int8send("), *seed, sql.SQL(")), 0)")])


def _call(function: LiteralString, column: Column, seed: list[sql.Composable]) -> list[sql.Composable]:
    """Return the SQL of a column's hash, as a flat list: composing a nest of 400 levels would recurse too deep."""
    name = sql.Identifier(column.name)
    call = sql.SQL(function) + sql.SQL("(")
    if column.base == "bigint":  # hashint8extended folds the value to 32 bits, so the value goes into the seed as well
        return [call, name, sql.SQL(", "), name, sql.SQL(" # ("), *seed, sql.SQL("))")]
    # collate "C": the hash is of the bytes, whatever the column's collation calls equal
    comma = sql.SQL(' collate "C", ' if column.base in _TEXTS else ", ")
    return [call, name, comma, *seed, sql.SQL(")")]


def _is_sent(column: Column) -> bool:
    """Return whether the column's binary form must be hashed."""
    if column.base == "numeric":
        # hash_numeric gives 1.0 and 1.00 one hash, and NaN and both infinities as well. In a column with a precision,
        # which fixes the scale, only NaN can occur of these.
        return column.typmod < 0
    # the same for padding: char(5) always has as many blanks, bpchar without a length has not
    return column.base in _SENT and not (column.base == "character" and column.typmod > 0)


def _record_value(column: Column) -> sql.Composable:
    """Return the SQL of the form in which a column's value goes into a record's hash."""
    name = sql.Identifier(column.name)
    if column.base == "bigint":
        return sql.SQL("int8send({})").format(name)
    if column.base in _AS_THEY_ARE or (column.base in _FUNCTIONS and not _is_sent(column)):
        return sql.SQL('{} collate "C"').format(name) if column.base in _TEXTS else name
    if _is_sent(column):
        return sql.SQL("{}({})").format(sql.SQL(_SENT[column.base]), name)
    return sql.SQL('{}::text collate "C"').format(name)
