"""Values of a row on their way into COPY's text format: what a contract's encoder calls for those that need more.

The usual value needs none of this, see `include.landing.encoder`. A function here returns the text of a value, or
raises RejectedValueError for one that passes the JSON schema and still fits no column.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Any

import orjson

from include.contracts.moments import RejectedValueError as RejectedValueError
from include.contracts.moments import as_date as as_date
from include.contracts.moments import as_timestamp as as_timestamp
from include.contracts.moments import reject

# Rows are encoded in this context (decimal.localcontext), so that sums of prices are exact: the largest numbers that a
# encoder lets through have 100 digits before and 100 after the point, and a product of two has twice as many.
EXACT = Context(prec=500)

# Marks NULL in a line until the line is finished. A valid text holds no NUL character, so none can look like it.
NULL = "\0null"

_SPECIAL = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def as_integer(value: Any, path: str) -> int:
    """Return the value as an int. JSON calls 1.0 an integer too; a float of 2**53 or more has lost digits."""
    if isinstance(value, float) and abs(value) >= 2**53:  # a Decimal has not
        reject("range", "is too large to be read exactly", path)
    return int(value)


def check_digits(value: Any, path: str) -> None:
    """Reject a number that is not kept digit by digit here: sums are exact to 100 digits on each side of the point."""
    if isinstance(value, float):
        return
    number = Decimal(value)
    if number and (number.adjusted() >= 100 or int(number.as_tuple().exponent) < -100):
        reject("range", "has more than 100 digits before or after the point", path)


def check_fits(value: Any, precision: int, scale: int, path: str) -> None:
    """Reject a number that numeric(precision, scale) can't hold or would round."""
    number = Decimal(str(value))
    if number and (number.adjusted() >= precision - scale or number != round(number, scale)):
        reject("range", f"does not fit numeric({precision},{scale})", path)


def json_number(value: str) -> str:
    """Return a decimal number that arrived as text as a JSON number, which has no leading zeros."""
    sign, digits = ("-", value[1:]) if value[0] == "-" else ("", value)
    whole, point, decimals = digits.partition(".")
    return f"{sign}{whole.lstrip('0') or '0'}{point}{decimals}"


def json_text(value: Any, path: str) -> str:
    """Return a value as JSON. Numbers that orjson does not write keep every digit."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        pass
    try:
        return _exact_json(value, path)
    except RecursionError:
        reject("type", "is nested too deeply", path)


def _exact_json(value: Any, path: str) -> str:
    if isinstance(value, dict):
        members = [f"{orjson.dumps(key).decode()}:{_exact_json(part, path)}" for key, part in value.items()]
        return f"{{{','.join(members)}}}"
    if isinstance(value, list):
        return f"[{','.join([_exact_json(part, path) for part in value])}]"
    if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        check_digits(value, path)
        return str(value)
    return orjson.dumps(value).decode()


def holds_nul(value: Any) -> bool:
    """Return whether a JSON value holds a NUL character, which jsonb can't store, in any text or key."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(holds_nul(part) for part in (*value, *value.values()))
    return isinstance(value, list) and any(holds_nul(part) for part in value)


def escape_line(line: str, values: tuple[Any, ...], paths: Sequence[str]) -> str:
    """Escape a row for COPY's text format: NULLs, backslashes, tabs and line ends (PostgreSQL manual, COPY).

    `line` is the values joined by tabs; `paths` names each value's place in the row.
    """
    if "\0" in line and line.count("\0") != sum(value is NULL for value in values):
        path = next(p for p, v in zip(paths, values, strict=True) if v is not NULL and "\0" in str(v))
        reject("nul_character", "holds a NUL character, which text can't", path)
    if line.count("\t") == len(values) - 1:
        line = line.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    else:  # a value holds a tab, so the joined line can't be cut into its values again
        line = "\t".join([escape(str(value)) for value in values])
    return line.replace(NULL, "\\N")


def escape(value: str) -> str:
    """Escape one value for COPY's text format."""
    return value.translate(_SPECIAL)
