"""A first contract for a dataset, drafted from a sample of its files, which a person then reads and completes."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from include import settings
from include.contracts.check import check_file
from include.contracts.dialect import read_delimiter
from include.contracts.model import DEFAULT_SCHEDULE, NO_KEY, Contract, ContractError
from include.contracts.names import DATASET_NAME, SOURCE_NAME, free_column
from include.contracts.options import is_encoding
from include.contracts.personal import guess_personal
from include.contracts.read import read_contract
from include.contracts.sample import Field
from include.contracts.sample_file import SampleFile, read_sample
from include.contracts.sample_key import find_key
from include.contracts.table_sample import read_table, set_types, table_format, told_header_row
from include.contracts.zip_sample import of_format, other_columns, parts_of_sample, parts_read
from include.readers.packing import without_suffix
from include.storage import FileError

Report = Callable[[str], None]


class Draft(NamedTuple):
    """The text of a contract, and what it was drafted from."""

    text: str
    has_names: bool  # whether the columns have names: a first row that looks like data may be none
    parts: list[Path]  # of the sample, without those that are of another dataset


def draft(
    source: str,
    dataset: str,
    sample: Path,
    *,
    more: Sequence[Path] = (),
    delimiter: str | None = None,
    schedule: str = DEFAULT_SCHEDULE,
    rows: int | None = None,
    encoding: str | None = None,
    dialect: dict[str, Any] | None = None,
    sheet: str | None = None,
    header_row: int | None = None,
    called: str | None = None,
    report: Report = lambda _: None,
    progress: Report = lambda _: None,
) -> Draft:
    """Return a contract under which the sample's rows are valid.

    Names, types, nulls and the key are those of the whole sample, or of its first `rows`; `report` is given sentences
    that say what was read, and how sure the key is, `progress` how many rows were read. `more` are further files of the
    sample, `called` is the name of the dataset's files where it is not the sample's. Raises ContractError for a sample
    that shows too little.
    """
    if encoding is not None and not is_encoding(encoding):
        raise ContractError(f"encoding: {encoding!r} is none that Python knows: UTF-8, Windows-1252, UTF-16, ...")
    try:
        delimiter = read_delimiter(delimiter) if delimiter is not None else None
    except ValueError as error:
        raise ContractError(str(error)) from None
    table = table_format(sample)
    others, left_out = of_format(more, table)
    parts = [sample, *others]
    told_row = told_header_row(sample, sheet) if table == "xlsx" and header_row is None else 1
    header_row = header_row or told_row
    if told_row > 1:
        report(f"headerRow is {told_row}: the rows before hold one value at most, as titles do")
    if table is not None:
        seen, read = read_table(parts, table, rows=rows, sheet=sheet, header_row=header_row)
        notes = [other_columns(part.name, sample.name) for part in parts if seen.is_whole and part not in read]
        found = SampleFile(seen, encoding=None, notes=notes, parts=read)
    else:
        found = read_sample(
            parts, delimiter=delimiter, encoding=encoding, dialect=dialect or {}, rows=rows, progress=progress
        )
        seen = found.seen
    if not seen.rows:
        why = f" ({seen.left_out:,} lines or records are no rows; {seen.why_left_out})" if seen.left_out else ""
        raise ContractError(f"holds no row to draft a contract from{why}: give a larger sample")
    if not seen.fields:
        raise ContractError("holds rows without any value: give a sample with some")
    for note in found.notes + left_out:
        report(note)
    if more:
        report(parts_read(found.parts, len(more) + 1))
    how_much = "the whole sample" if seen.is_whole else "the first of the sample, so nothing is said to be required"
    report(f"read {seen.rows:,} rows, {how_much}")
    if seen.left_out:
        report(
            f"left out {seen.left_out:,} lines or records that are no rows: landing would reject them, the first is"
            f" {seen.why_left_out}"
        )
    key = find_key(seen)
    for note in key.notes:
        report(note)
    properties = _properties(list(seen.fields.values()), seen.rows if seen.is_whole else None, (), set(), dataset)
    if found.csv:
        for each in properties:
            found.csv.complete(each)
    if table == "parquet":
        set_types(properties, sample)
    for position, name in enumerate(key.names, 1):
        keyed = next(each for each in properties if each["name"] == name)
        keyed |= {"primaryKey": True, "primaryKeyPosition": position}
    what = "TODO: what one row is."
    if not key.names:
        what += f" Give the properties that tell its rows apart a primaryKey: {key.notes[-1]}."
        report(
            "give the properties that tell rows apart a primaryKey; or, where every row counts, say so under"
            " customProperties: withoutKey: replaceFile (a file's rows are replaced when the same path comes again) or"
            " withoutKey: append (they stay)"
        )
    if not found.has_names:
        what += " Give the properties the names of their columns."
    document: dict[str, Any] = {
        **draft_head(source, dataset),
        "description": {"purpose": "TODO: what the rows are, and what for."},
        "servers": [
            {
                "server": "landing",
                "type": "custom",
                "path": f"{source}/{_pattern(called or sample.name)}",
                "format": table or ("csv" if found.csv else "json"),
                **({"delimiter": found.csv.delimiter} if found.csv else {}),
                **({"encoding": found.encoding} if found.encoding else {}),
                **(found.csv.server_options() if found.csv else _where(table, sheet, header_row)),
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
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
    return Draft(text, found.has_names, found.parts)


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


def write_draft(
    name: str,
    sample: Path,
    *,
    folder: Path = settings.CONTRACTS,
    report: Report = lambda _: None,
    preview: Callable[..., str] | None = None,
    **options: Any,
) -> Path:
    """Write the draft to its file and return the file's path. Raises ContractError where it exists already.

    `preview`, given the contract, the sample's files and how many rows of them, says what they would be under the
    draft.
    """
    source, dot, dataset = name.partition(".")
    if not (dot and SOURCE_NAME.fullmatch(source) and DATASET_NAME.fullmatch(dataset)):
        raise ContractError(f"{name}: a dataset is called source.dataset, in small letters, digits, - and _")
    file = folder / source / f"{dataset}.yaml"
    if file.exists():
        raise ContractError(f"{file}: is there already; change it, or remove it first")
    try:
        with parts_of_sample(sample) as (first, *more):
            drafted = draft(source, dataset, first, more=more, called=sample.name, report=report, **options)
            contract = _checked(drafted.text, source, dataset)
            if preview is not None and drafted.has_names:
                report(preview(contract, drafted.parts, rows=options.get("rows")))
            elif preview is not None:
                report("the rows are not shown, because nothing tells which values are personal")
    except (ContractError, FileError) as error:
        raise ContractError(f"{sample}: {error}") from None
    except RecursionError:
        raise ContractError(f"{sample}: holds objects that are nested too deeply for columns: flatten them") from None
    except OSError as error:
        raise ContractError(f"{sample}: can't be read ({error.strerror}): name a file of the dataset") from None
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(drafted.text, encoding="utf-8")
    return file


def _checked(text: str, source: str, dataset: str) -> Contract:
    """Return the contract of a draft. Where it names no key, its first column is taken for one, to judge rows by it.

    Raises ContractError for a draft that `contract check` would refuse for more than TODOs and a missing key.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, source, f"{dataset}.yaml")
        file.parent.mkdir()
        file.write_text(text, encoding="utf-8")
        problems = check_file(file)
        others = [problem for problem in problems if NO_KEY not in problem]
        if others:
            raise ContractError("\n".join(problem.replace(f"{folder}/", "") for problem in others))
        if problems:
            document = yaml.safe_load(text)
            _first_column(document["schema"][0]["properties"])["primaryKey"] = True
            file.write_text(yaml.safe_dump(document), encoding="utf-8")
        return read_contract(file)


def _first_column(properties: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the first property that is a column. A draft has one, or its sample showed no value at all."""
    for each in properties:
        found = each if "physicalType" in each else _first_column(each["properties"])
        if found:
            return found
    return {}


def _where(table: str | None, sheet: str | None, header_row: int) -> dict[str, Any]:
    """Return what a landing server says of where the rows of a workbook are."""
    said = [("sheet", sheet)] * (sheet is not None) + [("headerRow", header_row)] * (header_row != 1)
    if table != "xlsx" or not said:
        return {}
    return {"customProperties": [{"property": name, "value": value} for name, value in said]}


def _pattern(name: str) -> str:
    """Return the contract's path of files that are called so. Packed ones are found without the end of their name.

    A * or ? of the name stands for itself too there, and [ for nothing else.
    """
    return re.sub(r"\*+", "*", name if name.lower().endswith(".zip") else without_suffix(name))


def _properties(
    fields: list[Field], whole: int | None, above: tuple[str, ...], taken: set[str] | None, called: str
) -> list[dict[str, Any]]:
    """Return the properties of an object. `whole` is how many objects there are, None where they were not all read.

    `called` is what the object is called: the dataset, or the property that holds it. `taken` are the names of columns
    that are there; None for objects within a value, whose keys stay as they are.
    """
    about = (called, *(field.name for field in fields))
    return [_property(field, whole, above, taken, about) for field in fields]


def _property(
    field: Field, whole: int | None, above: tuple[str, ...], taken: set[str] | None, about: tuple[str, ...]
) -> dict[str, Any]:
    try:
        kind = field.type()
    except ValueError as error:
        raise ContractError(
            f"{field.name}: holds values of several types ({error}), and a property has one: have its files written"
            " with one of them"
        ) from None
    made: dict[str, Any] = {"name": field.name}
    is_column = kind.physical is not None
    if is_column and taken is not None:
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
        made["properties"] = _properties(list(field.fields.values()), inner, (*above, field.name), taken, field.name)
    elif field.items is not None and field.items.types == {dict} and field.items.fields:
        objects = None if whole is None else field.items.objects
        properties = _properties(list(field.items.fields.values()), objects, (), None, field.name)
        made["items"] = {"name": "item", "logicalType": "object", "properties": properties}
    elif kind.is_email:
        made["logicalTypeOptions"] = {"format": "email"}
    custom = [{"property": "arrivesAs", "value": "string"}] if kind.arrives_as_text and not field.is_csv else []
    personal = guess_personal(field.name, kind.logical, about) or ("email" if kind.is_email else None)
    if personal:
        made["classification"] = "personal"
        custom.append({"property": "personal", "value": personal})
    if custom:
        made["customProperties"] = custom
    made["description"] = "TODO"
    return made
