"""How the warehouse stands: each stage's own summary, one below the other. Reads, never writes."""

from __future__ import annotations

from include import landing, settings, transfer, transform
from include.contracts import read_all, source_tables
from include.report import Section


def summaries(source_uri: str, target_uri: str) -> list[Section]:
    """Return what has landed, what was transferred and what the marts hold. Raises ConnectionFailedError.

    What the project lands, moves and builds now counts. What is left from before is named and not counted.
    """
    contracts = read_all().every  # a table whose contract is broken travels as before
    landed = landing.summary(source_uri, [contract.name for contract in contracts if contract.is_landed])
    moved = transfer.selected(source_uri, source_tables(contracts), settings.NEVER_MOVED)
    return [landed, transfer.summary(target_uri, moved), transform.summary(target_uri)]


def report(source_uri: str, target_uri: str) -> str:
    """Return the summaries as text for a terminal."""
    return "\n\n".join(map(str, summaries(source_uri, target_uri)))
