"""A first contract for a dataset, drafted from a sample of its files, which a person then reads and completes."""

from __future__ import annotations

import codecs
import csv
import io
import re
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import yaml

from include import settings
from include.contracts.check import check_file
from include.contracts.model import DEFAULT_SCHEDULE, MAX_ROW_BYTES, NO_KEY, ContractError, csv_delimiter
from include.contracts.names import DATASET_NAME, SOURCE_NAME, free_column
from include.contracts.options import is_encoding
from include.contracts.personal import guess_personal
from include.contracts.sample import Field, Sample, find_key
from include.contracts.table_sample import out_of_zip, read_table, set_types, table_format
from include.decoding import decoded
from include.readers import header_names, json_rows, opened
from include.readers.packing import without_suffix
from include.storage import FileError, hash_of

_BLOCK_ROWS = 5000
_CSV_DELIMITERS = {".csv": None, ".tsv": "\t", ".tab": "\t", ".psv": "|"}  # None: guessed from the header

Report = Callable[[str], None]


def draft(
    source: str,
    dataset: str,
    sample: Path,
    *,
    delimiter: str | None = None,
    schedule: str = DEFAULT_SCHEDULE,
    rows: int | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    header_row: int = 1,
    called: str | None = None,
    report: Report = lambda _: None,
) -> str:
    """Return the text of a contract under which the sample's rows are valid.

    Names, types, nulls and the key are those of the whole sample, or of its first `rows`; `report` is given sentences
    that say what was read, and how sure the key is. `called` is the name of the dataset's files where it is not the
    sample's. Raises ContractError for a sample that shows too little.
    """
    table = table_format(sample)
    if encoding is not None and not is_encoding(encoding):
        raise ContractError(f"encoding: {encoding!r} is none that Python knows: UTF-8, Windows-1252, UTF-16, ...")
    encoding = encoding or (_encoding(sample) if table is None else "UTF-8")
    if delimiter is not None:
        delimiter = csv_delimiter(delimiter)
    is_csv = table is None and (delimiter is not None or _is_csv(sample, encoding))
    separator = ","
    if is_csv:
        suffix = Path(without_suffix(sample.name.lower())).suffix
        separator = delimiter or _CSV_DELIMITERS.get(suffix) or _delimiter(sample, encoding)
    if table is not None:
        seen = read_table(sample, table, rows=rows, sheet=sheet, header_row=header_row)
    else:
        seen = _read_csv(sample, encoding, separator, rows) if is_csv else _read_json(sample, encoding, rows)
    if not seen.rows:
        raise ContractError("holds no row to draft a contract from: give a larger sample")
    how_much = "the whole sample" if seen.is_whole else "the first of the sample, so nothing is said to be required"
    report(f"read {seen.rows:,} rows, {how_much}")
    if seen.left_out:
        report(f"left out {seen.left_out:,} lines or records that are no rows: landing would reject them")
    key = find_key(seen)
    for note in key.notes:
        report(note)
    properties = _properties(list(seen.fields.values()), seen.rows if seen.is_whole else None, (), set())
    if table == "parquet":
        set_types(properties, sample)
    for position, name in enumerate(key.names, 1):
        keyed = next(each for each in properties if each["name"] == name)
        keyed |= {"primaryKey": True, "primaryKeyPosition": position}
    what = "TODO: what one row is."
    if not key.names:
        what += f" Give the properties that tell its rows apart a primaryKey: {key.notes[-1]}."
    document: dict[str, Any] = {
        **draft_head(source, dataset),
        "description": {"purpose": "TODO: what the rows are, and what for."},
        "servers": [
            {
                "server": "landing",
                "type": "custom",
                "path": f"{source}/{_pattern(called or sample.name)}",
                "format": table or ("csv" if is_csv else "json"),
                **({"delimiter": separator} if is_csv else {}),
                **({"encoding": encoding} if table is None else {}),
                **_where(table, sheet, header_row),
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
                "description": what,
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
        with out_of_zip(sample, options.get("report", lambda _: None)) as unzipped:
            text = draft(source, dataset, unzipped, called=sample.name, **options)
        _check(text, source, dataset)
    except (ContractError, FileError) as error:
        raise ContractError(f"{sample}: {error}") from None
    except OSError as error:
        raise ContractError(f"{sample}: can't be read ({error.strerror}): name a file of the dataset") from None
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def _check(text: str, source: str, dataset: str) -> None:
    """Raise ContractError for a draft that `contract check` would refuse for more than TODOs and a missing key."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, source, f"{dataset}.yaml")
        file.parent.mkdir()
        file.write_text(text, encoding="utf-8")
        problems = [problem for problem in check_file(file) if NO_KEY not in problem]
        if problems:
            raise ContractError("\n".join(problem.replace(f"{folder}/", "") for problem in problems))


def _is_csv(sample: Path, encoding: str) -> bool:
    """Return whether a sample is a CSV, by its name, or by how it begins where the name says nothing."""
    suffix = Path(without_suffix(sample.name.lower())).suffix
    if suffix in _CSV_DELIMITERS or suffix in (".json", ".jsonl", ".ndjson"):
        return suffix in _CSV_DELIMITERS
    return _first_line(sample, encoding).strip()[:1] not in ("{", "[", "")


def _encoding(sample: Path) -> str:
    """Return the encoding that the sample's first bytes tell: UTF-16 by its byte order mark, else UTF-8."""
    with opened(sample, hash_of(sample), "UTF-16") as stream:
        return "UTF-16" if stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "UTF-8"


def _first_line(sample: Path, encoding: str) -> str:
    with opened(sample, hash_of(sample), encoding) as stream:
        line: bytes = decoded(stream, encoding).readline(1 << 16)
    return line.decode("utf-8", "replace")


def _where(table: str | None, sheet: str | None, header_row: int) -> dict[str, Any]:
    """Return what a landing server says of where the rows of a workbook are."""
    said = [("sheet", sheet)] * (sheet is not None) + [("headerRow", header_row)] * (header_row != 1)
    if table != "xlsx" or not said:
        return {}
    return {"customProperties": [{"property": name, "value": value} for name, value in said]}


def _pattern(name: str) -> str:
    """Return the contract's path of files that are called so. Packed ones are found without the end of their name."""
    is_zip = name.lower().endswith(".zip")
    name = name if is_zip else without_suffix(name)
    return re.sub(r"[\[\]*?]", "?", name)


def _delimiter(sample: Path, encoding: str) -> str:
    """Return which delimiter stands most often in the header, outside its quotes."""
    header = _first_line(sample, encoding)
    return max(",;\t|", key=re.sub(r'"[^"]*"', "", header).count)


def _read_csv(file: Path, encoding: str, delimiter: str, rows: int | None) -> Sample:
    csv.field_size_limit(1 << 30)  # process-wide and 128 KiB by default
    seen = Sample(is_csv=True)
    with opened(file, hash_of(file), encoding) as stream:
        text = io.TextIOWrapper(decoded(stream, encoding), encoding="utf-8", newline="\n")
        reader = csv.reader(text, delimiter=delimiter)
        try:
            names = header_names(next((record for record in reader if record), []))
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise ContractError(f"its header names the column {twice[0]} twice: rename one of them")
            records = (record for record in reader if record)
            while block := list(islice(records, _left(rows, seen))):
                valid = [record for record in block if len(record) == len(names)]
                seen.left_out += len(block) - len(valid)
                columns = zip(*valid, strict=True) if valid else ()
                seen.add(
                    {n: [v or None for v in column] for n, column in zip(names, columns, strict=False)}, len(valid)
                )
            seen.is_whole = next(records, None) is None
        except csv.Error as error:
            raise ContractError(f"line {reader.line_num}: {error}: end lines with a line feed") from None
        except UnicodeDecodeError:
            raise ContractError(f"is not {encoding}: give its --encoding, such as Windows-1252") from None
        finally:
            text.detach()
    return seen


def _read_json(file: Path, encoding: str, rows: int | None) -> Sample:
    seen = Sample(is_csv=False)
    with opened(file, hash_of(file), encoding) as stream:
        values = (value for _, _, value, _ in json_rows(decoded(stream, encoding), MAX_ROW_BYTES, orjson.loads))
        while block := list(islice(values, _left(rows, seen))):
            valid = [value for value in block if isinstance(value, dict)]
            seen.left_out += len(block) - len(valid)
            names = dict.fromkeys(name for value in valid for name in value)
            seen.add({name: [value.get(name) for value in valid] for name in names}, len(valid))
        seen.is_whole = next(values, None) is None
    return seen


def _left(rows: int | None, seen: Sample) -> int:
    return _BLOCK_ROWS if rows is None else min(_BLOCK_ROWS, rows - seen.rows - seen.left_out)


def _properties(
    fields: list[Field], whole: int | None, above: tuple[str, ...], taken: set[str]
) -> list[dict[str, Any]]:
    """Return the properties of an object. `whole` is how many objects there are, None where they were not all read."""
    return [_property(field, whole, above, taken) for field in fields]


def _property(field: Field, whole: int | None, above: tuple[str, ...], taken: set[str]) -> dict[str, Any]:
    try:
        kind = field.type()
    except ValueError as error:
        several = f"{field.name}: holds values of several types ({error}): give a sample with one of them"
        raise ContractError(several) from None
    made: dict[str, Any] = {"name": field.name}
    is_column = kind.physical is not None
    if is_column:
        column = free_column("_".join((*above, field.name)), taken)
        taken.add(column)
        if column != field.name:
            made["physicalName"] = column
    made["logicalType"] = kind.logical
    if is_column:
        made["physicalType"] = kind.physical
    if field.present == whole:
        made["required"] = True
    inner = None if whole is None else field.objects
    if not is_column:
        made["properties"] = _properties(list(field.fields.values()), inner, (*above, field.name), taken)
    elif field.items is not None and field.items.types == {dict} and field.items.fields:
        objects = None if whole is None else field.items.objects
        properties = _properties(list(field.items.fields.values()), objects, (), set())
        made["items"] = {"name": "item", "logicalType": "object", "properties": properties}
    elif kind.is_email:
        made["logicalTypeOptions"] = {"format": "email"}
    custom = [{"property": "arrivesAs", "value": "string"}] if kind.arrives_as_text and not field.is_csv else []
    personal = guess_personal(field.name, kind.logical)
    if personal:
        made["classification"] = "personal"
        custom.append({"property": "personal", "value": personal})
    if custom:
        made["customProperties"] = custom
    made["description"] = "TODO"
    return made
