"""How fast landing is: a million transactions in one file and in a thousand, beside COPY of the same rows and dlt.

    python -m tests.bench.landing [--rows 1000000] [--files 1000] [--turns 1] [--dlt-python PATH]

COPY gets the rows already clean, as the text that Postgres reads, into a table without an index: the least that any
loading costs. dlt (not a dependency: give the Python of an environment with `dlt[postgres,filesystem]`) loads the same
files with its filesystem source. Every load is a process of its own; seconds are its wall time, memory its peak.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson
import psycopg

from include.contracts import read_contracts
from include.landing import batches, land, pending_files
from include.landing.rows import RowSchema
from include.settings import PROJECT
from include.stack.local.postgres import PostgresServer, free_port

CONTRACTS = Path(__file__).parents[1] / "landing" / "contracts"
CONTRACT = next(contract for contract in read_contracts(CONTRACTS) if contract.name == "shop.orders")


def make_files(root: Path, rows: int, files: int) -> None:
    """Write about `rows` valid purchases in `files` files."""
    chance = random.Random(1)
    for number in range(files):
        folder = root / f"shop/date=2026-01-{number // 24 % 28 + 1:02}/hour={number % 24:02}"
        if files > 24 * 28:
            folder = root / f"shop/date=20{number // 672 + 10}-01-{number // 24 % 28 + 1:02}/hour={number % 24:02}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "orders.json").open("w", encoding="utf-8") as out:
            out.writelines(purchase(chance) for _ in range(rows // files))


def purchase(chance: random.Random) -> str:
    lines, cents = [], 0
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        price, quantity = chance.randrange(100, 9000), chance.choice((1, 1, 2))
        cents += price * quantity
        lines.append(
            f'{{"sku": {chance.randrange(10**5)}, "quanitity": {quantity}, "price": "{price / 100:.2f}", '
            f'"total": "{price * quantity / 100:.2f}"}}'
        )
    number = f"{chance.getrandbits(128):032x}"
    return (
        f'{{"transaction_id": "{number}", "transaction_time": "2026-01-01T17:29:52.{chance.randrange(10**6):06}", '
        f'"customer_id": "{chance.randrange(10**6)}", "delivery_address": {{"address": "Flat {chance.randrange(99)}\\n'
        f'Elm road", "postcode": "L61 1JR", "city": "Ashbury", "country": "Belgium"}}, "purchases": '
        f'{{"products": [{", ".join(lines)}], "total_cost": "{cents / 100:.2f}"}}}}\n'
    )


def make_clean(root: Path, target: Path) -> None:
    """Write the rows as the text that COPY reads, with their file and line."""
    schema = RowSchema(CONTRACT)
    with target.open("w", encoding="utf-8") as out:
        for path in pending_files(CONTRACT, str(root)):
            with (root / path).open("rb") as lines:
                out.writelines(f"{schema.encode(orjson.loads(x))}\t{path}\t{n}\n" for n, x in enumerate(lines, 1))


def run_land(uri: str, root: str) -> None:
    for paths in batches(pending_files(CONTRACT, root), root):
        land(CONTRACT, paths, source_uri=uri, root=root, archive=root + "_archive")


def run_copy(uri: str, file: str) -> None:
    columns = ", ".join(f"{column.name} {column.type}" for column in CONTRACT.columns)
    with psycopg.connect(uri) as connection:
        connection.execute(
            f"create table clean ({columns}, _file text, _line bigint, _loaded_at timestamptz default now(),"
            " _xid xid8 default pg_current_xact_id())"
        )
        names = ", ".join(column.name for column in CONTRACT.columns)
        with (
            connection.cursor().copy(f"copy clean ({names}, _file, _line) from stdin") as copy,
            Path(file).open("rb") as f,
        ):
            while chunk := f.read(1 << 20):
                copy.write(chunk)


DLT = """
import os, sys
import dlt
from dlt.sources.filesystem import filesystem, read_jsonl
uri, root, home = sys.argv[1:]
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"
pipeline = dlt.pipeline("bench", pipelines_dir=home, dataset_name="dlt_bench",
                        destination=dlt.destinations.postgres(uri))
rows = (filesystem(bucket_url="file://" + root, file_glob="shop/**/orders.json") | read_jsonl())
pipeline.run(rows.with_name("transactions"))
"""


def measured(name: str, command: list[str]) -> float:
    """Run a process, print its wall and CPU seconds and its peak resident memory, and return its wall seconds."""
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=PROJECT)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{name} failed with status {status}")
    seconds = time.monotonic() - begun
    cpu = usage.ru_utime + usage.ru_stime
    print(f"{name:24} {seconds:7.1f} s   {cpu:6.1f} s of CPU   {usage.ru_maxrss / 1024:6.0f} MB", flush=True)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--dlt-python", help="Python of an environment with dlt[postgres,filesystem]")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        verb, uri, place = args.run
        (run_land if verb == "land" else run_copy)(uri, place)
        return
    folder = Path(tempfile.mkdtemp(prefix="landing-bench-"))
    folder.chmod(0o755)
    server = PostgresServer(folder / "server", free_port(), options={"max_wal_size": "4GB"})
    server.start()
    try:
        one, many, clean = folder / "one", folder / "many", folder / "clean.txt"
        make_files(one, args.rows, 1)
        make_files(many, args.rows, args.files)
        make_clean(one, clean)
        me = [sys.executable, "-m", "tests.bench.landing", "--run"]
        figures = []
        for _ in range(args.turns):
            turn = {}
            turn["copy"] = measured("COPY, clean rows", [*me, "copy", reset(server), str(clean)])
            for name, root in (("one", one), ("many", many)):
                copied = folder / f"{name}-in"
                shutil.copytree(root, copied)
                label = f"land, {1 if name == 'one' else args.files} file(s)"
                turn[name] = measured(label, [*me, "land", reset(server), str(copied)])
                check(server, args.rows)
                shutil.rmtree(copied)
                shutil.rmtree(f"{copied}_archive")
            if args.dlt_python:
                script = folder / "with_dlt.py"
                script.write_text(DLT)
                for name, root in (("dlt one", one), ("dlt many", many)):
                    home = folder / f"home-{name}"
                    turn[name] = measured(name, [args.dlt_python, str(script), reset(server), str(root), str(home)])
                    shutil.rmtree(home, ignore_errors=True)
            figures.append(turn)
        best = {name: min(t[name] for t in figures) for name in figures[0]}
        print(f"land / COPY: {best['one'] / best['copy']:.2f} (one file), {best['many'] / best['copy']:.2f} (many)")
        if args.dlt_python:
            print(
                f"dlt / land: {best['dlt one'] / best['one']:.1f} (one), {best['dlt many'] / best['many']:.1f} (many)"
            )
    finally:
        server.destroy()
        shutil.rmtree(folder, ignore_errors=True)


def reset(server: PostgresServer) -> str:
    """Give an empty database's URI."""
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        connection.execute("drop database if exists bench with (force)")
        connection.execute("create database bench")
        connection.execute("checkpoint")
    return server.uri("bench")


def check(server: PostgresServer, rows: int) -> None:
    with psycopg.connect(server.uri("bench")) as connection:
        found = connection.execute("select count(*) from shop.orders").fetchone()
    if found != (rows,):
        raise SystemExit(f"landing left {found} rows of {rows}")


if __name__ == "__main__":
    main()
