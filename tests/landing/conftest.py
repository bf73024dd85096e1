"""What the landing tests share: a small contract to write files for, and a place to land them from."""

from __future__ import annotations

import csv
import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from include.contracts import Contract, read_contract, read_contracts
from include.landing import LandingError, LandResult, land, pending_files

CONTRACTS = Path(__file__).parent / "contracts"  # of the tests' own, whatever the project lands
SHOP = {contract.name: contract for contract in read_contracts(CONTRACTS)}

THINGS = """
    apiVersion: v3.2.0
    kind: DataContract
    id: toys.things
    version: 1.0.0
    status: active
    team: {name: toys}
    servers:
      - {server: landing, type: custom, path: "toys/*/things.FORMAT", format: FORMAT, delimiter: ","}
    customProperties:
      - {property: maxBadRows, value: 3}
      - {property: maxBadPercent, value: 50}
    schema:
      - name: things
        physicalName: things
        logicalType: object
        properties:
          - {name: id, logicalType: integer, physicalType: integer, primaryKey: true, primaryKeyPosition: 1,
             required: true, description: Number.}
          - {name: label, logicalType: string, physicalType: text, description: What it is called.}
          - {name: secret, logicalType: string, physicalType: text, classification: personal,
             logicalTypeOptions: {format: email}, description: Whose it is.}
"""


@dataclass
class Place:
    """A landing root, its archive and a source database for one contract."""

    contract: Contract
    folder: Path
    uri: str

    @property
    def root(self) -> Path:
        return self.folder / "in"

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    def put(self, name: str, content: bytes | list[Any]) -> Path:
        """Write toys/<name>/things.<format>, or a path of its own where the name has a slash."""
        path = self.root / (name if "/" in name else f"toys/{name}/things.{self.contract.format}")
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content).encode()
        path.write_bytes(content)
        return path

    def land(self) -> LandResult:
        """Land what is pending; a LandingError is raised as land() raises it."""
        paths = pending_files(self.contract, str(self.root))
        return land(self.contract, paths, source_uri=self.uri, root=str(self.root), archive=str(self.archive))

    def land_anyway(self) -> LandResult:
        try:
            return self.land()
        except LandingError as error:
            return error.result

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.uri) as connection:
            return connection.execute(statement).fetchall()

    def rows(self) -> list[tuple[Any, ...]]:
        return self.query("select id, label from toys.things order by id, _loaded_at, _file, _line")


def write_contract(folder: Path, text: str, format_: str = "json") -> Contract:
    file = folder / "contracts" / "toys" / "things.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    if format_ == "json":  # which has no delimiter
        text = text.replace(', delimiter: ","', "")
    file.write_text(textwrap.dedent(text).replace("FORMAT", format_))
    return read_contract(file)


def write_pages(file: Path, rows: int = 2000) -> int:
    """Write a CSV for web.pages with so many valid rows and three others; return how many it holds."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as out:
        writer = csv.writer(out, quoting=csv.QUOTE_ALL)
        writer.writerow([column.source[0] for column in SHOP["web.pages"].columns])
        fixed = [3, 100, "Ashbury", "AL", "10000"]
        for number in range(rows):
            writer.writerow([f"{number:07}", f'A "{number}", B', "2021-08-01T00:00:00.000", "Hybrid", *fixed])
        writer.writerow(["0999991", "X", "2021-08-01T00:00:00.000", "Asleep", *fixed])
        writer.writerow(["0999992", "X", "2021-08-32T00:00:00.000", "Remote", *fixed])
        writer.writerow(["0999993", "X", "2021-08-01T00:00:00.000", "Remote", -1, *fixed[1:]])
    return rows + 3


@pytest.fixture
def things(tmp_path: Path, source_uri: str) -> Place:
    """Things in JSON lines."""
    return Place(write_contract(tmp_path, THINGS), tmp_path, source_uri)


@pytest.fixture
def csv_things(tmp_path: Path, source_uri: str) -> Place:
    """Things in CSV."""
    return Place(write_contract(tmp_path, THINGS, "csv"), tmp_path, source_uri)
