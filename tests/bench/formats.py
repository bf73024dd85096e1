"""How fast landing reads each format: the same rows in every one, beside DuckDB, pandas and dlt.

    python -m tests.bench.formats [--rows 500000] [--excel-rows 100000] [--turns 1] [--python PATH]

Landing judges the rows and loads them into Postgres; `judge` is the part of it without a database, and COPY what
loading the clean rows costs alone. DuckDB and pandas only read a file into memory with its types; dlt loads it with its
filesystem source. They are taken from the environment of --python, by default from that of a `dlt` on the PATH, and
each that is not there is left out. Every figure is a process of its own: seconds of its wall and CPU time, peak memory.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from textwrap import dedent
from typing import Any

import psycopg

from include.contracts import Contract, read_contract
from include.landing import judge, land
from include.stack.local.postgres import PostgresServer, free_port
from tests.bench.landing import measured, reset
from tests.readers.workbooks import TIMESTAMP, cell, xlsx

CONTRACT = """
    apiVersion: v3.2.0
    kind: DataContract
    id: shop.trades
    version: 1.0.0
    status: active
    servers: [SERVER]
    schema:
      - name: trades
        physicalName: trades
        logicalType: object
        properties:
          - {name: id, logicalType: integer, physicalType: bigint, primaryKey: true, required: true, description: x}
          - {name: article, logicalType: string, physicalType: text, required: true, description: x}
          - {name: price, logicalType: number, physicalType: "numeric(12,2)", required: true, description: x}
          - {name: weight, logicalType: number, physicalType: double precision, description: x}
          - {name: sold_at, logicalType: timestamp, physicalType: timestamptz, required: true, description: x}
          - {name: is_new, logicalType: boolean, physicalType: boolean, description: x}
"""
NAMES = ("id", "article", "price", "weight", "sold_at", "is_new")
START = datetime(2026, 1, 1, tzinfo=UTC)

# For each format the rest of its landing server. A European CSV gets a decimal comma, too, once a contract can say so.
SERVERS = {
    "json": "format: json",
    "json array": "format: json",
    "csv": "format: csv",
    "european csv": 'format: csv, delimiter: ";", encoding: Windows-1252',
    "parquet": "format: parquet",
    "excel": "format: xlsx",
}


def rows(count: int) -> Iterator[tuple[int, str, Decimal, float | None, datetime, bool]]:
    for n in range(count):
        weight = n % 1000 / 8 if n % 5 else None
        moment = START + timedelta(seconds=n)
        yield n, f"Straße {n * 7919 % 100_003}", Decimal(n * 31 % 100_000) / 100, weight, moment, n % 2 == 0


def texts(count: int) -> Iterator[list[str]]:
    for n, article, price, weight, moment, is_new in rows(count):
        sold_at = moment.isoformat()
        yield [str(n), article, str(price), "" if weight is None else str(weight), sold_at, str(is_new).lower()]


def write_json(file: Path, count: int, *, is_array: bool = False) -> None:
    with file.open("w", encoding="utf-8") as out:
        for row in rows(count):
            values = [*row[:2], float(row[2]), row[3], row[4].isoformat(), row[5]]
            begin = "" if not is_array else "[" if row[0] == 0 else ","
            out.write(begin + json.dumps(dict(zip(NAMES, values, strict=True))) + "\n")
        out.write("]" if is_array else "")


def write_csv(file: Path, count: int, delimiter: str = ",", encoding: str = "utf-8") -> None:
    with file.open("w", encoding=encoding) as out:
        out.writelines(delimiter.join(row) + "\n" for row in (list(NAMES), *texts(count)))


def write_parquet(file: Path, count: int) -> None:
    import pyarrow as pa  # here, so that the process that starts the others stays small: its size is their least
    import pyarrow.parquet as pq

    types = [pa.int64(), pa.string(), pa.decimal128(12, 2), pa.float64(), pa.timestamp("us", "UTC"), pa.bool_()]
    columns = [
        pa.array(list(values), type_) for values, type_ in zip(zip(*rows(count), strict=True), types, strict=True)
    ]
    pq.write_table(pa.table(dict(zip(NAMES, columns, strict=True))), file)


def write_excel(file: Path, count: int) -> None:
    lines = ['<row r="1">' + "".join(cell(f"{'ABCDEF'[n]}1", name) for n, name in enumerate(NAMES)) + "</row>"]
    for number, (n, article, price, weight, moment, is_new) in enumerate(rows(count), 2):
        day = (moment - datetime(1899, 12, 30, tzinfo=UTC)) / timedelta(days=1)
        values = [(n, 0), (article, 0), (float(price), 0), (weight, 0), (day, TIMESTAMP), (is_new, 0)]
        cells = "".join(cell(f"{'ABCDEF'[place]}{number}", *each) for place, each in enumerate(values))
        lines.append(f'<row r="{number}">{cells}</row>')
    file.write_bytes(xlsx(f"<sheetData>{''.join(lines)}</sheetData>"))


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "json": write_json,
    "json array": lambda file, count: write_json(file, count, is_array=True),
    "csv": write_csv,
    "european csv": lambda file, count: write_csv(file, count, ";", "cp1252"),
    "parquet": write_parquet,
    "excel": write_excel,
}

# What reads a file with the other readers: Python code that finds its path in `file`, or with dlt its folder and a URI.
REFERENCES = {
    "DuckDB": {
        "json": "read_json('{file}', format = 'newline_delimited')",
        "json array": "read_json('{file}', format = 'array')",
        "csv": "read_csv('{file}')",
        "parquet": "read_parquet('{file}')",
    },
    "pandas": {
        "json": "read_json(file, lines=True)",
        "json array": "read_json(file)",
        "csv": "read_csv(file, parse_dates=['sold_at'])",
        "european csv": "read_csv(file, sep=';', encoding='cp1252', parse_dates=['sold_at'])",
        "parquet": "read_parquet(file)",
        "excel": "read_excel(file, engine='calamine')",
    },
    "dlt": {"json": "read_jsonl", "csv": "read_csv", "parquet": "read_parquet"},
}
CODE = {
    "DuckDB": "import duckdb; duckdb.sql('set threads = 2'); duckdb.sql(\"create table t as select * from {how}\")",
    "pandas": "import pandas; file = '{file}'; pandas.{how}",
    "dlt": """
        import os, dlt
        from dlt.sources.filesystem import filesystem, {how}
        os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
        os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"
        pipeline = dlt.pipeline("bench", pipelines_dir={home!r}, dataset_name="with_dlt",
                                destination=dlt.destinations.postgres({uri!r}))
        found = filesystem(bucket_url="file://{folder}", file_glob="*") | {how}()
        pipeline.run(found.with_name("trades"))
    """,
}


def contract_of(folder: Path, format_: str) -> Contract:
    file = folder / "contracts" / "shop" / "trades.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    server = f'{{server: landing, type: custom, path: "trades", {SERVERS[format_]}}}'
    file.write_text(dedent(CONTRACT).replace("SERVER", server))
    return read_contract(file)


def run(verb: str, folder: Path, format_: str, uri: str) -> None:
    """Do one thing that is measured, in a process of its own."""
    contract = contract_of(folder, format_)
    if verb == "write":
        WRITERS[format_](folder / "trades", int(uri))
        with (folder / "clean").open("w", encoding="utf-8") as clean_rows:
            clean_rows.writelines(",".join(row) + "\n" for row in texts(int(uri)))
        return
    if verb == "judge":
        result = judge(contract, ["trades"], root=str(folder))
    elif verb == "land":
        result = land(contract, ["trades"], source_uri=uri, root=str(folder), archive=str(folder / "archive"))
    else:
        with psycopg.connect(uri) as connection, (folder / "clean").open("rb") as clean:
            columns = ", ".join(f"{column.name} {column.type}" for column in contract.columns)
            connection.execute(f"create table clean ({columns})")
            with connection.cursor().copy("copy clean from stdin with (format csv)") as copy:
                while chunk := clean.read(1 << 20):
                    copy.write(chunk)
        return
    if result.rows_loaded != result.rows_read or not result.rows_read:
        raise SystemExit(f"{format_}: {result}")


def references(python: str | None) -> list[str]:
    """Return which of the other readers an environment has."""
    modules = {"DuckDB": "duckdb", "pandas": "pandas", "dlt": "dlt"}
    if python is None:
        return []
    return [
        name for name, module in modules.items() if not subprocess.call([python, "-c", f"import {module}"], stderr=-3)
    ]


def measure(server: PostgresServer, folder: Path, format_: str, count: int, others: list[str], python: str) -> None:
    """Measure one format with everything that reads it."""
    home = folder / format_.replace(" ", "_")
    home.mkdir()
    me = [sys.executable, "-m", "tests.bench.formats", "--run"]
    subprocess.run([*me, "write", str(home), format_, str(count)], check=True)
    size = (home / "trades").stat().st_size / 1e6
    print(f"{format_}: {count:,} rows, {size:.0f} MB", flush=True)
    copy = measured("  COPY, clean rows", [*me, "copy", str(home), format_, reset(server)])
    measured("  judge", [*me, "judge", str(home), format_, "none"])
    alone = home / "alone"
    alone.mkdir()
    shutil.copy(home / "trades", alone / "trades")
    for name in others:
        if format_ in REFERENCES[name]:
            values: dict[str, Any] = {"file": str(home / "trades"), "folder": str(alone), "home": str(home / "dlt")}
            values |= {"uri": reset(server) if name == "dlt" else "", "how": REFERENCES[name][format_].format(**values)}
            measured(f"  {name}", [python, "-c", dedent(CODE[name]).format(**values)])
    landed = measured("  land", [*me, "land", str(home), format_, reset(server)])
    print(f"  land / COPY {landed / copy:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.formats", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--excel-rows", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=1)
    dlt = shutil.which("dlt")
    own = str(Path(dlt).with_name("python")) if dlt else None
    parser.add_argument("--python", default=own, help="of an environment with DuckDB, pandas or dlt (that of dlt)")
    parser.add_argument("--run", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        verb, folder, format_, uri = args.run
        run(verb, Path(folder), format_, uri)
        return
    place = Path(tempfile.mkdtemp(prefix="formats-bench-"))
    place.chmod(0o755)
    server = PostgresServer(place / "server", free_port(), options={"max_wal_size": "4GB"})
    server.start()
    try:
        others = references(args.python)
        for turn in range(args.turns):
            for format_ in SERVERS:
                count = args.excel_rows if format_ == "excel" else args.rows
                folder = place / f"turn{turn}"
                folder.mkdir(exist_ok=True)
                measure(server, folder, format_, count, others, args.python)
    finally:
        server.destroy()
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
