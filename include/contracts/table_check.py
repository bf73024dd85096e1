"""Whether contracts of tables that nothing lands in agree with these tables.

Such a table belongs to an application, so each sentence says what to change in the contract, never in the table.
"""

from __future__ import annotations

from collections.abc import Iterator

from include.contracts.catalog import CatalogColumn, CatalogTable, list_tables, reading, with_columns
from include.contracts.model import Column, Contract
from include.contracts.types import is_same_type
from include.names import qualified


def check_tables(contracts: list[Contract], source_uri: str | None = None) -> list[str]:
    """Return how contracts differ from the applications' tables in source_db, a sentence each.

    Landed contracts are left out; without a URI, all are. Needs no right on the tables.
    """
    owned = {(contract.schema, contract.table): contract for contract in contracts if not contract.is_landed}
    if source_uri is None or not owned:
        return []
    with reading(source_uri, "source_db") as connection:
        found = [table for table in list_tables(connection) if (table.schema, table.name) in owned]
        tables = {(table.schema, table.name): table for table in with_columns(connection, found)}
    return [
        f"{contract.file}: {problem}"
        for name, contract in owned.items()
        for problem in (_differences(contract, tables[name]) if name in tables else [_missing(contract)])
    ]


def _missing(contract: Contract) -> str:
    return (
        f"source_db has no table {qualified(contract.schema, contract.table)}: correct the physicalName of the table"
        " or the schema of the server in the contract, or remove the contract"
    )


def _differences(contract: Contract, table: CatalogTable) -> Iterator[str]:
    found = {column.name: column for column in table.columns}
    for column in contract.columns:
        if column.name not in found:
            yield (
                f"{table.full_name} has no column {column.name}: correct the physicalName of {column.path} in the"
                " contract, or remove the property"
            )
        elif not is_same_type(column.type, found[column.name].type):
            type_ = found[column.name].type
            yield (
                f"{table.full_name}.{column.name} is {type_}, the contract says {column.type}:"
                f" write physicalType: {type_} in the contract"
            )
        elif unknown := _unknown_labels(column, found[column.name]):
            yield (
                f"{table.full_name}.{column.name} has the labels {', '.join(unknown)}, which the contract does not"
                f" know: add them to the enum of {column.path} and to the accepted_values of the staging model"
            )
    known = {column.name for column in contract.columns}
    yield from (_unknown(table, column) for column in table.columns if column.name not in known)


def _unknown_labels(column: Column, found: CatalogColumn) -> list[str]:
    """Return the labels of the column's enum that the contract lacks; none where the contract lists no values."""
    known = {str(entry.value) for entry in column.spec.enum or []}
    shape = found.shape
    while shape.kind == "d" and shape.inner:
        shape = shape.inner
    return [label for label in shape.labels if known and label not in known]


def _unknown(table: CatalogTable, column: CatalogColumn) -> str:
    return (
        f"{table.full_name} has a column {column.name}, which the contract does not know: add a property with"
        f" physicalName: {column.name} and physicalType: {column.type} to the contract"
    )
