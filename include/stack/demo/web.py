"""The demo's web server: it plays the external server that has the schools file."""

from __future__ import annotations

from include import settings

FOLDER = settings.LOCAL / "web"
SCHOOLS_FILE = "learning_modality.csv"  # below FOLDER
PORT_VARIABLE = "DEMO_WEB_PORT"
PORT = settings.port_setting(PORT_VARIABLE, 8586)
NAME = "demo-web"  # of the process, in the stack without Docker


def programs() -> dict[str, tuple[str, ...]]:
    """Return the processes that the stack without Docker runs for the demo: arguments of `python -m`, by name."""
    if not settings.MAKES_DEMO_DATA:
        return {}
    return {NAME: ("http.server", "--directory", str(FOLDER), "--bind", "127.0.0.1", str(PORT))}


def environment() -> dict[str, str]:
    """Return the settings that the demo adds to those of the stack's processes: where the schools file is."""
    url = f"http://127.0.0.1:{PORT}/{SCHOOLS_FILE}"
    return {"SCHOOLS_URL": settings.setting("SCHOOLS_URL", url if settings.MAKES_DEMO_DATA else "")}
