"""A dbt project with contracts of its own, for the tests of what drafts and builds models."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from include import settings, transform
from include.contracts.dbt_sources import write as write_sources
from include.transform.scaffold import write_models

VISITS = """
    apiVersion: v3.2.0
    kind: DataContract
    id: web.visits
    version: 1.0.0
    status: active
    description: {purpose: "The visits of the site, with each one's page."}
    team: {name: "Web: {{ data }}"}
    servers: [{server: landing, type: custom, path: web/visits.json, format: json}]
    schema:
      - name: visits
        physicalName: visits
        logicalType: object
        properties:
          - {name: visit_id, logicalType: integer, physicalType: bigint, primaryKey: true, primaryKeyPosition: 1,
             required: true, description: Number of the visit.}
          - {name: at, logicalType: timestamp, physicalType: timestamptz, required: true,
             description: "When, {{ at }}."}
          - {name: order, logicalType: string, physicalType: varchar(8), description: "What was ordered: a word."}
          - {name: kind, logicalType: string, physicalType: text, required: true, description: "Who's there.",
             enum: [{value: it's a person}, {value: robot}]}
          - {name: stars, logicalType: integer, physicalType: smallint, description: Stars.,
             enum: [{value: 1}, {value: 2}]}
          - {name: paid, logicalType: number, physicalType: "numeric(12,2)", description: Paid.}
          - {name: weight, logicalType: number, physicalType: double precision, description: Weight.}
          - {name: is_new, logicalType: boolean, physicalType: boolean, description: New.}
          - {name: day, logicalType: date, physicalType: date, description: Day.}
          - {name: token, logicalType: string, physicalType: uuid, description: Token.}
          - {name: extra, logicalType: object, physicalType: jsonb, description: More.}
          - {name: guests, logicalType: array, physicalType: jsonb, description: Guests., items: {name: item,
             logicalType: object, properties: [{name: mail, logicalType: string, classification: personal}]}}
          - {name: email, logicalType: string, physicalType: text, classification: personal, description: Whose.,
             customProperties: [{property: personal, value: email}]}
"""
PAIRS = """
    apiVersion: v3.2.0
    kind: DataContract
    id: web.page-texts
    version: 1.0.0
    status: active
    servers: [{server: landing, type: custom, path: web/texts.csv, format: csv}]
    schema:
      - name: page-texts
        logicalType: object
        properties:
          - {name: text, logicalType: string, physicalType: text, required: true, description: Text.}
          - {name: language, logicalType: string, physicalType: text, primaryKey: true, primaryKeyPosition: 2,
             required: true, description: Language.}
          - {name: user, logicalType: string, physicalType: text, primaryKey: true, primaryKeyPosition: 1,
             required: true, description: User.}
"""
PEOPLE = """
    apiVersion: v3.2.0
    kind: DataContract
    id: web.people
    version: 1.0.0
    status: active
    schema:
      - name: people
        logicalType: object
        properties:
          - {name: person_no, logicalType: integer, physicalType: integer, primaryKey: true, primaryKeyPosition: 1,
             required: true, classification: personal, description: Number.}
          - {name: Nick Name, logicalType: string, physicalType: text, description: Name.}
          - {name: created_at, logicalType: timestamp, physicalType: timestamptz, required: true, description: When.}
          - {name: state, logicalType: string, physicalType: web.state, required: true, description: State.,
             enum: [{value: active}, {value: gone}]}
          - {name: tags, logicalType: array, physicalType: "text[]", required: true, description: Tags.}
          - {name: place, logicalType: string, physicalType: inet, description: Place.}
"""
SECRETS = """
    apiVersion: v3.2.0
    kind: DataContract
    id: web.secrets
    version: 1.0.0
    status: active
    servers: [{server: landing, type: custom, path: web/secrets.json, format: json}]
    schema:
      - name: secrets
        logicalType: object
        properties:
          - {name: email, logicalType: string, physicalType: text, primaryKey: true, primaryKeyPosition: 1,
             required: true, classification: personal, description: Whose.}
          - {name: note, logicalType: string, physicalType: text, description: Note.}
"""
LINES = """
    apiVersion: v3.2.0
    kind: DataContract
    id: web.lines
    version: 1.0.0
    status: active
    servers: [{server: landing, type: custom, path: web/*.log.json, format: json}]
    customProperties: [{property: withoutKey, value: replaceFile}]
    schema:
      - name: lines
        logicalType: object
        properties:
          - {name: line, logicalType: string, physicalType: text, required: true, description: A line of a log.}
          - {name: level, logicalType: string, physicalType: text, description: How bad it is.}
"""


class Project:
    """A dbt project with contracts of its own, and none of the models that ship."""

    def __init__(self, folder: Path) -> None:
        self.contracts, self.dbt, self.scratch = folder / "contracts", folder / "dbt", folder / "scratch"
        shutil.copytree(
            settings.DBT_PROJECT,
            self.dbt,
            ignore=shutil.ignore_patterns("models", "target", "logs", "no_order_is_lost.sql"),
        )
        for name, text in {
            "visits": VISITS,
            "page-texts": PAIRS,
            "people": PEOPLE,
            "secrets": SECRETS,
            "lines": LINES,
        }.items():
            file = self.contracts / "web" / f"{name}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text), encoding="utf-8")
        write_sources(self.contracts, self.dbt)

    def model_new(self, name: str, mart: str | None = None, domain: str | None = None) -> list[Path]:
        return write_models(name, mart=mart, domain=domain, folder=self.contracts, project=self.dbt)

    def run_dbt(
        self, *arguments: str, uri: str = "postgresql://nobody@127.0.0.1:1/none", target: str | None = "prod"
    ) -> subprocess.CompletedProcess[str]:
        """Run dbt by hand, on a target or on the project's default."""
        options = {
            "project-dir": self.dbt,
            "profiles-dir": self.dbt,
            "target-path": self.scratch,
            "log-path": self.scratch,
            **({"target": target} if target else {}),
        }
        program = str(Path(sys.executable).with_name("dbt"))
        return subprocess.run(
            [program, *arguments, *(f"--{name}={value}" for name, value in options.items()), "--no-use-colors"],
            env={**os.environ, **transform.profile_variables(uri)},
            capture_output=True,
            text=True,
        )

    def warehouse(
        self, *arguments: str, uri: str = "postgresql://nobody@127.0.0.1:1/none", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the program on this project."""
        code = (
            "import pathlib, sys; from include import settings; settings.DBT_PROJECT = pathlib.Path(sys.argv.pop(1));"
            "from include.cli import main; sys.exit(main(sys.argv[1:]))"
        )
        return subprocess.run(
            [sys.executable, "-c", code, str(self.dbt), *arguments],
            cwd=settings.PROJECT,
            env={**os.environ, "AIRFLOW_CONN_TARGET_DB": uri, "NO_COLOR": "1", **variables},
            capture_output=True,
            text=True,
        )

    def yml(self, name: str) -> dict[str, Any]:
        (file,) = self.dbt.rglob(f"{name}.yml")
        found: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)
