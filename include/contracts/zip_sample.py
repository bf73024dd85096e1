"""A zip of files as a sample: each file in it is a part, as landing takes each for a file of the dataset."""

from __future__ import annotations

import contextlib
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from include.contracts.model import MAX_FETCH_BYTES, ContractError
from include.contracts.table_sample import table_format
from include.readers.packing import copy_limited, without_suffix
from include.storage import FileError

_NAMED = 5
_DATA = re.compile(r"\.(csv|tsv|tab|psv|json|jsonl|ndjson|parquet|xls|xlsx|xlsm|xlsb|ods)$")
_HIDDEN = re.compile(r"(^|/)(\.|__MACOSX/)")


@contextlib.contextmanager
def parts_of_sample(sample: Path) -> Iterator[list[Path]]:
    """Give the sample or, where it is a zip of files, those files. A workbook is no such zip.

    They are in the order of their names, but what is named as data comes before a README or the like, and what is
    empty last. They keep their names, without their folders in the zip. Raises ContractError for a zip that can't be
    unpacked.
    """
    if table_format(sample) is not None or not (sample.is_file() and zipfile.is_zipfile(sample)):
        yield [sample]
        return
    with zipfile.ZipFile(sample) as packed, tempfile.TemporaryDirectory() as folder:
        infos = [info for info in packed.infolist() if not info.is_dir() and not _HIDDEN.search(info.filename)]
        if not infos:
            raise ContractError("is a zip without a file: give another sample")
        infos.sort(key=_rank)
        yield [_unpacked(packed, info, Path(folder, str(number))) for number, info in enumerate(infos)]


def _rank(info: zipfile.ZipInfo) -> tuple[bool, bool, str]:
    return not info.file_size, not _DATA.search(without_suffix(info.filename.lower())), info.filename


def _unpacked(packed: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path) -> Path:
    """Write a file of a zip to a folder of its own: two folders of the zip may have files of one name."""
    if info.flag_bits & 1:
        raise ContractError("is an encrypted zip: give one without a password")
    folder.mkdir()
    file = folder / Path(info.filename.replace("\\", "/")).name
    try:
        with packed.open(info) as stream, file.open("wb") as out:
            copy_limited(stream, out, MAX_FETCH_BYTES)
    except (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError):
        raise ContractError(f"{info.filename} is damaged in the zip: give another sample") from None
    return file


def of_format(parts: Sequence[Path], table: str | None) -> tuple[list[Path], list[str]]:
    """Return the files that are of a format, see `table_format`, and sentences on those that are not."""
    found, left_out = [], []
    for part in parts:
        try:
            if table_format(part) == table:
                found.append(part)
            else:
                left_out.append(f"{part.name} is left out: it is no {table or 'text'}")
        except FileError as error:
            left_out.append(f"{part.name} is left out: {error}")
    return found, left_out


def other_columns(name: str, first: str) -> str:
    """Return what is said of a file in the zip that has other columns than the first one."""
    return f"{name} is left out: it has other columns than {first}"


def parts_read(parts: list[Path], count: int) -> str:
    """Return what is said of a zip: which of its `count` files were read."""
    named = ", ".join(part.name for part in parts[:_NAMED]) + (", ..." if len(parts) > _NAMED else "")
    said = f"read {len(parts)} of the {count} files in the zip: {named}"
    if len(parts) == count:
        return said
    return (
        f"{said}. Where the others are none of this dataset, say at the end of the contract's path which files are,"
        f" such as .zip!{parts[0].name}"
    )
