"""`warehouse demo remove`: the demo leaves the project and, where it is asked to, the databases."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from include import landing, settings, transfer
from include.errors import FinalError
from include.postgres import session
from include.stack.demo.manifest import EDITED, KEPT_FOLDERS, PATHS, SCHEMAS
from include.stack.marks import BEGIN, END, MarksError, without_demo


class RemovalError(FinalError):
    """The demo can't be removed; the message says what is in the way."""


@dataclass(frozen=True)
class Plan:
    """What goes: files and folders, and the files of which a part goes. Paths are relative to the project."""

    paths: tuple[str, ...]
    edited: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"removes  {path}" for path in self.paths]
        return "\n".join(lines + [f"edits    {path}: the lines between `{BEGIN}` and `{END}`" for path in self.edited])


def plan_removal(project: Path | None = None) -> Plan:
    """Return what of the demo is still in the project."""
    project = project or settings.PROJECT
    paths = tuple(path for path in PATHS if (project / path).exists())
    edited = tuple(path for path in EDITED if (project / path).is_file() and BEGIN in (project / path).read_text())
    return Plan(paths, edited)


def check(plan: Plan, project: Path | None = None) -> None:
    """Raise RemovalError where an edit can't be made, or where git could not bring back what goes."""
    project = project or settings.PROJECT
    _texts(plan, project)
    lost = _uncommitted([*plan.paths, *plan.edited], project)
    if lost:
        raise RemovalError(
            "these files would go or change and are not committed, so git could not bring them back: "
            f"{', '.join(lost)}: commit them, or move what is yours out of the demo's folders"
        )


def _texts(plan: Plan, project: Path) -> dict[str, str]:
    try:
        return {path: without_demo((project / path).read_text(encoding="utf-8"), path) for path in plan.edited}
    except MarksError as error:
        raise RemovalError(f"{error}: mend the file by hand") from None


def _uncommitted(paths: list[str], project: Path) -> list[str]:
    """Return the files of these paths that git does not have as they are; none where the project is not under git."""
    if not paths or not (project / ".git").exists():
        return []
    command = ["git", "status", "--porcelain", "--untracked-files=all", "-z", "--no-renames", "--", *paths]
    try:
        listed = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RemovalError(f"git can't say what is committed ({error}): run it where git works") from None
    return [entry[3:] for entry in listed.stdout.split("\0") if entry]


def remove(plan: Plan, project: Path | None = None) -> None:
    """Remove the files and edit the others. Raises what `check` raises, with nothing changed."""
    project = project or settings.PROJECT
    check(plan, project)
    for path, text in _texts(plan, project).items():
        (project / path).write_text(text, encoding="utf-8")
    for path in plan.paths:
        place = project / path
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()
        for folder in place.parents:
            name = folder.relative_to(project).as_posix()
            if name == "." or name in KEPT_FOLDERS or any(folder.iterdir()):
                break
            folder.rmdir()
    for name in KEPT_FOLDERS:
        if not any((project / name).iterdir()):
            (project / name / ".gitkeep").touch()
    shutil.rmtree(project / "dbt" / "target", ignore_errors=True)  # made from the demo's models


# --- the databases ----------------------------------------------------------------------------------------------------


def demo_relations(models: dict[str, list[str]]) -> list[sql.Composed]:
    """Return the statements that drop the demo's schemas and models in the target; `models` are names by schema."""
    drops = [
        sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(settings.RAW_PREFIX + schema))
        for schema in SCHEMAS
    ]
    for schema, names in models.items():
        drops += [
            sql.SQL("drop {} if exists {} cascade").format(
                sql.SQL("view" if schema == "staging" else "table"), sql.Identifier(schema, name)
            )
            for name in names
        ]
    return drops


def demo_models(project: Path | None = None) -> dict[str, list[str]]:
    """Return the names of the demo's models by the schema that they are built in."""
    models = (project or settings.PROJECT) / "dbt" / "models"
    found: dict[str, list[str]] = {}
    for path in PATHS:
        if path.startswith("dbt/models/"):
            folder = models / path.removeprefix("dbt/models/")
            for file in sorted(folder.rglob("*.sql")):
                found.setdefault(file.relative_to(models).parts[0], []).append(file.stem)
    return found


def drop_tables(source_uri: str, target_uri: str, models: dict[str, list[str]]) -> None:
    """Drop what the demo has left in the demo's own databases, and forget what landing and transfer know of it."""
    with session(source_uri, "source_db") as source, source.transaction():
        for schema in SCHEMAS:
            source.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema)))
        landing.forget(source, SCHEMAS)
    with session(target_uri, "target_db") as target, target.transaction():
        for statement in demo_relations(models):
            target.execute(statement)
        transfer.forget(target, [settings.RAW_PREFIX + schema for schema in SCHEMAS])
