"""What the landing DAGs decide and show."""

from __future__ import annotations

from collections.abc import Iterable

from airflow.timetables.trigger import CronTriggerTimetable

from include import landing, settings
from include.contracts import Contract
from include.errors import FinalError
from include.orchestration.defaults import connection_password


class FilesNotLandedError(FinalError):
    """Some files of a run were not landed; the message has a sentence for each."""


def landing_schedule(cron: str | None) -> CronTriggerTimetable | None:
    """Return when files are landed: by a cron schedule in UTC, or when somebody starts the DAG where there is none."""
    if cron is None:
        return None
    return CronTriggerTimetable(cron, timezone="UTC", run_immediately=settings.RUN_AT_FIRST_START)


def find_batches(contract: Contract, source_uri: str) -> list[list[str]]:
    """Fetch what a dataset's URL has new, and return the files that wait below the landing root, in batches."""
    landing.ensure_table(contract, source_uri)
    if contract.url_setting:
        print(landing.fetch(contract, source_uri=source_uri, password=connection_password, report=print))
    return landing.batches(landing.pending_files(contract))


def land_batch(contract: Contract, files: list[str], source_uri: str) -> landing.LandResult:
    """Land a batch and print what became of it. Where some rows were loaded, the rest is left to `check_all_landed`.

    Raises LandingError when nothing was loaded: a final one where every file is held, else a transient one.
    """
    try:
        result = landing.land(contract, files, source_uri=source_uri)
    except landing.LandingError as error:
        result = error.result
        if not result.rows_loaded:
            print(landing.explain(result, source_uri))
            raise
    print(landing.explain(result, source_uri))
    return result


def has_news(result: landing.LandResult, try_number: int) -> bool:
    """Return whether the warehouse has something to do after a batch.

    A try that was cut short may have loaded rows without reporting them, so a later try always has news.
    """
    return bool(result.rows_loaded) or try_number > 1


def check_all_landed(batches: Iterable[list[str] | None]) -> None:
    """Raise FilesNotLandedError with the sentences of all batches, if there are any."""
    sentences = [sentence for batch in batches for sentence in batch or []]
    if sentences:
        raise FilesNotLandedError("\n".join(sentences))


def _without_key(contract: Contract) -> list[str]:
    if contract.without_key is None:
        return []
    again = "replaces its rows" if contract.without_key == "replaceFile" else "adds its rows to them"
    return [f"It has no key: every row counts, and a file that comes again under its path {again}."]


def dag_page(contract: Contract) -> str:
    """Return a landed contract in Markdown, for the page of its DAG."""
    lines = [f"### {contract.name}", contract.description, ""]
    if contract.url_setting:
        access = f", with {contract.token.kept_in}" if contract.token else ""
        lines.append(f"Fetched from the URL in the setting `{contract.url_setting}`{access}, to `{contract.path}`.")
    else:
        lines.append(f"Files: `{contract.path}`, plain or packed, below the landing root.")
    lines += [
        f"Rows go to `{contract.schema}.{contract.table}`; those that break "
        f"`include/contracts/{contract.source}/{contract.dataset}.yaml`, to `landing.rejects`. "
        f"A file without a valid row is held whole, and so is one of which more than {contract.max_bad_percent:g} %"
        f"{f', and more than {contract.max_bad_rows} rows,' if contract.max_bad_rows else ''} are rejected.",
        *_without_key(contract),
        "",
        *(f"* {rule.name}: {rule.description}" for rule in contract.rules),
        "",
        "| column | type | required | what it is |",
        "|---|---|---|---|",
    ]
    for column in contract.columns:
        notes = [f"Personal ({column.personal})."] if column.personal else []
        needed = "key" if column.is_key else "yes" if column.required else "no"
        lines.append(f"| {column.name} | {column.type} | {needed} | {' '.join([column.description, *notes])} |")
    return "\n".join(lines)
