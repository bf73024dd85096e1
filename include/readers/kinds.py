"""What a file is, told by its first bytes, so that one of another kind than its contract says is refused by name."""

from __future__ import annotations

import codecs
import re
import zlib

from include.readers.packing import PACKINGS
from include.storage import UnusableFileError

_UNPACK = "unpack it, and land what it holds"
_EXPORT = "export it as CSV, JSON, Parquet or Excel"
_PARQUET = "write format: parquet in the contract"
_EXCEL = "write format: xlsx in the contract"
_ENCODE = "write it as UTF-8, or name its encoding in the contract"
# Where the first bytes of a format may be text too, such as the name of a column, what follows has to fit as well.
_BINARY: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), what, next_step)
    for pattern, what, next_step in (
        (rb"PK\x03\x04.{0,4000}(\[Content_Types\]\.xml|xl/)", "an Excel workbook", _EXCEL),
        (rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis\.opendocument", "an OpenDocument workbook", _EXCEL),
        (
            rb"PK(\x03\x04|\x05\x06|\x07\x08)",
            "a zip",
            "name it .zip, so that its files are taken; none of them may be a zip",
        ),
        # What is not packed comes here: these were packed twice.
        *(
            (packing.begin.pattern, f"packed twice, the second time with {packing.name}", _UNPACK)
            for packing in PACKINGS
        ),
        (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
        (rb".{257}ustar(\0|  \0)", "a tar archive", _UNPACK),
        (rb"PAR1[\0-\x08\x0e-\x1f]", "Parquet", _PARQUET),
        (rb"PARE.{0,3}\0", "encrypted Parquet", "send it without encryption"),
        (rb"Obj\x01.{0,2000}avro\.(schema|codec)", "Avro", _EXPORT),
        (rb"ORC[^ -~](?=.{0,400}\0)", "ORC", _EXPORT),
        (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word file", _EXCEL),
        (rb"SQLite format 3\0", "an SQLite database", _EXPORT),
        (rb"%PDF-[0-9]\.[0-9]\s*[\r\n]", "a PDF", _EXPORT),
    )
)
_UNICODE: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\xff\xfe\0\0|\0\0\xfe\xff"), "UTF-32"),
    (re.compile(rb"\xff\xfe|\xfe\xff"), "UTF-16"),
    (re.compile(rb"([^\0]\0){8}|(\0[^\0]){8}"), "UTF-16 without a mark"),
)
_TEXT: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), what, next_step)
    for pattern, what, next_step in (
        (
            rb"(\xef\xbb\xbf)?\s*(<!--.{0,2000}?-->\s*)*<(!doctype html|html|head|body)\b",
            "an HTML page",
            "see what it says, perhaps that a login or another address is needed",
        ),
        (rb"(\xef\xbb\xbf)?\s*<(\?xml\b|!doctype\b|[a-z_][\w:.-]*(\s[^<>]*)?>\s*<)", "XML", _EXPORT),
    )
)
HEAD_BYTES = 4096  # that `check_kind` needs


# How a file of a format that is no text may begin, and what it is called.
_FORMATS = {
    "parquet": (re.compile(rb"PAR1"), "Parquet"),
    "xlsx": (re.compile(rb"PK\x03\x04|\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "Excel workbook"),
}


def check_kind(head: bytes, encoding: str = "UTF-8", format_: str = "text") -> None:
    """Raise UnusableFileError for a file that begins like something else than its format.

    `format_` is parquet, xlsx (for every workbook) or, for JSON and CSV, any other word. In another encoding than UTF-8
    the text is looked at as UTF-8 would have it.
    """
    if format_ in _FORMATS:
        begin, called = _FORMATS[format_]
        if not begin.match(head):
            found = next(((what, step) for pattern, what, step in (*_BINARY, *_TEXT) if pattern.match(head)), None)
            if found is None:
                raise UnusableFileError(f"is no {called}: send it again, or mend the contract's format")
            raise UnusableFileError(f"is {found[0]}, no {called}: {found[1]}")
        return
    is_utf_8 = codecs.lookup(encoding).name == "utf-8"
    text = head if is_utf_8 else head.decode(encoding, "ignore").encode("utf-8", "ignore")
    for pattern, what, next_step in _BINARY:
        if pattern.match(head):
            raise _refused(what, next_step)
    for pattern, what, next_step in _TEXT:
        if pattern.match(text) or pattern.match(head):
            raise _refused(what, next_step)
    if head[:1] == b"x" and _is_zlib(head):
        raise _refused("packed with zlib", _UNPACK)
    for pattern, what in _UNICODE if is_utf_8 else ():
        if pattern.match(head):
            raise _refused(what, _ENCODE)


def _is_zlib(head: bytes) -> bool:
    """Return whether bytes can be unpacked, to their end where they are all: an x is how texts begin too."""
    unpacking = zlib.decompressobj()
    try:
        unpacking.decompress(head)
    except zlib.error:
        return False
    return unpacking.eof or len(head) >= HEAD_BYTES


def _refused(what: str, next_step: str) -> UnusableFileError:
    return UnusableFileError(f"is {what}, neither JSON nor CSV: {next_step}")


def told_encoding(begin: bytes) -> str:
    """Return the encoding that the first bytes of a file tell by a byte order mark, else UTF-8."""
    if begin[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "UTF-32"
    return "UTF-16" if begin[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "UTF-8"
