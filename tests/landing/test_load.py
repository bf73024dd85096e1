"""Every valid row is loaded exactly once, no other is, and each rejected row is kept with its place and reason."""

from __future__ import annotations

import bz2
import contextlib
import dataclasses
import gzip
import io
import json
import lzma
import multiprocessing
import os
import threading
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from include.landing import LandingError, LandResult, judge, land, pending_files
from include.postgres import ConnectionFailedError
from include.readers.kinds import check_kind
from tests.landing.conftest import THINGS, Place, write_contract


def zipped(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        made.writestr(name, content)
    return packed.getvalue()


def thing(number: int, label: str | None = "a") -> dict[str, object]:
    return {"id": number, "label": label, "secret": None}


def statuses(result: LandResult) -> list[str]:
    return [file.status for file in result.files]


def test_a_file_is_loaded_counted_and_archived(things: Place) -> None:
    things.put("one", [thing(1), thing(2), {"id": "x"}])
    result = things.land()
    assert (result.rows_read, result.rows_loaded, result.rows_duplicate, result.rows_rejected) == (3, 2, 0, 1)
    assert things.rows() == [(1, "a"), (2, "a")]
    assert (things.archive / "toys/one/things.json").is_file()
    assert pending_files(things.contract, str(things.root)) == []
    files = things.query("select dataset, path, status, rows_read, rows_loaded, rows_rejected from landing.files")
    assert files == [("toys.things", "toys/one/things.json", "landed", 3, 2, 1)]


def test_a_reject_keeps_file_line_row_code_field_and_reason(things: Place) -> None:
    line = '{"id": "x",  "label": "as it stood"}'
    things.put("one", b'{"id": 1}\n' + line.encode() + b"\n")
    things.land()
    found = things.query('select dataset, path, line, code, field, reason, "row" from landing.rejects')
    assert found == [("toys.things", "toys/one/things.json", 2, "type", "id", "id: 'x' is not an integer", line)]


def test_of_rows_that_landed_at_once_the_later_file_has_the_newest(things: Place) -> None:
    things.put("o_1", [{"id": 2}, {"id": 1, "label": "old"}])
    things.put("o_2", [{"id": 1, "label": "new"}])
    things.land()
    assert things.query("select label from toys.things_current where id = 1") == [("new",)]


def test_keys_are_equal_as_their_columns_have_it_and_not_as_they_are_written(csv_things: Place) -> None:
    second = "name: label, primaryKey: true, primaryKeyPosition: 2,"
    things = csv_things
    things.contract = write_contract(things.folder, THINGS.replace("name: label,", second), "csv")
    for name, more in (("one", ""), ("two", "9,new,\n")):
        things.put(name, f'id,label,secret\n1,a\\b,\n2,"a\tb",\n3,,\n{more}'.encode())
        assert things.land_anyway().rows_loaded == (1 if more else 3)
    number = "logicalType: number, physicalType: numeric,"
    text = THINGS.replace("logicalType: integer, physicalType: integer,", number)
    things.contract = write_contract(things.folder, text.replace("physicalName: things", "physicalName: prices"), "csv")
    things.put("three", b"id,label,secret\n1.0,a,\n1.00,a,\n")
    (result,) = things.land().files
    assert (result.rows_loaded, result.rows_duplicate) == (1, 1)


def test_no_message_shows_a_personal_value(things: Place) -> None:
    things.put("one", [{"id": 1, "secret": "somebody's secret"}, {"id": 2, "who@example.com": 1}])
    result = things.land_anyway()
    reasons = [reason for (reason,) in things.query("select reason from landing.rejects order by line")]
    assert reasons == [
        "secret: is not an e-mail address",
        "the row: the contract knows no key '(a long or odd key)'",
    ]
    assert "secret" not in json.dumps(result.to_json()).replace("things", "")
    assert result.codes == {"format": 1, "unknown_key": 1}


def test_columns_may_be_called_as_landing_calls_its_own(things: Place) -> None:
    text = THINGS
    for name, other in {"id": "number", "label": "placed_at", "secret": "is_duplicate"}.items():
        text = text.replace(f"name: {name},", f"name: {other},")
    things.contract = write_contract(things.folder, text)
    landed = []
    for name, label in {"3": "c", "2": "b", "1": "a", "4": "c"}.items():  # 2 and 1 come late
        things.put(name, [{"number": 1, "placed_at": label, "is_duplicate": None}])
        landed.append(things.land().rows_loaded)
    assert landed == [1, 1, 1, 0]
    assert things.query("select number, placed_at from toys.things_current") == [(1, "c")]


def test_the_same_row_again_is_a_duplicate_and_another_row_is_a_version(things: Place) -> None:
    things.put("one", [thing(1), thing(1), thing(2), thing(1, "b"), thing(1, "b"), thing(1)])
    assert (things.land().rows_loaded, things.rows()) == (4, [(1, "a"), (1, "b"), (1, "a"), (2, "a")])
    things.put("two", [thing(1), thing(2), thing(3), thing(2, "c")])
    result = things.land()
    assert (result.rows_loaded, result.rows_duplicate) == (2, 2)
    assert things.query("select id, label from toys.things_current order by id") == [(1, "a"), (2, "c"), (3, "a")]


def test_a_value_that_goes_back_is_a_new_version(things: Place) -> None:
    for number, label in enumerate(["a", "b", "a"]):
        things.put(str(number), [thing(1, label), thing(100 + number)])
        things.land()
    assert things.rows()[:3] == [(1, "a"), (1, "b"), (1, "a")]


def test_a_new_version_is_the_newest_after_a_dump_was_restored_on_another_server(things: Place) -> None:
    things.put("one", [thing(1, "before")])
    things.land()
    things.query("update toys.things set _xid = '900000000000' returning id")  # as its old server had numbered it
    things.put("two", [thing(1, "after")])
    things.land()
    assert things.query("select label from toys.things_current") == [("after",)]
    things.put("three", [thing(1, "after"), thing(2)])
    assert things.land().rows_duplicate == 1


def test_a_clock_that_was_set_back_makes_no_old_version_the_newest(things: Place) -> None:
    things.put("one", [thing(1, "before")])
    things.land()
    things.query("update landing.files set loaded_at = now() + interval '1 hour' returning path")
    things.put("two", [thing(1, "after")])
    with pytest.raises(LandingError, match="set the clock, or land again after that"):
        things.land()
    things.query("update landing.files set loaded_at = now() returning path")
    assert things.land().rows_loaded == 1
    assert things.query("select label from toys.things_current") == [("after",)]


def test_a_run_that_waits_for_another_counts_from_when_it_goes_on(things: Place) -> None:
    things.put("one", [thing(1)])
    things.land()
    things.put("two", [thing(2)])
    with psycopg.connect(things.uri) as connection:
        connection.execute("select pg_advisory_xact_lock(hashtextextended('landing toys.things', 0))")
        waiting = threading.Thread(target=things.land)
        waiting.start()
        while not connection.execute("select from pg_locks where locktype = 'advisory' and not granted").fetchall():
            time.sleep(0.05)
        released = connection.execute("select clock_timestamp()").fetchall()
    waiting.join()
    assert things.query("select max(_loaded_at) from toys.things") > released


def test_the_same_bytes_under_any_name_change_nothing_and_it_is_said(things: Place) -> None:
    things.put("one", [thing(1)])
    things.land()
    things.put("two", [thing(1)])
    result = things.land()
    assert statuses(result) == ["already_landed"]
    assert "same bytes as toys/one/things.json" in result.files[0].note
    assert (things.rows(), pending_files(things.contract, str(things.root))) == ([(1, "a")], [])
    assert (things.archive / "toys/two/things.json").is_file()


def test_the_same_bytes_twice_in_one_batch_are_landed_once(things: Place) -> None:
    things.put("one", [thing(1)])
    things.put("two", [thing(1)])
    assert sorted(statuses(things.land())) == ["already_landed", "landed"]
    assert things.rows() == [(1, "a")]


def test_a_corrected_file_of_the_same_name_brings_versions_and_overwrites_no_archive(things: Place) -> None:
    things.put("one", [thing(1), thing(2)])
    things.land()
    things.put("one", [thing(1), thing(2, "better")])
    result = things.land()
    assert (result.rows_loaded, result.rows_duplicate) == (1, 1)
    assert len(list((things.archive / "toys/one").iterdir())) == 2


def test_a_move_to_the_archive_that_was_cut_short_is_done_by_the_next_run(things: Place) -> None:
    path = things.put("one", [thing(1)])
    content = path.read_bytes()
    things.land()
    things.put("one", content)  # as if the move had not happened
    result = things.land()
    assert (statuses(result), result.files[0].note) == (["already_landed"], "was landed before and is archived now")
    assert [p.name for p in (things.archive / "toys/one").iterdir()] == ["things.json"]


def test_an_archive_that_can_not_be_written_is_told_and_repaired(things: Place) -> None:
    things.put("one", [thing(1)])
    things.archive.write_text("a file where the folder should be")
    with pytest.raises(LandingError, match="landed but not archived"):
        things.land()
    things.archive.unlink()
    assert statuses(things.land()) == ["already_landed"]
    assert things.rows() == [(1, "a")]


def test_too_many_bad_rows_hold_the_file_whole_until_it_is_mended(things: Place) -> None:
    things.put("bad", [thing(1), *({"id": "x"} for _ in range(4))])
    things.put("good", [thing(2)])
    with pytest.raises(
        LandingError, match=r"toys/bad/things.json is held whole: 4 of 5 rows are rejected.*rejects list"
    ):
        things.land()
    assert things.rows() == [(2, "a")]
    assert things.query("select count(*) from landing.rejects") == [(4,)]
    status = "select status, rows_read, rows_loaded, rows_rejected from landing.files where path like '%bad%'"
    assert things.query(status) == [("held", 5, 0, 5)]
    assert statuses(things.land_anyway()) == ["held"]
    things.put("bad", [thing(1), {"id": "x"}])
    assert statuses(things.land()) == ["landed"]
    assert things.rows() == [(1, "a"), (2, "a")]


@pytest.mark.parametrize(
    ("limits", "bad", "of", "is_held"),
    [
        ({}, 5, 5, True),
        ({}, 3, 5, True),
        ({}, 1, 5, True),
        ({}, 1, 20, False),
        ({}, 1, 10, False),  # exactly the share that is allowed
        ({}, 2, 19, True),
        ({"maxBadRows": 3}, 3, 5, False),
        ({"maxBadRows": 3}, 4, 5, True),
        ({"maxBadRows": 3}, 1, 1, True),  # not one valid row
        ({"maxBadPercent": 60}, 3, 5, False),
        ({"maxBadPercent": 100}, 5, 5, False),
        ({"maxBadPercent": 99.9}, 5, 5, True),
        ({"maxBadPercent": 0}, 1, 500, True),
        ({"maxBadPercent": 0}, 0, 1, False),
    ],
)
def test_a_file_is_held_by_the_share_of_its_rejected_rows_however_small_it_is(
    things: Place, limits: dict[str, float], bad: int, of: int, is_held: bool
) -> None:
    stated = [f"{{property: {name}, value: {value}}}" for name, value in limits.items()]
    begin, _, rest = THINGS.partition("    customProperties:")
    text = f"{begin}    customProperties: [{', '.join(stated)}]\n    schema:{rest.partition('    schema:')[2]}"
    things.contract = write_contract(things.folder, text)
    things.put("one", [*(thing(number) for number in range(of - bad)), *({"id": "x"} for _ in range(bad))])
    dry = judge(things.contract, pending_files(things.contract, str(things.root)), root=str(things.root))
    landed = things.land_anyway()
    assert statuses(landed) == statuses(dry) == ["held" if is_held else "landed"]
    assert (dry.rows_loaded, dry.rows_rejected) == (landed.rows_loaded, landed.rows_rejected)
    assert len(things.rows()) == (0 if is_held else of - bad)


def test_a_file_without_a_valid_row_says_so(things: Place) -> None:
    things.put("one", b'{"id": "x"}\n')
    with pytest.raises(LandingError, match=r"held whole: 1 of 1 rows are rejected, so not one is valid.*to 100"):
        things.land()


OTHER_KINDS = {
    "a zip": zipped("rows.json", b'{"id": 1}\n'),
    "an Excel workbook": zipped("[Content_Types].xml", b"<Types/>"),
    "packed twice, the second time with bzip2": gzip.compress(bz2.compress(b'{"id": 1}\n')),
    "packed twice, the second time with xz": bz2.compress(lzma.compress(b'{"id": 1}\n')),
    "packed with zlib": zlib.compress(b'{"id": 1}\n'),
    "packed twice, the second time with zstd": gzip.compress(b"\x28\xb5\x2f\xfd\x04\x00"),
    "packed twice, the second time with gzip": gzip.compress(gzip.compress(b'{"id": 1}\n')),
    "Parquet": b"PAR1\x15\x04",
    "Avro": b"Obj\x01\x04\x14avro.codec\x08null\x16avro.schema",
    "ORC": b"ORC\n\x0b\n\x03\x00\x00\x00",
    "a PDF": b"%PDF-1.7\n",
    "an SQLite database": b"SQLite format 3\0",
    "UTF-16": '{"id": 1}\n'.encode("utf-16"),
    "UTF-16 without a mark": 'id,label\n"1",a\n'.encode("utf-16-le"),
    "UTF-32": '{"id": 1}\n'.encode("utf-32"),
    "an HTML page": b"\n<!DOCTYPE html>\n<html><body>Please log in</body></html>\n",
    "XML": b'<?xml version="1.0"?>\n<rows><row/></rows>\n',
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
@pytest.mark.parametrize("format_", ["json", "csv"])
def test_a_file_of_another_kind_is_refused_by_its_name(things: Place, kind: str, format_: str) -> None:
    things.contract = write_contract(things.folder, THINGS, format_)
    things.put("one", OTHER_KINDS[kind])
    with pytest.raises(LandingError, match=f"toys/one/things.{format_} is {kind}, neither JSON nor CSV: "):
        things.land()
    assert pending_files(things.contract, str(things.root)) == [f"toys/one/things.{format_}"]
    assert things.query("select status from landing.files") == [("failed",)]


def test_rows_that_look_a_little_like_another_kind_are_rows() -> None:
    for begin in (
        b"ORCHID,id\n",
        b"x^2,y\n",
        b"<id>,<name>\n",
        b"BZhou,id\n",
        b"PK,id\n",
        b"PK\n",
        b"pk\x03\x04,id\n",
        b"PAR,1\n",
        b"PAR1,id\n",
        b"par1,id\n",
        b"PAR1\n1\n",
        b"BZh9x,id\n",
        b"bzh1,id\n",
        b"BZh9,id\n",
        b"Obj,id\n",
        b"obj\x01id\n1\x012\n",
        b"Obj\x01id\n1\x012\n",
        b"ORC x,id\n",
        b"ORC\n1\n",
        b"orc\r\n1\r\n",
        "ORCé,id\n".encode(),
        "xڀ,id\n".encode(),
        b"x\x01id\n1\x012\n",
        b"7z,id\n",
        b"sqlite format 3,id\n",
        b"%PDF-share,id\n",
        b"id," + b"a" * 254 + b"ustar,b\n",
        b"\xef\xbb\xbfid\n",
        b"",
    ):
        check_kind(begin)


ODD_FILES = {
    "empty": (b"", 0, 0),
    "one_bad_byte": (b"\xff", 0, 1),
    "one_nul": (b"\0", 0, 1),
    "blank_lines": (b"\n\r\n \n" + b'{"id": 1}\n', 1, 0),
    "bom": (b"\xef\xbb\xbf" + b'{"id": 1}\n', 1, 0),
    "crlf": (b'{"id": 1}\r\n{"id": 2}\r\n', 2, 0),
    "no_end_of_line": (b'{"id": 1}\n{"id": 2}', 2, 0),
    "cut_short": (b'{"id": 1}\n{"id": ', 1, 1),
    "bad_byte_in_a_row": (b'{"id": 1, "label": "\xe9"}\n{"id": 2}\n', 1, 1),
    "nul_in_text": (b'{"id": 1, "label": "a\\u0000b"}\n{"id": 2, "label": "\\u0000"}\n', 0, 2),
    "special_characters": (b'{"id": 1, "label": "\\\\N\\t\\n\\r\\\\"}\n{"id": 2, "label": "\\\\."}\n', 2, 0),
    "surrogate": (b'{"id": 1, "label": "\\ud800"}\n', 0, 1),
    "other_values": (b'1\n"x"\n[]\n', 0, 3),
    "null": (b"null\n", 0, 1),
    "huge_numbers": (b'{"id": 99999999999}\n{"id": 1e400}\n{"id": 123456789012345678901234567890}\n', 0, 3),
    "whole_float": (b'{"id": 1.0}\n{"id": 1.5}\n', 1, 1),
    "deep": (b'{"id": ' + b"[" * 10_000 + b"]" * 10_000 + b"}\n", 0, 1),
    "no_numbers": (b'{"id": NaN}\n{"id": Infinity}\n{"id": 01}\n', 0, 3),
    "negative_zero": (b'{"id": -0}\n{"id": 1}\n', 2, 0),
    "key_twice": (b'{"id": 1, "id": 1}\n{"id": 2}\n', 1, 1),
    "many_keys": (b"{" + b",".join(b'"k%d": 1' % n for n in range(5000)) + b"}\n", 0, 1),
    "other_line_ends": ('{"id": 1, "label": "a\u2028b\u0085c"}\n{"id": 2}\r{"id": 3}\n'.encode(), 1, 1),
    "two_rows_in_a_line": (b'{"id": 1}{"id": 2}\n{"id": 3},\n', 0, 2),
    "array_of_rows": (b'[\n{"id": 1},\n{"id": "x"},\n{"id": 2}\n]\n', 2, 1),
    "indented_array": (b'\xef\xbb\xbf[\n  {\n    "id": 1\n  },\n  {\n    "id": 2\n  }\n]\n', 2, 0),
    "indented_objects": (b'{\n  "id": 1\n}\n{\n  "id": 2\n}\n', 2, 0),
}


@pytest.mark.parametrize("kind", ODD_FILES)
def test_odd_files_lose_no_valid_row_and_stop_nobody(things: Place, kind: str) -> None:
    content, valid, bad = ODD_FILES[kind]
    things.contract = dataclasses.replace(things.contract, max_bad_percent=100.0)
    things.put("odd", content)
    things.put("zip", gzip.compress(content)).rename(things.root / "toys/zip/things.json.gz")
    things.put("good", [thing(77)])
    result = things.land()
    odd = next(file for file in result.files if "odd" in file.path)
    assert (odd.status, odd.rows_loaded, odd.rows_rejected) == ("landed", valid, bad)
    zipped = next(file for file in result.files if "zip" in file.path)
    assert (zipped.status, zipped.rows_duplicate, zipped.rows_rejected) == ("landed", valid, bad)
    assert things.query("select count(*) from landing.rejects where line > 0 and reason > '' and code > ''") == [
        (2 * bad,)
    ]


def test_a_row_with_thousands_of_mistakes_gives_a_reason_of_some_lines(things: Place) -> None:
    things.put("one", b"{" + b",".join(b'"k%d": 1' % n for n in range(5000)) + b"}\n")
    things.land_anyway()
    ((reason,),) = things.query("select reason from landing.rejects")
    assert reason.startswith("id: is missing; the row: the contract knows no key 'k")
    assert reason.endswith("and 4981 more")
    assert len(reason) < 2000


@pytest.mark.parametrize("name", ["a\nb", "tab\tand\\", "quote'\"$;--", "ü漢 😀", "%s{}", "-rf", "[1]"])
def test_a_file_of_any_name_is_landed_under_it(things: Place, name: str) -> None:
    things.put(name, [thing(1), {"id": "x"}])
    assert statuses(things.land()) == ["landed"]
    path = f"toys/{name}/things.json"
    for place in ("toys.things", "landing.files", "landing.rejects"):
        assert things.query(f"select {'_file' if 'toys' in place else 'path'} from {place}") == [(path,)]
    assert (things.archive / path).is_file()


def test_a_file_whose_name_is_not_text_stays_and_is_told(things: Place) -> None:
    name = os.fsdecode(b"bad\xff")
    things.put(name, [thing(1)])
    things.put("good", [thing(2)])
    with pytest.raises(LandingError) as caught:
        things.land()
    assert str(caught.value) == "toys.things: toys/bad\\udcff/things.json has a name that is not UTF-8: rename it"
    assert things.rows() == [(2, "a")]


def test_links_are_followed_and_loops_and_folders_are_no_files(things: Place) -> None:
    elsewhere = things.folder / "elsewhere.json"
    elsewhere.write_bytes(b'{"id": 1}\n')
    for name in ("link", "loop", "dangling"):
        (things.root / "toys" / name).mkdir(parents=True)
    (things.root / "toys/link/things.json").symlink_to("../../../elsewhere.json")
    (things.root / "toys/loop/things.json").symlink_to("things.json")
    (things.root / "toys/dangling/things.json").symlink_to("nowhere")
    (things.root / "toys/ring").symlink_to(things.root / "toys")
    (things.root / "toys/folder/things.json").mkdir(parents=True)
    assert statuses(things.land()) == ["landed"]
    archived = things.archive / "toys/link/things.json"
    assert archived.read_bytes() == elsewhere.read_bytes()
    assert not archived.is_symlink()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_stays_is_told_and_stops_nobody(things: Place) -> None:
    things.put("closed", [thing(1)]).chmod(0)
    things.put("open", [thing(2)])
    with pytest.raises(LandingError, match=r"toys/closed/things.json can't be read or moved: Permission denied"):
        things.land()
    assert things.rows() == [(2, "a")]


def test_text_arrives_as_it_was_sent(things: Place) -> None:
    labels = ["\\N", "\\.", "a\tb\nc\rd\\e", "", "\x01", "é漢😀", "\x7f", "'\"", None]
    things.put("one", [thing(n, label) for n, label in enumerate(labels)])
    things.land()
    assert [label for _, label in things.rows()] == labels


@pytest.mark.parametrize("damage", ["truncated", "garbled", "not_gzip", "empty", "trailing"])
def test_a_damaged_gzip_stays_is_told_and_stops_nobody(things: Place, damage: str) -> None:
    whole = gzip.compress(b"".join(b'{"id": %d, "label": "%d"}\n' % (n, n * n) for n in range(2000)))
    content = {
        "truncated": whole[: len(whole) // 2],
        "garbled": whole[:400] + b"\0\0\0\0\0\0\0\0" + whole[408:],
        "not_gzip": b'{"id": 1}\n',
        "empty": b"",
        "trailing": whole + b"garbage",
    }[damage]
    things.put("toys/a/things.json.gz", content)
    things.put("b", [thing(5)])
    with pytest.raises(LandingError, match=r"toys/a/things.json.gz .*send it again") as caught:
        things.land()
    assert sorted(statuses(caught.value.result)) == ["failed", "landed"]
    assert things.rows() == [(5, "a")]
    assert things.query("select status, rows_read from landing.files where path like '%/a/%'") == [("failed", 0)]
    things.put("toys/a/things.json.gz", whole)
    assert things.land().rows_loaded == 2000


def test_a_very_long_line_is_rejected_without_holding_it_in_memory(things: Place) -> None:
    path = things.put("one", b"")
    with path.open("wb") as out:
        out.write(b'{"id": 1, "label": "')
        for _ in range(100):
            out.write(b"x" * (1 << 20))
        out.write(b'"}\n{"id": 2}\n')
    with little_memory():
        result = things.land()
    assert (result.rows_loaded, result.codes) == (1, {"too_long": 1})
    assert things.query('select line, length("row") from landing.rejects') == [(1, 1 << 16)]


@pytest.mark.parametrize("excess", [1, (1 << 18) - 20, 1 << 18, 3 << 18])
def test_a_line_that_is_too_long_takes_no_other_line_with_it(things: Place, excess: int) -> None:
    too_long = b'{"id": 2, "label": "' + b"x" * (things.contract.max_row_bytes + excess) + b'"}\n'
    lines = [b'{"id": 1}\n', too_long, b'{"id": 3}\n', b'{"id": 4}\n', too_long, b'{"id": 5}\n', b'{"id": 6}']
    things.put("one", b"".join(lines))
    result = things.land()
    assert (result.rows_loaded, result.codes) == (5, {"too_long": 2})
    assert things.query("select id, _line from toys.things order by 1") == [(1, 1), (3, 3), (4, 4), (5, 6), (6, 7)]


def test_the_index_and_the_view_are_made_once(things: Place) -> None:
    made = (
        "select oid, xmin::text from pg_class where relnamespace = to_regnamespace('toys') and relkind in ('i', 'v')"
        " union select oid, xmin::text from pg_rewrite where ev_class = to_regclass('toys.things_current')"
    )
    things.put("one", [{"id": 1}])
    things.land()
    before = things.query(made)
    things.put("two", [{"id": 2}])
    things.land()
    assert len(before) == 3 and set(things.query(made)) == set(before)


def test_a_view_that_told_the_newest_version_in_another_way_is_made_anew(things: Place) -> None:
    things.put("one", [{"id": 1}])
    things.land()
    defined = "select pg_get_viewdef('toys.things_current')"
    before = things.query(defined)
    with psycopg.connect(things.uri) as connection:
        connection.execute(
            "create or replace view toys.things_current as select distinct on (id) * from toys.things"
            " order by id, _xid desc, _file desc, _line desc"
        )
    assert things.query(defined) != before
    things.put("two", [{"id": 2}])
    things.land()
    assert things.query(defined) == before


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20


def test_a_gzip_of_a_thousand_times_its_size_takes_little_memory(things: Place) -> None:
    folder = things.root / "toys/bomb"
    folder.mkdir(parents=True)
    with gzip.open(folder / "things.json.gz", "wb", compresslevel=1) as out:
        for _ in range(300):
            out.write(bytes(1 << 20))
        out.write(b'\n{"id": 1}\n')
    with little_memory():
        result = things.land()
    assert (result.rows_loaded, result.codes) == (1, {"too_long": 1})


def test_a_file_that_is_being_written_waits_for_the_next_run(things: Place) -> None:
    things.put("done", [thing(1)])
    path = things.put("open", [thing(2)])
    with path.open("ab") as writer:
        with pytest.raises(LandingError, match=r"toys/open/things.json is still being written"):
            things.land()
        writer.write(b'{"id": 3}\n')
    assert things.land().rows_loaded == 2
    assert things.rows() == [(1, "a"), (2, "a"), (3, None)]


def test_a_file_that_changes_while_it_is_read_is_not_landed(things: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = things.put("one", [thing(1)])
    real = land.__globals__["hash_of"]

    def hash_then_append(file: Path) -> str:
        found: str = real(file)
        if path.is_file():
            with path.open("ab") as writer:
                writer.write(b'{"id": 2}\n')
        return found

    monkeypatch.setitem(land.__globals__, "hash_of", hash_then_append)
    with pytest.raises(LandingError, match="changed while it was read"):
        things.land()
    monkeypatch.undo()
    assert things.land().rows_loaded == 2


def test_a_row_that_postgres_refuses_fails_its_file_alone_and_says_where(things: Place) -> None:
    things.put("a", [thing(1)])
    things.land()
    with psycopg.connect(things.uri) as connection:
        connection.execute("alter table toys.things add constraint short check (length(label) < 5)")
    things.put("b", [thing(2)])
    things.put("c", [thing(3, "too long for it")])
    reason = r"is rejected by Postgres at toys/c/things.json line 1: CheckViolation .SQLSTATE 23514"
    with pytest.raises(LandingError, match=reason) as caught:
        things.land()
    assert "too long" not in str(caught.value)
    assert things.rows() == [(1, "a"), (2, "a")]


def test_a_large_file_is_loaded_like_a_small_one(things: Place) -> None:
    number = 60_000
    lines = [json.dumps({"id": n % (number - 10), "label": "x" * 80, "secret": None}) for n in range(number)]
    lines[100] = '{"id": 1'
    things.put("toys/big/things.json", "\n".join(lines).encode())
    result = things.land()
    assert (result.rows_read, result.rows_rejected, result.rows_duplicate) == (number, 1, 10)
    assert things.query("select count(*), count(distinct id) from toys.things") == [(number - 11, number - 11)]


def test_a_large_bad_file_is_held_and_leaves_no_row(things: Place) -> None:
    lines = [b'{"id": %d, "label": "%s"}\n' % (n, b"x" * 100) for n in range(50_000)]
    things.put("big", b"".join(lines) + b"nonsense\n" * 60_000)
    assert statuses(things.land_anyway()) == ["held"]
    assert things.rows() == []
    assert things.query("select count(*) from landing.rejects") == [(60_000,)]


def _land(place: Place, barrier: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    place.land()


def test_two_runs_at_once_load_each_row_once(things: Place) -> None:
    for number in range(30):
        things.put(f"{number:02}", [thing(number * 100 + n) for n in range(50)])
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    runs = [context.Process(target=_land, args=(things, barrier)) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0, 0, 0]
    assert things.query("select count(*), count(distinct id) from toys.things") == [(1500, 1500)]
    assert things.query("select sum(rows_loaded), count(*) from landing.files") == [(1500, 30)]
    assert pending_files(things.contract, str(things.root)) == []


def test_the_database_going_away_raises_and_loses_nothing(things: Place) -> None:
    things.put("one", [thing(1)])
    things.land()
    things.put("two", [thing(2)])
    with pytest.raises(ConnectionFailedError):
        land(
            things.contract,
            pending_files(things.contract, str(things.root)),
            source_uri="postgresql://nobody:x@127.0.0.1:1/x",
            root=str(things.root),
            archive=str(things.archive),
        )
    assert things.land().rows_loaded == 1


def test_an_array_that_was_cut_short_is_not_landed(things: Place) -> None:
    things.put("one", b'[{"id": 1},\n{"id": 2},')
    with pytest.raises(LandingError, match="ends within its array: it was cut short, send it again"):
        things.land()
    assert things.rows() == []


def test_rows_of_an_array_have_the_line_on_which_they_begin(things: Place) -> None:
    things.put("one", b'[\n  {\n    "id": 1\n  },\n  {\n    "id": "x"\n  },\n  {"id": 2}\n]')
    things.land()
    assert things.query("select id, _line from toys.things order by id") == [(1, 2), (2, 8)]
    assert things.query('select line, "row" from landing.rejects') == [(5, '{\n    "id": "x"\n  }')]


CSV_FILES = {
    "plain": (b"id,label,secret\n1,a,\n2,b,x@example.com\n", 2, 0),
    "other_order": (b"secret,label,id\n,a,1\n", 1, 0),
    "only_required": (b"id\n1\n", 1, 0),
    "only_header": (b"id,label,secret\r\n", 0, 0),
    "quoted": (b'"id","label","secret"\r\n"1","a, ""b""",""\r\n', 1, 0),
    "record_over_lines": (b'id,label,secret\n1,"a\nb",\n2,c,\n', 2, 0),
    "stray_quote": (b'id,label,secret\n1,"a,\n2,b,\n3,"c",\n4,d,\n5,e,\n6,f,\n7,g,\n', 4, 1),
    "cr_alone_ends_lines": (b'id,label,secret\r1,"a\nb",\r2,c,\r', 2, 0),
    "too_few_values": (b"id,label,secret\n1,a\n2,b,\n", 1, 1),
    "not_an_integer": (b"id,label,secret\none,a,\n", 0, 1),
    "bad_byte": (b"id,label,secret\n1,\xe9,\n2,b,\n", 1, 1),
    "bom": (b"\xef\xbb\xbfid,label,secret\n1,a,\n", 1, 0),
    "empty": (b"", 0, 0),
    "too_many_values": (b"id,label,secret\n1,a,,more\n2,b,\n", 1, 1),
    "nul": (b"id,label,secret\n1,a\0b,\n2,b,\n", 1, 1),
    "long_record": (b'id,label,secret\n1,"' + b"7,a,\n" * 900 + b'",\n2,b,\n', 2, 0),
}


@pytest.mark.parametrize("kind", CSV_FILES)
def test_csv_files_lose_no_valid_row(csv_things: Place, kind: str) -> None:
    content, valid, bad = CSV_FILES[kind]
    csv_things.contract = dataclasses.replace(csv_things.contract, max_bad_percent=100.0)
    csv_things.put("one", content)
    result = csv_things.land()
    assert (result.rows_loaded, result.rows_rejected) == (valid, bad)


def test_a_quote_that_is_never_closed_holds_the_file(csv_things: Place) -> None:
    rows = b"2,b,\n" * 500
    csv_things.put("one", b"id,label,secret\n" + rows + b'1,"a,\n' + rows * 2)
    with pytest.raises(LandingError, match="1 of 501 rows, which take 1001 lines, are rejected"):
        csv_things.land()
    assert csv_things.rows() == []
    ((line, code, reason),) = csv_things.query("select line, code, reason from landing.rejects")
    assert (line, code) == (502, "csv")
    assert reason == "a quoted value does not end before the file does, so 1001 lines can't be told apart"


def test_the_line_of_a_csv_row_is_where_its_record_begins(csv_things: Place) -> None:
    csv_things.put("one", b'id,label,secret\n1,"a\nb",\n\n2,c,\nx,"d\ne",\n')
    csv_things.land()
    assert csv_things.query("select id, _line from toys.things order by id") == [(1, 2), (2, 5)]
    assert csv_things.query('select line, "row" from landing.rejects') == [
        (6, '{"id":"x","label":"d\\ne","secret":null}')
    ]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"label\na\n", "has a header that lacks id"),
        (b"id,label,secret,more\n", "has a header that has 1 that the contract does not"),
        (b"1,a,\n2,b,\n", "has a header that lacks id"),
        (b"id;label;secret\n1;a;\n", "has a header that lacks id"),
        (b"id,label,label\n1,a,b\n", "has a header that names a column twice"),
        (b'id,label,"secret\n1,a,\n', "has a first line that is no header of names separated by ','"),
    ],
)
def test_a_csv_header_that_does_not_fit_fails_the_file(csv_things: Place, header: bytes, reason: str) -> None:
    csv_things.put("one", header)
    with pytest.raises(LandingError, match=reason):
        csv_things.land()
