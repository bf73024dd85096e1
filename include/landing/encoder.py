"""The encoder of a contract: a function, written and compiled from the contract, that makes a row a line for COPY.

Most of landing's time is spent here. So no row has its contract interpreted again: each column is a statement or two of
plain Python, and a row of usual values runs through them without a call. For an integer key and a text that may be
absent, the source is

    def encode(row):
        if not is_valid(row):
            return explain(row)
        try:
            v1 = row['id']
            if type(v1) is not int:
                v1 = whole(v1, 'id')
            if not -2147483648 <= v1 < 2147483648:
                refuse('range', 'does not fit its integer type', 'id')
            v2 = row.get('label')
            if v2 is None:
                v2 = NULL
            line = f'{v1}\\t{v2}'
            if line.count('\\t') != 1 or '\\\\' in line or '\\r' in line or '\\0' in line:
                return finished(line, (v1, v2,), PATHS)
            return line.replace('\\n', '\\\\n')
        except RefusedError as refusal:
            return refused(refusal)

What a JSON schema can say is checked by `is_valid`. The statements check what it can't: that a date exists, that a
number fits its column, the limits of a number that arrives as text, sums. Whatever comes from the contract stands in
the source as a literal (`repr`), so that no contract can bring code.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, NoReturn

import orjson
from open_data_contract_standard.model import SchemaProperty

from include.contracts import Contract, ContractError, Rule, arrives_as_text

EXACT = Context(prec=400)  # rows are encoded in it (decimal.localcontext): sums of prices are exact then
NULL = "\0null"  # stands for null until a line is finished; no valid text holds its first character
BOUNDS = {
    "minimum": (">=", "is less than {}"),
    "maximum": ("<=", "is more than {}"),
    "exclusiveMinimum": (">", "is not above {}"),
    "exclusiveMaximum": ("<", "is not below {}"),
}
_INTEGERS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}
_TYPES = re.compile(
    r"(text|smallint|integer|bigint|double precision|boolean|date|timestamptz|jsonb|uuid)"
    r"|(numeric)(?:\(([0-9]+),\s*([0-9]+)\))?|(varchar)\(([0-9]+)\)"
)
_TAB = r"\t"
_IS_SPECIAL = r"'\\' in line or '\r' in line or '\0' in line"
_SPECIAL = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class RefusedError(ValueError):
    """A value passes the schema and still fits no column; raised inside the encoder, never beyond it."""

    def __init__(self, code: str, reason: str, path: str) -> None:
        super().__init__(reason)
        self.code, self.reason, self.path = code, reason, path


def encoder(
    contract: Contract,
    is_valid: Callable[[Any], bool],
    explain: Callable[[Any], Any],
    refused: Callable[[RefusedError], Any],
) -> Callable[[Any], Any]:
    """Compile the function that returns a row as one line of COPY's text format, without its end.

    For a row that `is_valid` turns down it returns what `explain` says of the row, for one that fits no column what
    `refused` makes of the error. Raises ContractError for a contract that can't be written.
    """
    source = _Writer(contract).source()
    name = f"<encoder of {contract.name}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)  # tracebacks show its lines
    scope: dict[str, Any] = globals() | {
        "is_valid": is_valid,
        "explain": explain,
        "refused": refused,
        "PATHS": [column.path for column in contract.columns],
    }
    exec(compile(source, name, "exec"), scope)  # noqa: S102
    encode: Callable[[Any], Any] = scope["encode"]
    return encode


class _Writer:
    """Writes the source of one contract's encoder."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.is_csv = contract.format == "csv"
        self.functions: list[str] = []  # those that write the items of arrays
        self.variables = 0

    def source(self) -> str:
        columns, body = self._columns(self.contract.properties, "row", is_sure=True, above="")
        for rule in self.contract.rules:
            if rule.engine == "landing":
                body += self._sum(rule)
        body += [
            f"line = f'{_TAB.join(f'{{{v}}}' for v in columns)}'",
            f"if line.count('{_TAB}') != {len(columns) - 1} or {_IS_SPECIAL}:",
            f"    return finished(line, ({', '.join(columns)},), PATHS)",
            r"return line.replace('\n', '\\n')",
        ]
        encode = [
            "def encode(row):",
            "    if not is_valid(row):",
            "        return explain(row)",
            "    try:",
            *_indented(body, 2),
            "    except RefusedError as refusal:",
            "        return refused(refusal)",
        ]
        return "\n".join([*self.functions, *encode, ""])

    def _columns(
        self, properties: Sequence[SchemaProperty], holder: str, *, is_sure: bool, above: str
    ) -> tuple[list[str], list[str]]:
        """Return the variables of the columns and the statements that put their values, or NULL, into them."""
        variables, body = [], []
        for spec in properties:
            path = f"{above}{spec.name}"
            is_there = is_sure and bool(spec.required)
            v = self._variable()
            value = f"{holder}[{spec.name!r}]" if is_there else f"{holder}.get({spec.name!r})"
            if spec.logicalType == "object" and not spec.physicalType:
                body.append(f"{v} = {value}" if is_there else f"{v} = {value} or {{}}")
                inner, statements = self._columns(spec.properties or [], v, is_sure=is_there, above=f"{path}.")
                variables += inner
                body += statements
                continue
            variables.append(v)
            body.append(f"{v} = {value}")
            conversion = self._conversion(spec, v, path)
            if is_there:
                body += conversion
            else:
                body += [f"if {v} is None:", f"    {v} = NULL"]
                body += ["else:", *_indented(conversion)] if conversion else []
        return variables, body

    def _conversion(self, spec: SchemaProperty, v: str, path: str) -> list[str]:
        """Return the statements that turn a column's value, which is not null, into what its text is formatted from."""
        matched = _TYPES.fullmatch(spec.physicalType or "")
        if matched is None:
            raise ContractError(
                f"{self.contract.file}: {path}: physicalType {spec.physicalType!r} is none that landing writes: text, "
                "varchar(n), smallint, integer, bigint, numeric[(p,s)], double precision, boolean, date, timestamptz, "
                "uuid, jsonb"
            )
        simple, numeric, precision, scale, _, length = matched.groups()
        if numeric:
            place = [f"check_fits({v}, {precision}, {scale}, {path!r})"] if precision else []
            return [*self._number(spec, v, path, []), *place]
        if length:
            return [f"if len({v}) > {length}:", f"    {_refuse('range', f'is longer than {length}', path)}"]
        if simple in _INTEGERS:
            return self._integer(spec, v, path, _INTEGERS[simple])
        if simple == "double precision":
            return [f"{v} = float({v})", *self._bounds(spec, v, path), f"{v} = repr({v})"]
        if simple == "jsonb":
            return [
                f"sent = {v}",
                *self._json(spec, v, path),
                rf"if '\\u0000' in {v} and holds_nul(sent):",
                f"    {_refuse('nul_character', 'holds a NUL character, which jsonb has not', path)}",
            ]
        return {
            "boolean": [f"{v} = 't' if {v} in (True, 'true') else 'f'"],
            "date": [f"{v} = whole_day({v}, {path!r})"],
            "timestamptz": [f"{v} = moment({v}, {path!r})"],
        }.get(simple, [])

    def _integer(self, spec: SchemaProperty, v: str, path: str, size: int) -> list[str]:
        return [
            f"if type({v}) is not int:",
            f"    {v} = whole({v}, {path!r})",
            f"if not {-size} <= {v} < {size}:",
            f"    {_refuse('range', 'does not fit its integer type', path)}",
            *self._bounds(spec, v, path),
        ]

    def _number(self, spec: SchemaProperty, v: str, path: str, rest: list[str]) -> list[str]:
        """Return the checks of a number and the rest of its conversion, which is for numbers below 1 alone."""
        if not arrives_as_text(spec, self.is_csv):
            return []
        statements = [*self._bounds(spec, f"Decimal({v})", path), *rest]
        options = spec.logicalTypeOptions or {}
        if any(name in options and (name.endswith("aximum") or options[name] > 0) for name in BOUNDS):
            return statements
        return [f"if {v}[0] not in '123456789':", *_indented(statements)] if statements else []

    def _bounds(self, spec: SchemaProperty, value: str, path: str) -> list[str]:
        """Return the checks of a value that arrives as text; those of other numbers are in the schema."""
        options = spec.logicalTypeOptions or {}
        made = []
        for name, (operator, reason) in BOUNDS.items():
            if name in options and arrives_as_text(spec, self.is_csv):
                limit = options[name]
                if not isinstance(limit, int | float):
                    raise ContractError(f"{self.contract.file}: {path}: {name}: {limit!r} is no number")
                number = repr(limit) if isinstance(limit, int) else f"Decimal({str(limit)!r})"
                made.append(f"if not {value} {operator} {number}:")
                made.append(f"    {_refuse('range', reason.format(limit), path)}")
        return made

    def _json(self, spec: SchemaProperty, v: str, path: str) -> list[str]:
        """Return the statements that turn a value, which is not null, into JSON, with keys named as the contract says
        and text that is a number as a number."""
        kind = spec.logicalType
        if kind == "array" and spec.items:
            name = f"json_{self._variable()}"
            body = [*self._json(spec.items, "value", path), "return f'{value}'"]
            self.functions.append("\n".join([f"def {name}(value):", *_indented(body), ""]))
            return [f"{v} = '[' + ','.join([{name}(item) for item in {v}]) + ']'"]
        if kind == "object" and spec.properties:
            return self._json_object(spec.properties, v, path)
        if kind == "integer":
            return self._integer(spec, v, path, _INTEGERS.get(spec.physicalType or "", 2**63))
        if kind == "number" and arrives_as_text(spec, self.is_csv):
            return self._number(spec, v, path, [f"{v} = json_number({v})"])
        check = {"date": "whole_day", "timestamp": "moment"}.get(kind or "")
        return [*([f"{check}({v}, {path!r})"] if check else []), f"{v} = json_text({v}, {path!r})"]

    def _json_object(self, properties: list[SchemaProperty], v: str, path: str) -> list[str]:
        """Write the object with its keys in order, each behind a comma, and take the first comma away."""
        body, template = [], ""
        for spec in properties:
            name = orjson.dumps(spec.physicalName or spec.name).decode().replace("{", "{{").replace("}", "}}")
            part = self._variable()
            conversion = [f"{part} = {v}[{spec.name!r}]", *self._json(spec, part, f"{path}.{spec.name}")]
            if spec.required:
                body += conversion
                template += f",{name}:{{{part}}}"
            else:
                whole = f"{part} = f{f',{name}:{{{part}}}'!r}"
                body += [f"{part} = ''", f"if {v}.get({spec.name!r}) is not None:", *_indented([*conversion, whole])]
                body += [f"elif {spec.name!r} in {v}:", f"    {part} = f{f',{name}:null'!r}"]
                template += f"{{{part}}}"
        if properties[0].required:
            return [*body, f"{v} = f{f'{{{{{template[1:]}}}}}'!r}"]
        return [*body, f"{v} = '{{' + f{template!r}[1:] + '}}'"]

    def _sum(self, rule: Rule) -> list[str]:
        """Return the check of {sumOf: path of an array, product: [names], equals: path}: exact, in decimals."""
        said = rule.implementation
        if set(said) != {"sumOf", "product", "equals"}:
            raise self._unusable(rule, "needs sumOf, product and equals, no other key")
        array, lines = self._reach(rule, said["sumOf"])
        total, equals = self._reach(rule, said["equals"])
        inner = {spec.name: spec for spec in (array.items.properties if array.items else None) or []}
        for name in said["product"]:
            if name not in inner or not inner[name].required:
                raise self._unusable(rule, f"product: {name!r} is no required property of the items of {said['sumOf']}")
        product = " * ".join(self._decimal(inner[name], f"item[{name!r}]") for name in said["product"])
        return [
            f"lines, total = {lines}, {equals}",
            "if lines is not None and total is not None:",  # whether they may be absent is not this rule's business
            f"    total = {self._decimal(total, 'total')}",
            "    for item in lines:",
            f"        total -= {product}",
            "    if total:",
            f"        {_refuse(f'rule.{rule.name}', f'not so: {rule.description}', '')}",
        ]

    def _reach(self, rule: Rule, path: str) -> tuple[SchemaProperty, str]:
        """Return the property at a path of the row, and the expression that gives its value or None."""
        place, properties = "row", list(self.contract.properties)
        found: SchemaProperty | None = None
        for name in path.split("."):
            place = place if found is None else f"({place} or {{}})"
            found = next((spec for spec in properties if spec.name == name), None)
            if found is None:
                raise self._unusable(rule, f"there is no {path} in the row")
            place, properties = f"{place}.get({name!r})", list(found.properties or [])
        assert found is not None
        return found, place

    def _decimal(self, spec: SchemaProperty, value: str) -> str:
        if spec.logicalType == "integer" and not arrives_as_text(spec, self.is_csv):
            return f"int({value})"
        return f"Decimal({value})" if arrives_as_text(spec, self.is_csv) else f"Decimal(repr({value}))"

    def _unusable(self, rule: Rule, reason: str) -> ContractError:
        return ContractError(f"{self.contract.file}: quality: {rule.name}: {reason}")

    def _variable(self) -> str:
        self.variables += 1
        return f"v{self.variables}"


def _indented(statements: list[str], levels: int = 1) -> list[str]:
    return ["    " * levels + statement for statement in statements]


def _refuse(code: str, reason: str, path: str) -> str:
    return f"refuse({code!r}, {reason!r}, {path!r})"


# --- what the source calls, for values that are not the usual ones ----------------------------------------------------


def refuse(code: str, reason: str, path: str) -> NoReturn:
    raise RefusedError(code, reason, path)


def whole(value: Any, path: str) -> int:
    """Return a number that came as text or as 1.0, an integer in JSON's eyes, and so does one of too many digits."""
    if isinstance(value, float) and abs(value) >= 2**53:
        refuse("range", "is too large to be read exactly", path)
    return int(value)


def whole_day(value: str, path: str) -> str:
    day = value[:10]
    try:
        date.fromisoformat(day)
    except ValueError:
        refuse("format", "is no day of the calendar", path)
    if len(value) > 10 and value[10:].strip("T 0:.Z+"):
        refuse("format", "is a time of the day, not a whole day", path)
    return day


def moment(value: str, path: str) -> str:
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        refuse("format", "is no time of the calendar", path)
    if time.tzinfo is None:
        return value + "+00"
    if abs(time.utcoffset() or timedelta()) >= timedelta(hours=16):
        refuse("format", "has a zone that no place on earth has", path)
    return value


def check_fits(value: Any, precision: int, scale: int, path: str) -> None:
    """Refuse a number that a numeric(precision, scale) can't hold or would round."""
    number = Decimal(str(value))
    if number and (number.adjusted() >= precision - scale or number != round(number, scale)):
        refuse("range", f"does not fit numeric({precision},{scale})", path)


def json_number(value: str) -> str:
    """Return a decimal number in text as JSON has it: without leading zeros."""
    sign, digits = ("-", value[1:]) if value[0] == "-" else ("", value)
    whole, point, decimals = digits.partition(".")
    return f"{sign}{whole.lstrip('0') or '0'}{point}{decimals}"


def json_text(value: Any, path: str) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        refuse("type", "is nested too deeply", path)


def holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(holds_nul(part) for part in (*value, *value.values()))
    return isinstance(value, list) and any(holds_nul(part) for part in value)


def finished(line: str, values: tuple[Any, ...], paths: Sequence[str]) -> str:
    """Return the line that the values make as COPY wants one with nulls or special characters in it.

    The special characters are those of its text format (PostgreSQL manual, COPY).
    """
    if "\0" in line and line.count("\0") != sum(value is NULL for value in values):
        path = next(p for p, v in zip(paths, values, strict=True) if v is not NULL and "\0" in str(v))
        refuse("nul_character", "holds a NUL character, which text can't", path)
    if line.count("\t") == len(values) - 1:
        line = line.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    else:
        line = "\t".join([escaped(str(value)) for value in values])
    return line.replace(NULL, "\\N")


def escaped(value: str) -> str:
    """Return a text as a line for COPY holds it."""
    return value.translate(_SPECIAL)
