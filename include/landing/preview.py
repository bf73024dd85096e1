"""What a sample would be once it is landed: its first rows as their table would hold them, and how many are valid.

No personal value is shown: neither one of a column that is marked, nor a text with an e-mail address in it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from include.contracts import Contract, holds_personal
from include.landing.judge import RejectedRows, must_be_held, read_rows
from include.landing.rows import RowSchema
from include.report import table

_ROWS = 5
_COLUMNS = 60
_CHARACTERS = 30  # of a value
_TOLD_ROWS = 10_000
_NULL = r"\N"  # as COPY writes it
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_MEANT = {"t": "\t", "n": "\n", "r": "\r"}
_EMAIL = re.compile(r"[^\s@]@[^\s@]")


class _EnoughRowsError(Exception):
    """So many rows were read as were asked for."""


def preview(
    contract: Contract,
    parts: Sequence[Path],
    *,
    rows: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> str:
    """Judge the files of a sample, or about its first `rows`; return the first valid rows and what share is valid.

    Nothing is loaded or moved. Raises FileError for a file that would not be landed at all.
    """
    first: list[str] = []
    valid = 0

    def keep(_: str, lines: list[str]) -> None:
        nonlocal valid
        first.extend(lines[: _ROWS - len(first)])
        valid += len(lines)
        if valid % _TOLD_ROWS < len(lines):
            progress(f"judged {valid:,} rows")
        if rows is not None and valid >= rows:
            raise _EnoughRowsError

    with RejectedRows(contract) as rejects:
        with contextlib.suppress(_EnoughRowsError):
            for part in parts:
                read_rows(RowSchema(contract), "sample", part, None, keep, rejects)
        shown = [_first_rows(contract, first)] if first else []
        return "\n".join([*shown, _share(contract, valid, rejects)])


def _share(contract: Contract, valid: int, rejects: RejectedRows) -> str:
    total = valid + rejects.count
    if not rejects.count:
        return f"{'the one row is' if total == 1 else f'all of {total:,} rows are'} valid under the draft"
    codes = ", ".join(f"{code} {count:,}" for code, count in rejects.codes.most_common())
    one = next(iter(rejects))
    said = [
        f"{_percent(valid, total)} of {total:,} rows are valid under the draft; rejected: {codes}",
        f"  the first in line {one.line}: {_without_email(one.reason)}",
    ]
    if must_be_held(contract, valid, rejects):
        said.append("  landing would hold such a file whole: mend the file or the draft, or raise its maxBadPercent")
    return "\n".join(said)


def _percent(part: int, whole: int) -> str:
    """Return a share that says 100 % of nothing less than the whole."""
    return f"{int(part * 1000 / whole) / 10:.1f} %"


def _first_rows(contract: Contract, lines: list[str]) -> str:
    columns = contract.columns[:_COLUMNS]
    rows = [line.rstrip("\n").split("\t") for line in lines]
    header = ["column", *(f"row {number}" for number in range(1, len(rows) + 1))]
    shown = [
        dict(
            zip(
                header,
                [column.name, *(_shown(row[place], is_personal=holds_personal(column.spec)) for row in rows)],
                strict=True,
            )
        )
        for place, column in enumerate(columns)
    ]
    left = len(contract.columns) - len(columns)
    more = f"\nand {left:,} columns more" if left else ""
    count = "row as it" if len(rows) == 1 else f"{len(rows)} rows as they"
    return f"the first {count} would land, without personal values:\n{table(header, shown)}{more}"


def _shown(written: str, *, is_personal: bool) -> str:
    """Return a value of a line for COPY as it may be shown: on one line, not too long, and nothing personal."""
    if written == _NULL:
        return "(null)"
    if is_personal:
        return "(personal)"
    value = _ESCAPED.sub(lambda found: _MEANT.get(found[1], found[1]), written)
    if _EMAIL.search(value):
        return "(holds an e-mail address)"
    cut = value if len(value) <= _CHARACTERS else value[: _CHARACTERS - 3] + "..."
    return cut if cut.isprintable() and cut else repr(cut)


def _without_email(reason: str) -> str:
    return "(holds an e-mail address)" if _EMAIL.search(reason) else reason
