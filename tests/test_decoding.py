"""Files in any encoding are read as the same text in UTF-8, in blocks of any size."""

from __future__ import annotations

import codecs
import io
from pathlib import Path

import pytest

from include.contracts import ContractError
from include.decoding import decoded
from include.landing.judge import judge
from include.landing.results import LandResult
from include.storage import UnusableFileError
from tests.landing.conftest import THINGS, Place, write_contract

TEXT = "id,label,secret\n1,Ångström €5,\n2,“quoted”,\n"


class Dribble(io.BytesIO):
    """A stream that gives a byte at a time, so that every character is cut."""

    def read(self, size: int | None = -1, /) -> bytes:
        del size
        return super().read(1)


def judged(tmp_path: Path, encoding: str, content: bytes) -> tuple[LandResult, list[str]]:
    """Judge a CSV; return what became of it, and what is said of its rejected rows."""
    said: list[str] = []
    contract = write_contract(tmp_path, THINGS.replace('delimiter: ","', f"encoding: {encoding}"), "csv")
    file = tmp_path / "in/toys/a/things.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return judge(contract, ["toys/a/things.csv"], root=str(tmp_path / "in"), show=said.append), said


@pytest.mark.parametrize("encoding", ["cp1252", "UTF-16", "utf-16-be", "utf-32", "UTF-8", "utf-8-sig"])
def test_text_is_the_same_in_every_encoding(encoding: str) -> None:
    data = TEXT.encode(encoding)
    assert decoded(io.BytesIO(data), encoding).read(1 << 20).decode() == TEXT
    assert (
        b"".join(iter(lambda: stream.read(7), b"")).decode() == TEXT
        if (stream := decoded(io.BytesIO(data), encoding))
        else False
    )
    if encoding != "UTF-8":
        assert decoded(Dribble(data), encoding).read().decode() == TEXT


def test_byte_that_the_encoding_does_not_know_stays_as_it_is() -> None:
    assert decoded(io.BytesIO(b"a\x81b"), "cp1252").read(10) == b"a\x81b"


@pytest.mark.parametrize(
    "encoding", ["iso8859-3", "iso8859-7", "cp1253", "cp874", "cp1255", "shift_jis", "gb2312", "big5"]
)
def test_bytes_that_the_encoding_does_not_know_never_become_text(encoding: str) -> None:
    codec = codecs.getincrementaldecoder(encoding)
    for first in range(0x80, 0x100):
        for second in range(0x80, 0x100):
            data = bytes([97, first, second, 98])
            try:
                text = codec().decode(data, True)
            except UnicodeDecodeError:
                for stream in (io.BytesIO(data), Dribble(data)) if second % 16 == 0xA else (io.BytesIO(data),):
                    with pytest.raises(UnicodeDecodeError):
                        decoded(stream, encoding).read(100).decode()
            else:
                assert decoded(io.BytesIO(data), encoding).read(100).decode() == text


def test_unknown_bytes_are_a_reject_with_their_place(tmp_path: Path) -> None:
    result, said = judged(tmp_path, "iso8859-3", b"id,label,secret\n1,a,\n2,\xe1x\xc3\xa5,\n3,b,\n")
    assert result.codes == {"encoding": 1} and result.rows_loaded == 2
    assert said[0].endswith("line 3: encoding: character 5 of the line is not iso8859-3")


@pytest.mark.parametrize("encoding", ["UTF-16-LE", "utf-16-be", "UTF-32-LE", "utf-8-sig", "UTF-8", "gb18030", "UTF-16"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path, encoding: str) -> None:
    mark = "" if encoding in ("UTF-16", "utf-8-sig") else "\ufeff"
    result, said = judged(tmp_path, encoding, (mark + TEXT).encode(encoding))
    assert (result.rows_loaded, said) == (2, []), result.errors


@pytest.mark.parametrize(
    "encoding",
    [
        "unicode_escape",
        "raw_unicode_escape",
        "raw-unicode-escape",
        "utf-7",
        "UTF7",
        "hz",
        "charmap",
        "mbcs",
        "oem",
        "rot13",
    ],
)
def test_codecs_that_are_no_encodings_of_files_are_refused(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(ContractError, match=f"servers: encoding: '{encoding}' is none of a file"):
        judged(tmp_path, encoding, b"")


def test_utf16_that_is_cut_is_unusable() -> None:
    with pytest.raises(UnusableFileError, match="is not UTF-16 throughout: correct the encoding in the contract"):
        decoded(io.BytesIO("ab".encode("utf-16")[:-1]), "UTF-16").read()


@pytest.mark.parametrize("encoding", ["Windows-1252", "UTF-16"])
def test_files_land_in_the_encoding_of_their_contract(tmp_path: Path, source_uri: str, encoding: str) -> None:
    text = THINGS.replace('delimiter: ","', f"encoding: {encoding}")
    place = Place(write_contract(tmp_path, text, "csv"), tmp_path, source_uri)
    content = TEXT.encode(encoding)
    if encoding == "Windows-1252":
        content += b"3,a\x81b,\n"
    place.put("a", content)
    result = place.land()
    assert place.rows() == [(1, "Ångström €5"), (2, "“quoted”")]
    assert result.codes == ({"encoding": 1} if encoding == "Windows-1252" else {})
