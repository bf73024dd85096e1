"""How the warehouse stands: each stage's own summary, one below the other. Reads, never writes."""

from __future__ import annotations

from include import landing, transfer, transform
from include.report import Section


def summaries(source_uri: str, target_uri: str) -> list[Section]:
    """Return what has landed, what was transferred and what the marts hold. Raises ConnectionFailedError."""
    return [landing.summary(source_uri), transfer.summary(target_uri), transform.summary(target_uri)]


def report(source_uri: str, target_uri: str) -> str:
    """Return the summaries as text for a terminal."""
    return "\n\n".join(map(str, summaries(source_uri, target_uri)))
