"""Killed at random moments again and again, with files arriving meanwhile: the table ends up as the valid input.

FAULT_KILLS says how often (12 by default, 50 for the long variant).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from include.landing import pending_files
from tests.landing.conftest import Place

KILLS = int(os.environ.get("FAULT_KILLS", "12"))
RUN = """
import sys
from pathlib import Path
from include.landing import land, pending_files
from include.contracts import read_contract
file, root, archive, uri = sys.argv[1:]
contract = read_contract(Path(file))
print("ready", flush=True)
land(contract, pending_files(contract, root), source_uri=uri, root=root, archive=archive)
"""


class _Writer(threading.Thread):
    """Writes files of valid, bad and repeated rows, a few of them large, until it is told to stop."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.stopping = threading.Event()
        self.valid: Counter[tuple[int, str]] = Counter()
        self.bad = self.repeated = self.files = 0
        self.chance = random.Random(7)

    def run(self) -> None:
        while not self.stopping.is_set():
            self.write(20_000 if self.files % 12 == 5 else self.chance.randrange(1, 300))
            time.sleep(0.08)

    def write(self, count: int) -> None:
        number = self.files
        self.files += 1
        lines = []
        for row in range(count):
            key = (number * 100_000 + row, self.chance.choice("abc") * 40)
            self.valid[key] += 1
            lines.append(json.dumps({"id": key[0], "label": key[1]}))
            if row % 50 == 7:
                lines.append(lines[-1])
                self.repeated += 1
        for _ in range(2):
            lines.insert(self.chance.randrange(len(lines)), '{"id": "nonsense"}')
            self.bad += 1
        path = self.place.put(f".{number}.unfinished/x", "".join(f"{line}\n" for line in lines).encode())
        folder = self.place.root / "toys" / f"{number:04}"
        folder.mkdir(parents=True)
        path.rename(folder / "things.json")


def test_killed_at_random_moments_the_table_equals_the_valid_input(things: Place) -> None:
    things.land()
    writer = _Writer(things)
    command = [sys.executable, "-c", RUN, things.contract.file, things.root, things.archive, things.uri]
    chance = random.Random(11)
    killed = 0
    writer.start()
    try:
        while killed < KILLS:
            process = subprocess.Popen(
                [str(word) for word in command], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
            )
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0, 0.6))
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
            process.stdout.close()
    finally:
        writer.stopping.set()
        writer.join()
    things.land()
    found = Counter({(number, label): count for number, label, count in things.query(
        "select id, label, count(*) from toys.things group by 1, 2"
    )})  # fmt: skip
    assert found == writer.valid
    assert pending_files(things.contract, str(things.root)) == []
    counts = "select count(*), sum(rows_loaded), sum(rows_duplicate), sum(rows_rejected) from landing.files"
    assert things.query(counts) == [(writer.files, len(writer.valid), writer.repeated, writer.bad)]
    assert things.query("select count(*) from landing.rejects") == [(writer.bad,)]
    assert len(list(things.archive.rglob("things.json"))) == writer.files
