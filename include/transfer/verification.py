"""Checksums of every column, which each server computes over its own rows, in whatever order it reads them."""

from __future__ import annotations

from psycopg import sql

from include.postgres import Connection
from include.transfer.catalog import Table
from include.transfer.definition import everything
from include.transfer.model import TableName, TransferRefusedError
from include.transfer.row_hash import hashes_agree, row_hash
from include.transfer.session import older_version
from include.transfer.side_by_side import ask_both

_COLUMNS_A_QUERY = 200


def verify(
    source: Connection, target: Connection, table: Table, stores: list[TableName], where: sql.Composable | None
) -> None:
    """Compare rows and every column of source and store; TransferRefusedError names the columns that differ.

    The sum of a column's hashes tells which column differs, the sum of whole rows' hashes also sees values that went
    to each other's rows.
    """
    if not hashes_agree(source, target):
        raise TransferRefusedError(
            f"{table.name}: can't verify: one server is older than 14, has another encoding or hashes values"
            " differently"
        )
    version = older_version(source, target)
    wrong: list[str] = []
    condition = sql.SQL(" where {}").format(where) if where is not None else sql.SQL("")
    for start in range(0, max(1, len(table.columns)), _COLUMNS_A_QUERY):
        columns = table.columns[start : start + _COLUMNS_A_QUERY]
        sums = sql.SQL(", ").join(
            sql.SQL("sum({})::text").format(each)
            for each in ([row_hash(table.columns, version)] if start == 0 and table.columns else [])
            + [row_hash([c], version) for c in columns]
        )
        statement = sql.SQL("select count(*){}{} from {}{}")
        comma = sql.SQL(", " if columns else "")
        here, there = ask_both(
            source,
            statement.format(comma, sums, table.name.identifier, condition),
            target,
            statement.format(comma, sums, everything(stores), sql.SQL("")),
        )
        names = ["row count", *(["whole rows"] if start == 0 and table.columns else []), *(c.name for c in columns)]
        wrong += [name for name, ours, theirs in zip(names, here, there, strict=True) if ours != theirs]
    if wrong:
        raise TransferRefusedError(
            f"{table.name}: differs from the target after the move in {', '.join(wrong)}: the old rows stay;"
            " run it again with --full"
        )
