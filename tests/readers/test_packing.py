"""What is packed is read like what is not, or is a sentence: of one member or several, damaged, cut short."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.readers import opened
from include.readers.packing import packing_of, without_suffix
from include.storage import UnusableFileError, hash_of

ROWS = b'{"id": 1}\n' + random.Random(1).randbytes(600_000)  # more than is read at once, also when it is packed


def zstd(content: bytes) -> bytes:
    made: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return made


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lambda content: lzma.compress(content, preset=0),
    "zstd": zstd,
}
SUFFIXES = {"gzip": ".gz", "bzip2": ".bz2", "xz": ".xz", "zstd": ".zst"}


def read(folder: Path, content: bytes, name: str) -> bytes:
    file = folder / name
    file.write_bytes(content)
    read_ = []
    with opened(file, hash_of(file)) as stream:
        while block := stream.read(10_000):
            read_.append(block)
    return b"".join(read_)


@pytest.mark.parametrize("kind", PACK)
def test_what_is_packed_is_read_whole_whatever_its_name(tmp_path: Path, kind: str) -> None:
    pack = PACK[kind]
    for name in (f"rows.json{SUFFIXES[kind]}", "rows.json"):
        assert read(tmp_path, pack(ROWS), name) == ROWS
    assert read(tmp_path, pack(ROWS[:100]) + pack(b"") + pack(ROWS[100:]), "several") == ROWS
    assert read(tmp_path, pack(b"\xef\xbb\xbfid\n1\n"), "mark") == b"id\n1\n"
    assert read(tmp_path, pack(b""), "empty") == b""


@pytest.mark.parametrize("kind", PACK)
def test_what_is_packed_and_damaged_is_a_sentence(tmp_path: Path, kind: str) -> None:
    whole = PACK[kind](ROWS)
    half = len(whole) // 2
    sentences = f"ends within its {kind} stream: it was cut short|holds damaged {kind}: send it again"
    for bad in (whole[:-3], whole[:half], whole[:20]):
        with pytest.raises(UnusableFileError, match=f"ends within its {kind} stream: it was cut short, send it again"):
            read(tmp_path, bad, "cut")
    bads = [whole + b"something else", whole[:half] + b"\xff" * 99 + whole[half + 99 :]]
    for bad in bads[: 1 if kind == "zstd" else 2]:  # Arrow writes zstd without a checksum
        with pytest.raises(UnusableFileError, match=sentences):
            read(tmp_path, bad, "damaged")


@pytest.mark.parametrize("kind", PACK)
def test_a_name_promises_how_a_file_is_packed(tmp_path: Path, kind: str) -> None:
    other = PACK["xz" if kind != "xz" else "gzip"](ROWS)
    for content in (b'{"id": 1}\n', other):
        with pytest.raises(UnusableFileError, match=re.escape(f"is named {SUFFIXES[kind]} and holds no {kind}")):
            read(tmp_path, content, f"rows{SUFFIXES[kind]}")


def test_a_text_that_begins_like_something_packed_is_a_text() -> None:
    for begin in (b"BZh1,id\n", b"BZhou", b"", b"\x1f", b"(\xb5"):
        assert packing_of(begin) is None


def test_the_end_of_a_name_that_says_how_it_is_packed_is_cut_off() -> None:
    names = ["a.csv.gz", "a.csv.ZIP", "a.bz2", "gz", "a.csv", "a.xz.zst"]
    assert [without_suffix(name) for name in names] == ["a.csv", "a.csv", "a", "gz", "a.csv", "a.xz"]


@given(content=st.binary(max_size=200), kind=st.sampled_from(["bzip2", "xz"]), cut=st.integers(1, 40))
@settings(max_examples=60)
def test_members_that_are_cut_anywhere_are_told(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, kind: str, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("packed")
    packed = PACK[kind](b"a\n") + PACK[kind](content)
    assert read(folder, packed, "whole") == b"a\n" + content
    begins = len(PACK[kind](b"a\n"))
    with pytest.raises(UnusableFileError):
        read(folder, packed[: max(begins + 1, len(packed) - cut)], "cut")
