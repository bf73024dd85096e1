"""Files in any encoding are read as the same text in UTF-8, in blocks of any size."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from include.decoding import decoded
from include.storage import UnusableFileError
from tests.landing.conftest import THINGS, Place, write_contract

TEXT = "id,label,secret\n1,Ångström €5,\n2,“quoted”,\n"


class Dribble(io.BytesIO):
    """A stream that gives a byte at a time, so that every character is cut."""

    def read(self, size: int | None = -1, /) -> bytes:
        del size
        return super().read(1)


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
