"""The encoder of a contract: a function that makes a row a line for COPY, written and compiled from the contract.

Most of landing's time is spent in it. Landing a million rows took 3.2 times a COPY of the clean rows while each row had
its contract interpreted, and takes 2.3 times with this, so each column is a statement or two of plain Python, and a row
of usual values runs through them without a call. For an integer key and a text that may be absent, the source is

    def encode(row):
        if not is_valid(row):
            return explain(row)
        try:
            v1 = row['id']
            if type(v1) is not int:
                v1 = as_integer(v1, 'id')
            if not -2147483648 <= v1 < 2147483648:
                reject('range', 'does not fit its integer type', 'id')
            v2 = row.get('label')
            if v2 is None:
                v2 = NULL
            line = f'{v1}\\t{v2}'
            if line.count('\\t') != 1 or '\\\\' in line or '\\r' in line or '\\0' in line:
                return escape_line(line, (v1, v2,), PATHS)
            return line.replace('\\n', '\\\\n')
        except RejectedValueError as error:
            return rejected(error)
        except KeyError:
            return explain(row)

`is_valid` checks what a JSON schema can say. It asks for no required value that is read by its name (`row['id']`):
where that is missing, the KeyError says so. The statements check what no schema can: that a date exists, that a number
fits its column, the limits of a number that arrives as text, sums.

The source is put together from the templates below. A line `$name` alone stands for statements, `$name` within a line
for an expression. Whatever comes from the contract is put in as a literal (`repr`), so that no contract can bring code.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Sequence
from string import Template
from textwrap import dedent
from typing import Any

import orjson
from open_data_contract_standard.model import SchemaProperty

from include.contracts import Contract, ContractError, Rule, arrives_as_text
from include.contracts.types import LANDED_TYPES, LANDED_TYPES_SPELLED
from include.landing import values
from include.landing.values import RejectedValueError

# Limits of a number, by their name in the standard: the operator that must hold, and what is said when it does not.
BOUNDS = {
    "minimum": (">=", "is less than {}"),
    "maximum": ("<=", "is more than {}"),
    "exclusiveMinimum": (">", "is not above {}"),
    "exclusiveMaximum": ("<", "is not below {}"),
}
_INTEGERS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}

# --- templates of the source ------------------------------------------------------------------------------------------

_ENCODE = r"""
    def encode(row):
        if not is_valid(row):
            return explain(row)
        try:
            $columns
            $rules
            line = $line
            if line.count('\t') != $tabs or '\\' in line or '\r' in line or '\0' in line:
                return escape_line(line, ($variables,), PATHS)
            return line.replace('\n', '\\n')
        except RejectedValueError as error:
            return rejected(error)
        except KeyError:
            return explain(row)
"""
_OPTIONAL = """
    if $v is None:
        $v = NULL
    else:
        $conversion
"""
_OPTIONAL_AS_IT_IS = """
    if $v is None:
        $v = NULL
"""
_INTEGER = """
    if type($v) is not int:
        $v = as_integer($v, $path)
    if not $low <= $v < $high:
        reject('range', 'does not fit its integer type', $path)
    $bounds
"""
# A number that is no float has all its digits, see `include.landing.json_parser`.
_EXACT_NUMBER = """
    if type($v) is Decimal or not -1e99 < $v < 1e99:
        check_digits($v, $path)
"""
_VARCHAR = """
    if len($v) > $length:
        reject('range', $reason, $path)
"""
_DOUBLE = """
    $bounds
    $v = repr(float($v))
"""
_BOUND = """
    if not $value $operator $limit:
        reject('range', $reason, $path)
"""
_ENUM = """
    if $value not in $allowed:
        reject('value', 'is not one of the values that the contract lists', $path)
"""
# A number with a digit from 1 to 9 in front is above 0 and has no leading zero. Most are, and only limits above 0 and
# conversions of leading zeros and signs are left for the others.
_ONLY_BELOW_ONE = """
    if $v[0] not in '123456789':
        $statements
"""
_JSONB = r"""
    sent = $v
    $conversion
    if '\\' in $v and '\\u0000' in $v and holds_nul(sent):
        reject('nul_character', 'holds a NUL character, which jsonb has not', $path)
"""
_JSON_ITEM = """
    def $name(value):
        $conversion
        return f'{value}'
"""
_JSON_ARRAY = "$v = '[' + ','.join(map($name, $v)) + ']'"
# `members` are what stands between the braces, as an f-string that begins with a comma where the first may be absent.
_JSON_OBJECT = "$v = f$members"
_JSON_OBJECT_OF_OPTIONALS = "$v = '{' + f$members[1:] + '}'"
_JSON_OPTIONAL = """
    $part = ''
    if $holder.get($key) is not None:
        $part = $holder[$key]
        $conversion
        $part = $member
    elif $key in $holder:
        $part = $null_member
"""
_SUM = """
    total = $total
    for item in $lines:
        total -= $product
    if total:
        reject($code, $reason, '')
"""
_OPTIONAL_SUM = """
    lines, total = $lines, $total
    if lines is not None and total is not None:
        $sum
"""


def encoder(
    contract: Contract,
    is_valid: Callable[[Any], bool],
    explain: Callable[[Any], Any],
    rejected: Callable[[RejectedValueError], Any],
) -> Callable[[Any], Any]:
    """Compile the function that returns a row as one line of COPY's text format, without its end.

    For a row that `is_valid` turns down the function returns what `explain` says of the row; for one with a value that
    fits no column, what `rejected` makes of the error. Call it in the decimal context `values.EXACT`. Raises
    ContractError for a contract that can't be written.
    """
    source = _Writer(contract).source()
    name = f"<encoder of {contract.name}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)  # tracebacks show its lines
    scope: dict[str, Any] = vars(values) | {
        "is_valid": is_valid,
        "explain": explain,
        "rejected": rejected,
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
        self.functions: list[str] = []  # lines of those that write the items of arrays
        self.variables = 0

    def source(self) -> str:
        variables, statements = self._columns(self.contract.properties, "row", is_sure=True, above="")
        rules = [line for rule in self.contract.rules if rule.engine == "landing" for line in self._sum(rule)]
        encode = _filled(
            _ENCODE,
            columns=statements,
            rules=rules,
            line="f'" + r"\t".join(f"{{{variable}}}" for variable in variables) + "'",
            tabs=len(variables) - 1,
            variables=", ".join(variables),
        )
        return "\n".join([*self.functions, *encode, ""])

    def _columns(
        self, properties: Sequence[SchemaProperty], holder: str, *, is_sure: bool, above: str
    ) -> tuple[list[str], list[str]]:
        """Return the variables of the columns and the statements that put their values, or NULL, into them.

        `holder` is the variable of the object whose properties these are; `is_sure` says that it is always there.
        """
        variables, statements = [], []
        for spec in properties:
            path = f"{above}{spec.name}"
            is_there = is_sure and bool(spec.required)
            v = self._variable()
            value = f"{holder}[{spec.name!r}]" if is_there else f"{holder}.get({spec.name!r})"
            if spec.logicalType == "object" and not spec.physicalType:  # its properties are the columns
                statements.append(f"{v} = {value}" if is_there else f"{v} = {value} or {{}}")
                inner, inner_statements = self._columns(spec.properties or [], v, is_sure=is_there, above=f"{path}.")
                variables += inner
                statements += inner_statements
                continue
            variables.append(v)
            statements.append(f"{v} = {value}")
            conversion = self._conversion(spec, v, path)
            if is_there:
                statements += conversion
            elif conversion:
                statements += _filled(_OPTIONAL, v=v, conversion=conversion)
            else:
                statements += _filled(_OPTIONAL_AS_IT_IS, v=v)
        return variables, statements

    def _conversion(self, spec: SchemaProperty, v: str, path: str) -> list[str]:
        """Return the statements that turn a column's value, which is not null, into what its text is formatted from."""
        matched = LANDED_TYPES.fullmatch(spec.physicalType or "")
        if matched is None:
            raise ContractError(
                f"{self.contract.file}: {path}: physicalType {spec.physicalType!r} is none that landing writes: "
                f"{LANDED_TYPES_SPELLED}"
            )
        simple, numeric, _, _, varchar, _ = matched.groups()
        if numeric:
            return [*self._number(spec, v, path, []), *_limits(spec, v, path)]
        if varchar:
            return _limits(spec, v, path)
        if simple in _INTEGERS:
            return self._integer(spec, v, path, _INTEGERS[simple])
        if simple == "double precision":
            return _filled(_DOUBLE, v=v, bounds=self._bounds(spec, f"Decimal({v})", path))
        if simple == "jsonb" and spec.logicalType in ("integer", "number", "boolean"):
            return self._json(spec, v, path)
        if simple == "jsonb":
            return _filled(_JSONB, v=v, conversion=self._json(spec, v, path), path=repr(path))
        return {
            "boolean": [f"{v} = 't' if {v} in (True, 'true') else 'f'"],
            "date": [f"{v} = as_date({v}, {path!r})"],
            "timestamptz": [f"{v} = as_timestamp({v}, {path!r})"],
        }.get(simple, [])

    def _integer(self, spec: SchemaProperty, v: str, path: str, size: int) -> list[str]:
        return _filled(_INTEGER, v=v, path=repr(path), low=-size, high=size, bounds=self._bounds(spec, v, path))

    def _number(self, spec: SchemaProperty, v: str, path: str, conversion: list[str]) -> list[str]:
        """Return the checks of a decimal number and, for one that arrives as text, `conversion`."""
        if not arrives_as_text(spec, self.is_csv):
            return _filled(_EXACT_NUMBER, v=v, path=repr(path))
        statements = [*self._bounds(spec, f"Decimal({v})", path), *conversion]
        options = spec.logicalTypeOptions or {}
        if spec.enum or any(name in options and (name.endswith("aximum") or options[name] > 0) for name in BOUNDS):
            return statements
        return _filled(_ONLY_BELOW_ONE, v=v, statements=statements) if statements else []

    def _bounds(self, spec: SchemaProperty, value: str, path: str) -> list[str]:
        """Return the limits of a number that arrives as text. Those of other numbers are in the JSON schema."""
        if not arrives_as_text(spec, self.is_csv):
            return []
        options = spec.logicalTypeOptions or {}
        statements = []
        if spec.enum:
            allowed = ", ".join(f"Decimal({str(entry.value)!r})" for entry in spec.enum)
            statements += _filled(_ENUM, value=value, allowed=f"({allowed},)", path=repr(path))
        for name, (operator, reason) in BOUNDS.items():
            if name in options:
                limit = options[name]
                if not isinstance(limit, int | float):
                    raise ContractError(f"{self.contract.file}: {path}: {name}: {limit!r} is no number")
                statements += _filled(
                    _BOUND,
                    value=value,
                    operator=operator,
                    limit=repr(limit) if isinstance(limit, int) else f"Decimal({str(limit)!r})",
                    reason=repr(reason.format(limit)),
                    path=repr(path),
                )
        return statements

    def _json(self, spec: SchemaProperty, v: str, path: str) -> list[str]:
        """Return the statements that turn a value, which is not null, into JSON.

        Keys are named as the contract says, and a number that arrives as text becomes a number.
        """
        kind = spec.logicalType
        if kind == "array" and spec.items:
            name = f"json_{self._variable()}"
            self.functions += _filled(_JSON_ITEM, name=name, conversion=self._json(spec.items, "value", path))
            return _filled(_JSON_ARRAY, v=v, name=name)
        if kind == "object" and spec.properties:
            return self._json_object(spec.properties, v, path)
        if kind == "integer":
            return self._integer(spec, v, path, _INTEGERS.get(spec.physicalType or "", 2**63))
        limits = _limits(spec, v, path)
        if kind == "number" and arrives_as_text(spec, self.is_csv):
            return [*limits, *self._number(spec, v, path, [f"{v} = json_number({v})"])]
        if kind == "boolean" and arrives_as_text(spec, self.is_csv):
            return []  # true and false are written in JSON as they arrive
        check = {"date": "as_date", "timestamp": "as_timestamp"}.get(kind or "")
        return [*limits, *([f"{check}({v}, {path!r})"] if check else []), f"{v} = json_text({v}, {path!r})"]

    def _json_object(self, properties: list[SchemaProperty], v: str, path: str) -> list[str]:
        """Return the statements that write an object, its keys in the contract's order.

        Every member is written with a comma in front, an absent one as nothing at all; the first comma is cut off.
        """
        statements, members = [], ""
        for spec in properties:
            key = orjson.dumps(spec.physicalName or spec.name).decode().replace("{", "{{").replace("}", "}}")
            part = self._variable()
            conversion = self._json(spec, part, f"{path}.{spec.name}")
            member = f",{key}:{{{part}}}"
            if spec.required:
                statements += [f"{part} = {v}[{spec.name!r}]", *conversion]
                members += member
            else:
                statements += _filled(
                    _JSON_OPTIONAL,
                    part=part,
                    holder=v,
                    key=repr(spec.name),
                    conversion=conversion,
                    member=f"f{member!r}",
                    null_member=f"f{f',{key}:null'!r}",
                )
                members += f"{{{part}}}"
        if properties[0].required:
            return [*statements, *_filled(_JSON_OBJECT, v=v, members=repr("{{" + members[1:] + "}}"))]
        return [*statements, *_filled(_JSON_OBJECT_OF_OPTIONALS, v=v, members=repr(members))]

    def _sum(self, rule: Rule) -> list[str]:
        """Return the check of {sumOf: path of an array, product: [names], equals: path}, exact in decimals.

        Where the array or the total is absent the rule says nothing: whether they may be is another rule's matter.
        """
        said = rule.implementation
        if set(said) != {"sumOf", "product", "equals"}:
            raise self._unusable(rule, "needs sumOf, product and equals, no other key")
        array, lines = self._reach(rule, said["sumOf"])
        total, equals = self._reach(rule, said["equals"])
        inner = {spec.name: spec for spec in (array.items.properties if array.items else None) or []}
        for name in said["product"]:
            if name not in inner or not inner[name].required:
                raise self._unusable(rule, f"product: {name!r} is no required property of the items of {said['sumOf']}")
        is_sure = ".get(" not in lines + equals
        check = _filled(
            _SUM,
            lines=lines if is_sure else "lines",
            total=self._decimal(total, equals if is_sure else "total"),
            product=" * ".join(self._decimal(inner[name], f"item[{name!r}]") for name in said["product"]),
            code=repr(f"rule.{rule.name}"),
            reason=repr(f"not so: {rule.description}"),
        )
        return check if is_sure else _filled(_OPTIONAL_SUM, lines=lines, total=equals, sum=check)

    def _reach(self, rule: Rule, path: str) -> tuple[SchemaProperty, str]:
        """Return the property at a path of the row, and the expression that gives its value or None.

        None is possible only where the expression has a `get`.
        """
        expression, properties = "row", list(self.contract.properties)
        found: SchemaProperty | None = None
        is_sure = True
        for name in path.split("."):
            expression = expression if is_sure else f"({expression} or {{}})"
            found = next((spec for spec in properties if spec.name == name), None)
            if found is None:
                raise self._unusable(rule, f"there is no {path} in the row")
            is_sure = is_sure and bool(found.required)
            expression += f"[{name!r}]" if is_sure else f".get({name!r})"
            properties = list(found.properties or [])
        assert found is not None
        return found, expression

    def _decimal(self, spec: SchemaProperty, value: str) -> str:
        if spec.logicalType == "integer" and not arrives_as_text(spec, self.is_csv):
            return f"int({value})"
        return f"Decimal({value})" if arrives_as_text(spec, self.is_csv) else f"Decimal(str({value}))"

    def _unusable(self, rule: Rule, reason: str) -> ContractError:
        return ContractError(f"{self.contract.file}: quality: {rule.name}: {reason}")

    def _variable(self) -> str:
        self.variables += 1
        return f"v{self.variables}"


def _limits(spec: SchemaProperty, v: str, path: str) -> list[str]:
    """Return the checks of the limits that a physicalType has in its name: a length, or a precision and a scale."""
    matched = LANDED_TYPES.fullmatch(spec.physicalType or "")
    if matched and matched[6]:
        reason = repr(f"is longer than {matched[6]}")
        return _filled(_VARCHAR, v=v, length=matched[6], reason=reason, path=repr(path))
    return [f"check_fits({v}, {matched[3]}, {matched[4]}, {path!r})"] if matched and matched[3] else []


def _filled(template: str, **parts: Any) -> list[str]:
    """Return a template's lines with its parts put in: lists of statements at their `$name`, and expressions."""
    lines = []
    for line in dedent(template).strip("\n").splitlines():
        indent, name = line[: len(line) - len(line.lstrip())], line.strip().removeprefix("$")
        if line.strip().startswith("$") and isinstance(parts.get(name), list):
            lines += [indent + statement for statement in parts[name]]
        else:
            lines.append(Template(line).substitute(parts))
    return lines
