"""A first contract for a dataset, drafted from a sample of its files, which a person then reads and completes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import yaml

from include import settings
from include.contracts.model import MAX_ROW_BYTES, ContractError
from include.contracts.names import DATASET_NAME, SOURCE_NAME
from include.readers import json_rows, opened
from include.storage import FileError, hash_of

SAMPLE_ROWS = 10_000
_PATTERNS = (
    ("integer", re.compile(r"-?(0|[1-9][0-9]{0,17})")),
    ("number", re.compile(r"-?[0-9]{1,30}\.[0-9]{1,30}")),
    ("boolean", re.compile(r"true|false")),
    ("date", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")),
    ("timestamp", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}.*)?")),
)
_COLUMN_TYPES = {
    "integer": "bigint",
    "number": "numeric",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamptz",
    "string": "text",
    "array": "jsonb",
}
_PERSONAL = {  # kind of personal value, by a pattern of the property's name; the first that matches counts
    "email": re.compile("mail", re.IGNORECASE),
    "phone": re.compile("phone|mobile", re.IGNORECASE),
    "birth_date": re.compile("birth", re.IGNORECASE),
    "first_name": re.compile("(first|given)[_-]?name", re.IGNORECASE),
    "last_name": re.compile("(last|family)[_-]?name|surname", re.IGNORECASE),
    "full_name": re.compile("name$", re.IGNORECASE),
    "address": re.compile("address|street", re.IGNORECASE),
    "postcode": re.compile("postcode|zip", re.IGNORECASE),
    "city": re.compile("city|town", re.IGNORECASE),
}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[a-zA-Z]+")


def draft(source: str, dataset: str, sample: Path, *, delimiter: str | None = None, schedule: str = "0 0 * * *") -> str:
    """Return the text of a contract under which the sample's rows are valid.

    Types, nulls and the key are guessed from the first 10,000 rows at most. Raises ContractError for a sample that
    shows too little.
    """
    is_csv = ".csv" in sample.suffixes or delimiter is not None
    separator = delimiter or (_delimiter(sample) if is_csv else ",")
    rows = _rows(sample, is_csv, separator)
    if not rows:
        raise ContractError("holds no row to draft a contract from: give a larger sample")
    properties = _properties(rows, is_csv, ())
    _mark_key(properties, rows)
    document: dict[str, Any] = {
        **draft_head(source, dataset),
        "description": {"purpose": "TODO: what the rows are, and what for."},
        "servers": [
            {
                "server": "landing",
                "type": "custom",
                "path": f"{source}/{dataset}{'.csv' if is_csv else '.json'}",
                "format": "csv" if is_csv else "json",
                **({"delimiter": separator} if is_csv else {}),
                "encoding": "UTF-8",
            }
        ],
        "slaProperties": [
            {"property": "frequency", "value": 1, "unit": "d", "scheduler": "cron", "schedule": schedule}
        ],
        "customProperties": [
            {"property": "maxBadPercent", "value": 10},
        ],
        "schema": [
            {
                "name": dataset,
                "physicalName": dataset.replace("-", "_").lower(),
                "physicalType": "table",
                "logicalType": "object",
                "description": "TODO: what one row is.",
                "properties": properties,
            }
        ],
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def draft_head(source: str, dataset: str) -> dict[str, Any]:
    """Return what every draft begins with, whatever its rows are."""
    return {
        "apiVersion": "v3.2.0",
        "kind": "DataContract",
        "id": f"{source}.{dataset}",
        "name": f"{source}.{dataset}",
        "version": "1.0.0",
        "status": "draft",
        "domain": source,
        "tags": [source],
        "team": {"name": f"{source}-data"},
    }


def write_draft(name: str, sample: Path, *, folder: Path = settings.CONTRACTS, **options: Any) -> Path:
    """Write the draft to its file and return the file's path. Raises ContractError where it exists already."""
    source, dot, dataset = name.partition(".")
    if not (dot and SOURCE_NAME.fullmatch(source) and DATASET_NAME.fullmatch(dataset)):
        raise ContractError(f"{name}: a dataset is called source.dataset, in small letters, digits, - and _")
    file = folder / source / f"{dataset}.yaml"
    if file.exists():
        raise ContractError(f"{file}: is there already; change it, or remove it first")
    try:
        text = draft(source, dataset, sample, **options)
    except (ContractError, FileError) as error:
        raise ContractError(f"{sample}: {error}") from None
    except OSError as error:
        raise ContractError(f"{sample}: can't be read ({error.strerror}): name a file of the dataset") from None
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def guess_personal(name: str, logical_type: str) -> str | None:
    """Return the kind of personal value that a property's name speaks of, or None."""
    if logical_type not in ("string", "date"):
        return None
    return next((kind for kind, pattern in _PERSONAL.items() if pattern.search(name)), None)


def _delimiter(sample: Path) -> str:
    with opened(sample, hash_of(sample)) as stream:
        header = stream.readline(1 << 16).decode("utf-8", "replace")
    return max(",;\t|", key=header.count)


def _rows(sample: Path, is_csv: bool, delimiter: str) -> list[dict[str, Any]]:
    with opened(sample, hash_of(sample)) as stream:
        if is_csv:
            text = (line.decode("utf-8", "replace") for line in iter(stream.readline, b""))
            return [
                {name: value or None for name, value in record.items() if name is not None}
                for record in islice(csv.DictReader(text, delimiter=delimiter), SAMPLE_ROWS)
            ]
        values = (value for _, _, value, _ in json_rows(stream, MAX_ROW_BYTES, orjson.loads))
        return list(islice((value for value in values if isinstance(value, dict)), SAMPLE_ROWS))


def _properties(rows: list[dict[str, Any]], is_csv: bool, above: tuple[str, ...]) -> list[dict[str, Any]]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [_property(name, [row.get(name) for row in rows], is_csv, above) for name in names]


def _property(name: str, values: list[Any], is_csv: bool, above: tuple[str, ...]) -> dict[str, Any]:
    present = [value for value in values if value is not None]
    made: dict[str, Any] = {"name": name}
    kind, as_text = _kind(name, present, is_csv)
    column = re.sub(r"[^a-z0-9_]+", "_", "_".join((*above, name)).lower())
    if column != name and kind != "object":
        made["physicalName"] = column
    made["logicalType"] = kind
    if kind != "object":
        made["physicalType"] = "double precision" if kind == "number" and not as_text else _COLUMN_TYPES[kind]
    if len(present) == len(values):
        made["required"] = True
    if kind == "object":
        made["properties"] = _properties(present, is_csv, (*above, name))
    elif kind == "array":
        items = [item for value in present for item in value]
        if items and all(isinstance(item, dict) for item in items):
            made["items"] = {"name": "item", "logicalType": "object", "properties": _properties(items, is_csv, ())}
    elif kind == "string" and present and all(_EMAIL.fullmatch(value) for value in present):
        made["logicalTypeOptions"] = {"format": "email"}
    custom = [{"property": "arrivesAs", "value": "string"}] if as_text and not is_csv else []
    personal = guess_personal(name, kind)
    if personal:
        made["classification"] = "personal"
        custom.append({"property": "personal", "value": personal})
    if custom:
        made["customProperties"] = custom
    made["description"] = "TODO"
    return made


def _kind(name: str, values: list[Any], is_csv: bool) -> tuple[str, bool]:
    """Return the logical type that fits all values, and whether it is a number or boolean that is written as text."""
    types = {type(value) for value in values}
    if types == {dict}:
        return "object", False
    if types == {list}:
        return "array", False
    if types == {bool}:
        return "boolean", False
    if types == {int} and all(-(2**63) <= value < 2**63 for value in values):
        return "integer", False
    if types and types <= {int, float}:
        return "number", False
    if types == {str}:
        for kind, pattern in _PATTERNS:
            if _all_match(pattern, values) and (is_csv or kind not in ("integer", "boolean")):
                return kind, kind in ("integer", "number", "boolean")
        if is_csv and _all_match(re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?"), values):
            return "number", True
    if types - {str}:
        several = ", ".join(sorted(kind.__name__ for kind in types))
        raise ContractError(f"{name}: holds values of several types ({several}): give a sample with one of them")
    return "string", False


def _all_match(pattern: re.Pattern[str], values: Iterable[str]) -> bool:
    return all(pattern.fullmatch(value) for value in values)


def _mark_key(properties: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """Mark the likeliest key: a property that is always there and unique, by preference one named like an id."""
    candidates = [
        p
        for p in properties
        if p.get("required")
        and p["logicalType"] in ("string", "integer")
        and len({row[p["name"]] for row in rows}) == len(rows)
    ] or [p for p in properties if p["logicalType"] in ("string", "integer")]
    if not candidates:
        raise ContractError("holds no text or integer that could be the key: write the contract by hand")
    chosen = next((p for p in candidates if re.search(r"(^|_|-)(id|key|number|sku)$", p["name"])), candidates[0])
    chosen["primaryKey"] = True
    chosen["primaryKeyPosition"] = 1
