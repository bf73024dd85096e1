"""Rows that an open snapshot should show and no longer can, because their table was rewritten or taken away.

PostgreSQL keeps old row versions for old snapshots, except in these cases: TRUNCATE, and ALTER TABLE where it writes
all rows again, leave an empty table to every older snapshot. A partition that was detached, and a table that another
one has replaced under its name, are not read at all. Taken for deletions, they would empty the target.
"""

from __future__ import annotations

from psycopg import sql

from include.postgres import Connection, query
from include.transfer.catalog import Table
from include.transfer.model import TableName

# A select from pg_class shows it as it was at the snapshot; functions such as pg_relation_filenode see what is
# committed by now. Where the two differ, the table's file was replaced since. reltuples is 0 for a table that VACUUM or
# ANALYZE found empty (-1 is unknown): it had nothing to lose.
_REPLACED_SINCE = """
with recursive tree(oid) as (
    select %(oid)s::oid union select i.inhrelid from tree join pg_inherits i on i.inhparent = tree.oid
)
select c.oid::bigint, n.nspname, c.relname,
    case when c.oid = %(oid)s then to_regclass(format('%%I.%%I', n.nspname, c.relname)) is distinct from c.oid
        else %(partitioned)s and c.oid not in (select relid from pg_partition_tree(%(oid)s::oid::regclass)) end,
    c.relkind = 'r' and c.reltuples <> 0 and pg_relation_filenode(c.oid) is distinct from c.relfilenode
from tree join pg_class c using (oid) join pg_namespace n on n.oid = c.relnamespace
"""


def find_lost_rows(connection: Connection, table: Table) -> TableName | None:
    """Return the table, or the one of its partitions or children, whose rows the open snapshot can no longer show.

    Call it after the rows were read: the read's lock then prevents later rewrites until the transaction ends.
    """
    # pg_partition_tree came with 12, and a view has no file
    if connection.info.server_version < 120000 or table.kind == "v":
        return None
    parameters = {"oid": table.oid, "partitioned": table.kind == "p"}
    any_row = sql.SQL("select from {} where tableoid = %s limit 1").format(table.name.identifier)
    for oid, schema, name, is_gone, is_new_file in connection.execute(_REPLACED_SINCE.encode(), parameters).fetchall():
        # VACUUM FULL and CLUSTER replace the file as well, but keep the row versions that the snapshot shows
        if is_gone or (is_new_file and not query(connection, any_row, oid)):
            return TableName(schema, name)
    return None
