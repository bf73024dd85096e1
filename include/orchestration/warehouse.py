"""What the warehouse DAG decides: which tables, whether there is anything to do, whether all of it was done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from airflow.sdk import Asset, AssetAny
from airflow.timetables.assets import AssetOrTimeSchedule
from airflow.timetables.trigger import CronTriggerTimetable

from include import landing, settings, transfer
from include.contracts import Contract
from include.errors import FinalError, SettingError
from include.report import table

DOC = """
### Warehouse

Runs when a landing DAG has loaded new rows, on the schedule of WAREHOUSE_SCHEDULE where that is set, or by hand.

1. **plan_transfer** waits for landing that is going on, then lists the tables and how each one will travel.
2. **transfer_table** moves one table per task from source_db to `raw_<source>` in target_db, whole or not at all.
3. **dbt** builds staging, intermediate and marts: one task per model, its tests included.
4. **summary** counts the rows of each mart; **dbt_docs** refreshes the docs in the UI after a change of the project.

Triggered by hand it takes `tables` (patterns such as `app.*`), `full` (move every row again) and `verify` (compare
checksums of every column as well as row counts).
"""


class NothingToMoveError(FinalError):
    """No table of the source matches what was asked for."""


class NotMovedError(FinalError):
    """Some tables of a run were not moved; the log of each table's task has the reason."""


_DAILY = "0 3 * * *"


def warehouse_schedule(assets: list[Asset], cron: str = settings.WAREHOUSE_SCHEDULE) -> Any:
    """Return when the warehouse runs: after each landing of `assets`, by a cron schedule, or both.

    Where there is neither it runs daily, so that tables which applications write still travel. Raises SettingError for
    a schedule or a time zone that can't be read.
    """
    if assets and not cron:
        return AssetAny(*assets)
    try:
        timetable = CronTriggerTimetable(cron or _DAILY, timezone=settings.WAREHOUSE_TIMEZONE)
        timetable.validate()
    except Exception as error:  # cron's, the time zone's and Airflow's errors have no common root
        raise SettingError(
            f"WAREHOUSE_SCHEDULE={cron!r} in WAREHOUSE_TIMEZONE={settings.WAREHOUSE_TIMEZONE!r} is no schedule "
            f"({error}): write cron fields such as '0 6 * * 1-5', and a zone such as Europe/Brussels"
        ) from None
    if not assets:
        return timetable
    return AssetOrTimeSchedule(timetable=timetable, assets=AssetAny(*assets))  # type: ignore[arg-type]


def ensure_landing_tables(contracts: list[Contract], source_uri: str) -> list[str]:
    """See that the tables of landed datasets exist. Writes nothing where nothing lands in the source.

    Returns a sentence for each table that can't follow its contract: it travels as it is, and its landing fails.
    """
    return landing.ensure_tables(contracts, source_uri) if contracts else []


def wait_until_idle(is_busy: Callable[[], bool], *, seconds: float = 600.0, pause: float = 1.0) -> None:
    """Return when is_busy() no longer holds, or after so many seconds.

    By hand: tenacity raises at the end of the time, and here going on is right.
    """
    deadline = time.monotonic() + seconds
    while is_busy() and time.monotonic() < deadline:
        time.sleep(pause)


def is_superfluous(run_type: str, landed_at: Iterable[datetime], read_after: str | None) -> bool:
    """Return whether landing started this run and the rows of the newest landings are in the marts already.

    A run that a person or the clock started never is. `landed_at` are the times of the newest event of each dataset,
    `read_after` is what the newest build of the marts left in its event: the time after which it read the source, in
    ISO form, None where none was built yet. Landing DAGs end one after the other, and a run that the first one started
    has waited for the others, so the runs that those others started find nothing to do.
    """
    if run_type != "asset_triggered":
        return False
    newest = max(landed_at, default=None)
    return read_after is not None and newest is not None and newest < datetime.fromisoformat(read_after)


def plan_tables(
    source_uri: str, target_uri: str, tables: list[str], *, full: bool, may_be_none: bool = False
) -> list[dict[str, Any]]:
    """Return the plan of each table that matches the patterns, as plain dicts, and print why it travels as it does.

    Landing's own tables and those of TRANSFER_EXCLUDE never travel. Raises NothingToMoveError where no table matches,
    unless there `may_be_none`, as in a new project.
    """
    plans = transfer.plan(
        source_uri,
        target_uri,
        include=tables,
        exclude=settings.NEVER_MOVED,
        full=full,
        schema_prefix=settings.RAW_PREFIX,
        modes=transfer.read_modes(settings.TRANSFER_MODES),
    )
    if not plans and not may_be_none:
        raise NothingToMoveError(f"no table of source_db matches {', '.join(tables)}: mend the parameter `tables`")
    for plan in plans:
        print(f"{plan.source}: {plan.reason}")
    return [plan.to_json() for plan in plans]


def check_all_moved(plans: list[dict[str, Any]] | None, results: list[dict[str, Any]]) -> dict[str, int]:
    """Print what was moved and return the totals of tables, rows, rows_changed and bytes.

    Raises NotMovedError where a planned table has no result.
    """
    if plans is None:
        raise NotMovedError("there was no plan: see the log of plan_transfer")
    missing = {plan["source"] for plan in plans} - {result["source"] for result in results}
    if missing:
        raise NotMovedError(f"not moved, and left as they were: {', '.join(sorted(missing))}; see their logs")
    print(table(["source", "mode", "rows", "rows_changed", "seconds", "verdict"], results))
    return {
        "tables": len(results),
        **{name: sum(result[name] for result in results) for name in ("rows", "rows_changed", "bytes")},
    }
