"""Tables and progress as people and logs see them."""

from __future__ import annotations

import io
import re

import pytest

from include import report


def test_numbers_stand_to_the_right_and_absent_values_are_empty() -> None:
    rows = [{"mart": "daily_total", "rows": 12345, "note": None}, {"mart": "x", "rows": 7, "note": "new"}]
    assert report.table(["mart", "rows", "note"], rows).splitlines() == [
        "mart           rows  note",
        "daily_total  12,345",
        "x                 7  new",
    ]


def test_long_and_odd_values_are_printed_as_they_are_and_never_folded() -> None:
    long = "[bold]not markup[/bold] :smile: " + "x" * 500
    heading, line = report.table(["what", "share"], [{"what": long, "share": 0.5}]).splitlines()
    assert line == f"{long}   0.50" and heading.split() == ["what", "share"]


def test_section_without_rows_says_so() -> None:
    assert str(report.Section("marts", ("mart", "rows"), [])) == "marts: nothing yet"
    assert str(report.Section("marts", ("mart", "rows"), [{"mart": "a", "rows": 1}])).splitlines()[0] == "marts"


def test_progress_in_a_log_is_a_line_for_each_change() -> None:
    log = io.StringIO()
    with report.Progress(stream=log) as progress:
        for text in ("1 of 2", "1 of 2", "2 of 2"):
            progress.show(text)
    assert [re.sub(r"^\[ *\d+ s\] ", "", line) for line in log.getvalue().splitlines()] == ["1 of 2", "2 of 2"]


def test_progress_in_a_log_keeps_its_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 100.0}
    monkeypatch.setattr(report.time, "monotonic", lambda: clock["now"])
    log = io.StringIO()
    with report.Progress(every=5, stream=log) as progress:
        for clock["now"], text in ((100.0, "a"), (104.9, "b"), (105.0, "c")):
            progress.show(text)
    assert [line.split()[-1] for line in log.getvalue().splitlines()] == ["a", "c"]


def test_progress_that_stands_still_says_so_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 100.0}
    monkeypatch.setattr(report.time, "monotonic", lambda: clock["now"])
    log = io.StringIO()
    with report.Progress(again=10, stream=log) as progress:
        for clock["now"] in (100.0, 105.0, 109.9, 110.0, 119.0, 121.0):
            progress.show("a")
    assert log.getvalue().splitlines() == ["[   0 s] a", "[  10 s] a", "[  21 s] a"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_is_one_line_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    screen = Terminal()
    with report.Progress(stream=screen) as progress:
        progress.show("moving " + "x" * 200)
        progress.show("done")
    shown = screen.getvalue()
    assert shown.count("\n") == 0 or shown.endswith("\x1b[2K"), "nothing is left on the screen"
    assert "x" * 41 not in shown, "a line longer than the terminal would not be rewritten in place"
