"""The parser of a contract's JSON: it keeps the digits of numbers where a column could hold them."""

from __future__ import annotations

from open_data_contract_standard.model import SchemaProperty

from include.contracts import Contract, arrives_as_text
from include.readers import ExactJson


class JsonParser(ExactJson):
    """Parses the JSON values of files of a contract.

    A number that a double can't hold becomes an int or a Decimal, where the contract has a numeric column, or a jsonb
    one that numbers get into unchanged.
    """

    def __init__(self, contract: Contract) -> None:
        super().__init__(keeps_digits=any(map(_keeps_digits, contract.properties)))


def _keeps_digits(spec: SchemaProperty) -> bool:
    """Return whether a JSON number gets into a column, or a part of one, that holds more digits than a double."""
    kind, type_ = spec.logicalType, spec.physicalType or ""
    if kind == "object" and (not type_ or spec.properties):
        return any(map(_keeps_digits, spec.properties or []))
    if kind in ("object", "array"):
        return not spec.items or _keeps_digits(spec.items)
    if arrives_as_text(spec, False):
        return False
    return type_.startswith("numeric") or (kind == "number" and type_ != "double precision")
