"""How fast the transfer is, against psql, pg_dump, a plain psycopg loop and, where they are installed, other movers.

    python -m tests.bench.transfer [--millions 0.3 3 12] [--repeat 1] [--tables 500] [--no-rivals]

Two embedded servers with PostgreSQL's default settings, a table like TPC-H's lineitem. Every figure is a whole client
process from start to end, with its peak memory and the CPU seconds of client and servers together, which a busy
machine blurs less; its ratio is to the psql COPY pipe into a table that has its primary
key, measured just before it in the same run. dlt, ingestr and sling are taken from the PATH.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg

from include.settings import PROJECT
from include.stack.local.postgres import PostgresServer, Role, free_port, programs

COLUMNS = """l_orderkey bigint not null, l_partkey bigint not null, l_suppkey bigint not null,
    l_linenumber integer not null, l_quantity numeric(12,2) not null, l_extendedprice numeric(12,2) not null,
    l_discount numeric(12,2) not null, l_tax numeric(12,2) not null, l_returnflag char(1) not null,
    l_linestatus char(1) not null, l_shipdate date not null, l_commitdate date not null, l_receiptdate date not null,
    l_shipinstruct char(25) not null, l_shipmode char(10) not null, l_comment varchar(44) not null"""
KEY = ", primary key (l_orderkey, l_linenumber)"
ROWS = """select i / 4 * 8 + i / 4 % 8, i * 7919 % 200000, i * 104729 % 10000, i % 4 + 1, 1 + i % 50,
    900 + i * 7919 % 10000000 / 100.0, i % 11 / 100.0, i % 9 / 100.0, substr('RAN', (1 + i % 3)::int, 1),
    substr('OF', (1 + i % 2)::int, 1), date '1992-01-01' + (i * 31 % 2500)::int,
    date '1992-01-01' + (i * 37 % 2500)::int, date '1992-01-01' + (i * 41 % 2500)::int,
    (array['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'])[1 + i % 4],
    (array['AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB', 'REG AIR'])[1 + i % 7],
    substr(md5(i::text) || md5((i + 1)::text), 1, (10 + i % 34)::int) from generate_series({first}::bigint, {last}) i"""

LOOP = """
import sys, psycopg
with psycopg.connect(sys.argv[1]) as source, psycopg.connect(sys.argv[2]) as target:
    with source.cursor().copy("copy lineitem to stdout (format binary)") as out:
        with target.cursor().copy("copy lineitem from stdin (format binary)") as into:
            for block in out:
                into.write(block)
"""
DLT = """
import sys, dlt
from dlt.sources.sql_database import sql_table
how = {"write_disposition": {"disposition": "merge", "strategy": "delete-insert"},
       "primary_key": ["l_orderkey", "l_linenumber"]} if sys.argv[3] == "merge" else {"write_disposition": "replace"}
source = sql_table(sys.argv[1], table="lineitem", schema="public", backend="pyarrow", chunk_size=50000)
pipeline = dlt.pipeline("bench", destination=dlt.destinations.postgres(sys.argv[2]), dataset_name="by_dlt")
pipeline.run(source, table_name="lineitem", **how)
"""


class Bench:
    """Two servers, the measurements made on them, and the table they end up in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers = [PostgresServer(folder / name, free_port()) for name in ("source", "target")]
        for server in self.servers:
            server.start([Role("mover", "mover", ("bench",))])
        self.source, self.target = (server.uri("bench", "mover", "mover") for server in self.servers)
        self.lines: list[list[str]] = []

    def close(self) -> None:
        for server in self.servers:
            server.destroy()

    def at(self, uri: str, *statements: str) -> None:
        with psycopg.connect(uri, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def measure(self, command: Sequence[str] | str) -> tuple[float, float, float]:
        """Run a command, all its processes counted, and return seconds, CPU seconds and peak memory in MB."""
        started, cpu = time.monotonic(), self._cpu()
        process = subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", command] if isinstance(command, str) else command,
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "errors").open("wb"),
            env={**os.environ, "RUNTIME__LOG_LEVEL": "ERROR", "RUNTIME__DLTHUB_TELEMETRY": "false"},
        )
        peaks: dict[int, float] = {}
        while process.poll() is None:
            for pid in _tree(process.pid):
                peaks[pid] = max(peaks.get(pid, 0), _memory(pid))
            time.sleep(0.02)
        seconds = time.monotonic() - started
        if process.returncode:
            raise RuntimeError((self.folder / "errors").read_text(errors="replace")[-800:])
        return seconds, self._cpu() - cpu, sum(peaks.values())

    def _cpu(self) -> float:
        """Return the CPU seconds of all clients and backends that have ended, and of the servers themselves."""
        client = resource.getrusage(resource.RUSAGE_CHILDREN)
        total = client.ru_utime + client.ru_stime
        for server in self.servers:
            fields = Path(f"/proc/{server.pid()}/stat").read_text().rsplit(")", 1)[1].split()
            total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        return total

    def fresh(self, key: bool) -> None:
        self.at(
            self.target,
            "drop table if exists lineitem cascade",
            "drop schema if exists transfer cascade",
            f"create table lineitem ({COLUMNS}{KEY if key else ''})",
        )
        self._settle()

    def _settle(self) -> None:
        for server in self.servers:
            self.at(server.uri(), "checkpoint")

    def pipe(self) -> str:
        psql = programs(18) / "psql"
        return (
            f"{psql} -Xqc 'copy lineitem to stdout (format binary)' '{self.source}' |"
            f" {psql} -Xqc 'copy lineitem from stdin (format binary)' '{self.target}'"
        )

    def dump(self) -> str:
        return (
            f"{programs(18) / 'pg_dump'} --no-owner --table=lineitem '{self.source}' |"
            f" {programs(18) / 'psql'} -Xq '{self.target}'"
        )

    def ours(self, *options: str) -> list[str]:
        command = [sys.executable, "-m", "include", "transfer", "--source", self.source, "--target", self.target]
        return [*command, *(options or ("--tables", "public.lineitem"))]

    def compare(self, what: str, command: Sequence[str] | str, before: Callable[[], None], base: float) -> float:
        """Measure a command and add its line; its ratio is to `base` seconds. A rival that fails is a line too."""
        before()
        try:
            seconds, cpu, memory = self.measure(command)
        except RuntimeError as error:
            self.add(what, "", "", "", "", "failed: " + str(error).strip().splitlines()[-1][:60])
            return 0.0
        self.add(what, f"{seconds:.2f}", f"{seconds / base:.2f}", f"{cpu:.1f}", f"{memory:.0f}")
        return seconds

    def add(self, *cells: str) -> None:
        self.lines.append(list(cells))
        print("  ".join(cell.rjust(9) if number else cell.ljust(58) for number, cell in enumerate(cells)), flush=True)


def _tree(pid: int) -> list[int]:
    """Return a process and all below it that run now."""
    try:
        below = [
            int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
        ]
    except OSError:
        return []
    return [pid, *(each for child in below for each in _tree(child))]


def _memory(pid: int) -> float:
    """Return a process's peak of resident memory in MB; a shell that only starts others counts nothing."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    values = dict(line.split(":", 1) for line in status.splitlines())
    return 0.0 if values["Name"].strip() == "bash" else int(values.get("VmHWM", "0").split()[0]) / 1024


def measure_size(bench: Bench, millions: float, repeat: int, rivals: bool) -> None:
    """Full refreshes and merges of one table."""
    rows = int(millions * 1_000_000)
    print(f"\n{millions:g} million rows".ljust(60) + "  seconds      ratio      CPU s         MB")
    bench.at(
        bench.source,
        "drop table if exists lineitem",
        f"create table lineitem ({COLUMNS})",
        f"insert into lineitem {ROWS.format(first=0, last=rows - 1)}",
        "alter table lineitem add primary key (l_orderkey, l_linenumber)",
    )
    bench.at(bench.source, "vacuum analyze lineitem")  # apart: a session counts its changes when it ends

    def gone() -> None:
        bench.at(bench.target, "drop table if exists lineitem cascade", "drop schema if exists transfer cascade")
        bench._settle()

    def changed(turn: int) -> None:
        picked = "hashint8(l_orderkey * 4 + l_linenumber) % 300 ="
        first = rows + turn * (rows // 300)
        bench.at(
            bench.source,
            f"update lineitem set l_comment = reverse(l_comment), l_tax = 0.5 where {picked} {2 * turn}",
            f"delete from lineitem where {picked} {2 * turn + 1}",
            f"insert into lineitem {ROWS.format(first=first, last=first + rows // 300 - 1)}",
        )
        bench.at(bench.source, "vacuum analyze lineitem")
        bench._settle()

    ratios: dict[str, list[float]] = {}
    whole, again = bench.ours("--tables", "public.lineitem"), bench.ours("--tables", "public.lineitem", "--full")
    for turn in range(repeat):
        bench.fresh(key=True)
        base, cpu, memory = bench.measure(bench.pipe())
        bench.add("psql pipe, key in place", f"{base:.2f}", "1.00", f"{cpu:.1f}", f"{memory:.0f}")
        new = bench.compare("transfer, new table, key and statistics", whole, gone, base)
        full = bench.compare("transfer --full over it, switch included", again, bench._settle, base)
        changed(turn)
        key = bench.compare("  by key, 1% changed (ratio: to this --full)", whole, lambda: None, full)
        sizes = dict(_sizes(bench))
        bench.add("    bytes that left the source, of the full refresh's", "", f"{sizes['key'] / sizes['full']:.4f}")
        same = bench.compare("  by key, nothing changed (ratio: to this --full)", whole, lambda: None, full)
        for what, ratio in (
            ("new table to pipe", new / base),
            ("full over rows to pipe", full / base),
            ("by key, 1% changed, to full", key / full),
            ("by key, nothing changed, to full", same / full),
        ):
            ratios.setdefault(what, []).append(ratio)
    bench.compare("psql pipe, no key", bench.pipe(), lambda: bench.fresh(key=False), base)
    bench.compare("pg_dump | psql, key after", bench.dump(), gone, base)
    loop = [sys.executable, "-c", LOOP, bench.source, bench.target]
    bench.compare("psycopg loop, key in place", loop, lambda: bench.fresh(key=True), base)
    gone()
    bench.at(
        bench.source,
        f"create table landed ({COLUMNS}, _xid xid8 default pg_current_xact_id())",
        "insert into landed select * from lineitem",
    )
    bench.at(bench.source, "vacuum analyze landed")
    landed, again = bench.ours("--tables", "public.landed"), bench.ours("--tables", "public.landed", "--full")
    bench.measure(landed)
    for _ in range(repeat):
        full = bench.compare("transfer --full of rows with their transactions", again, bench._settle, base)
        bench.at(bench.source, f"insert into landed select * from lineitem limit {rows // 100}")
        bench._settle()
        added = bench.compare("  by append, 1% added (ratio: to this --full)", landed, lambda: None, full)
        ratios.setdefault("by append, 1% added, to full", []).append(added / full)
    for what, each in ratios.items():
        print(f"{what}: median {statistics.median(each):.3f} of {', '.join(f'{ratio:.3f}' for ratio in each)}")
    bench.at(bench.source, "drop table landed")
    bench.at(bench.target, "drop table landed cascade")
    if rivals:
        measure_rivals(bench, base, rows)


def _sizes(bench: Bench) -> list[tuple[str, int]]:
    with psycopg.connect(bench.target) as connection:
        return connection.execute("select mode, bytes from transfer.runs order by finished_at").fetchall()


def measure_rivals(bench: Bench, base: float, rows: int) -> None:
    """Full refreshes and merges by other movers."""

    def both(name: str, command: Callable[[str], list[str]]) -> None:
        bench.compare(f"{name}, full", command("replace"), bench._settle, base)
        bench.compare(f"{name}, merge of the whole table", command("merge"), bench._settle, base)

    if (dlt := shutil.which("dlt")) is not None:
        python = str(Path(dlt).with_name("python"))
        both("dlt, pyarrow", lambda how: [python, "-c", DLT, bench.source, bench.target, how])
    if (ingestr := shutil.which("ingestr")) is not None:
        tables = ["--source-table", "public.lineitem", "--dest-table", "by_ingestr.lineitem"]
        uris = ["--source-uri", bench.source, "--dest-uri", bench.target]
        keys = ["--primary-key", "l_orderkey", "--primary-key", "l_linenumber"]
        both(
            "ingestr",
            lambda how: (
                [ingestr, "ingest", *uris, *tables, "--yes", "--progress", "log", "--incremental-strategy", how]
                + (keys if how == "merge" else [])
            ),
        )
    if (sling := shutil.which("sling")) is not None:
        os.environ.update(
            BENCH_SOURCE=bench.source + "?sslmode=disable", BENCH_TARGET=bench.target + "?sslmode=disable"
        )
        streams = ["--src-conn", "BENCH_SOURCE", "--src-stream", "public.lineitem", "--tgt-conn", "BENCH_TARGET"]
        both(
            "sling",
            lambda how: (
                [sling, "run", *streams, "--tgt-object", "by_sling.lineitem"]
                + (["--mode", "full-refresh"] if how == "replace" else ["--mode", "incremental"])
                + (["--primary-key", "l_orderkey,l_linenumber"] if how == "merge" else [])
            ),
        )


def measure_many(bench: Bench, tables: int) -> None:
    """Many small tables."""
    print(f"\n{tables} tables of 100 rows".ljust(60) + "  seconds      ratio      CPU s         MB")
    with psycopg.connect(bench.source, autocommit=True) as connection:
        connection.execute("create schema many")
        for number in range(tables):
            connection.execute(
                f"create table many.t{number} (id bigint primary key, v text, n numeric, at timestamptz)".encode()
            )
            connection.execute(
                f"insert into many.t{number} select i, 'n' || i, i / 3.0, now() from generate_series(1, 100) i".encode()
            )
    dump = (
        f"{programs(18) / 'pg_dump'} --no-owner --schema=many '{bench.source}' |"
        f" {programs(18) / 'psql'} -Xq '{bench.target}'"
    )
    base, cpu, memory = bench.measure(dump)
    bench.add("pg_dump | psql", f"{base:.2f}", "1.00", f"{cpu:.1f}", f"{memory:.0f}")
    bench.at(bench.target, "drop schema many cascade")
    many = bench.ours("--tables", "many.*")
    bench.compare("transfer, new tables", many, bench._settle, base)
    bench.compare("transfer, by key, nothing changed", many, bench._settle, base)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.transfer", description=__doc__.partition("\n")[0])
    parser.add_argument("--millions", type=float, nargs="*", default=[0.3, 3.0], help="table sizes in million rows")
    parser.add_argument("--repeat", type=int, default=3, help="times that psql and the transfer run in turn")
    parser.add_argument("--tables", type=int, default=500, help="small tables; 0 for none")
    parser.add_argument("--no-rivals", action="store_true", help="leave dlt, ingestr and sling out")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        bench = Bench(Path(folder))
        try:
            for millions in args.millions:
                measure_size(bench, millions, args.repeat, rivals=not args.no_rivals)
            if args.tables:
                measure_many(bench, args.tables)
        finally:
            bench.close()


if __name__ == "__main__":
    main()
