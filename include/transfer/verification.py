"""Checksums of every column, which each server computes over its own rows, whatever order it reads them in."""

from __future__ import annotations

from psycopg import sql

from include.postgres import Connection
from include.transfer.catalog import Table
from include.transfer.definition import union_all
from include.transfer.model import TableName, TransferRefusedError
from include.transfer.row_hash import hashes_agree, row_hash
from include.transfer.session import older_version
from include.transfer.side_by_side import ask_both

_COLUMNS_PER_QUERY = 200  # a row of a result holds 1,664 values at most


def verify(
    source: Connection, table: Table, where: sql.Composable | None, target: Connection, row_tables: list[TableName]
) -> None:
    """Compare the rows and every column of the source table, where the condition holds, with the target's tables.

    `row_tables` hold the rows in the target: the table itself, or child tables that are not attached to it yet.
    Raises TransferRefusedError, which names the columns that differ.
    """
    if not hashes_agree(source, target):
        raise TransferRefusedError(
            f"{table.name}: can't verify: one server is older than 14, has another encoding or hashes values"
            " differently"
        )
    version = older_version(source, target)
    condition = sql.SQL(" where {}").format(where) if where is not None else sql.SQL("")
    different: list[str] = []
    for start in range(0, max(1, len(table.columns)), _COLUMNS_PER_QUERY):
        columns = table.columns[start : start + _COLUMNS_PER_QUERY]
        # The sum of a column's hashes says which column differs. The sum of whole rows' hashes also notices values
        # that were exchanged between rows.
        hashes = {c.name: row_hash([c], version) for c in columns}
        sums = [sql.SQL("sum({})::text").format(hashed) for hashed in hashes.values()]
        names = ["row count", *hashes]
        if start == 0 and columns:
            sums.insert(0, sql.SQL("sum({})::text").format(row_hash(table.columns, version)))
            names.insert(1, "whole rows")
        checksums = sql.SQL(", ").join([sql.SQL("count(*)"), *sums])
        select = sql.SQL("select {} from {}{}")
        in_source, in_target = ask_both(
            source,
            select.format(checksums, table.name.identifier, condition),
            target,
            select.format(checksums, union_all(row_tables), sql.SQL("")),
        )
        different += [name for name, ours, theirs in zip(names, in_source, in_target, strict=True) if ours != theirs]
    if different:
        raise TransferRefusedError(
            f"{table.name}: differs from the target after the move in {', '.join(different)}: the old rows stay;"
            " run it again with --full"
        )
