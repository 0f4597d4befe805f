"""Scans with a run directory whose driver is killed, and resumed until it comes to its end."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from vyre_dist.ledger.garbage import parts_in
from vyre_dist.ledger.history import History
from vyre_dist.ledger.identity import read_facts
from vyre_dist.storage import open_storage

# The driver ends by SIGKILL when it appends to one of its logs for the N-th time: before it does,
# when half of it is written, or after; every record is committed at once.
PROGRAM = """
import os, signal, sys
from vyre_dist.ledger import run_directory
from vyre_dist.storage import local

run_directory.GROUP_SECONDS = run_directory.MOST_GROUP_SECONDS = 0.0
run_directory.PLAN_SECONDS = 0.0
left, where = int(sys.argv[1]), sys.argv[2]
append = local.LocalLog.append

def ending(self, data):
    global left
    left -= 1
    if left == 0:
        if where == "half":
            os.write(self._fd, data[: len(data) // 2])
        if where == "after":
            append(self, data)
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, data)

local.LocalLog.append = ending
from vyre_dist.cli.main import main
main(sys.argv[3:])
"""
# The N-th part file ends the worker that was about to put it in its place, or has just done so.
WORKERS = """
import os, signal, sys
from vyre_dist.storage import local

left, where, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
put, driver = local.LocalStorage.put, os.getpid()

def ending(self, name, data):
    if os.getpid() != driver and len(os.listdir(folder)) < left:
        os.close(os.open(os.path.join(folder, f"{os.getpid()}"), os.O_CREAT, 0o600))
        if where == "after":
            put(self, name, data)
        os.kill(os.getpid(), signal.SIGKILL)
    put(self, name, data)

local.LocalStorage.put = ending
from vyre_dist.cli.main import main
main(sys.argv[4:])
"""
# Workers put down what they are given, each document (-1) and piece (where it begins), in a file.
TRACED = """
import os, sys
from vyre_dist.engine.tasks import FolderRun
from vyre_dist.engine.worker import ScanEngine

trace = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
begin = ScanEngine.begin

def traced(self, task, run):
    given = []
    for item in getattr(task, "pieces", ()):
        if isinstance(item, FolderRun):
            given += [(item.first + number, -1) for number in range(len(item.names))]
        else:
            given.append((item.document, -1 if item.whole else item.start))
    os.write(trace, "".join(f"{document} {start}\\n" for document, start in given).encode())
    begin(self, task, run)

ScanEngine.begin = traced
from vyre_dist.cli.main import main
main(sys.argv[2:])
"""
FORMATS = ("jsonl", "csv", "sarif", "parquet")
KILLED = -9
ENDED = (0, 1)


def write_corpus(root: Path) -> None:
    """Small files, some with many findings, an empty one, and large ones that are cut into pieces,
    with matches across their borders.
    """
    chosen = random.Random(7)
    for folder in range(3):
        (root / f"d{folder}").mkdir(parents=True)
        for number in range(12):
            lines = chosen.choice([0, 1, 40, 400])
            text = "".join(f"line tok_{chosen.randrange(10**12):012d} end\n" for _ in range(lines))
            (root / f"d{folder}" / f"f{number:02d}").write_text(text)
    (root / "d1" / "large").write_text("".join(f"n{i} tok_{i:012d}x\n" for i in range(9000)))
    (root / "d1" / ".env").write_text("a=1\n")
    (root / "big").write_text("".join(f"tok_{i % 5:012d} {i}\n" for i in range(6000)))


@dataclass
class KilledRuns:
    """Scans of `tree` with the pack at `pack`; the outputs are in `out`, and so is `run_dir`,
    unless it is at `place`.
    """

    tree: Path
    pack: Path
    out: Path
    environment: dict[str, str]
    place: str = ""
    inputs: tuple[str, ...] = ("big", ".")
    given: int = 0
    """Documents and pieces that workers were given in scans of `killed_after`, however often."""

    @property
    def run_dir(self) -> Path:
        return self.out / "run"

    def command(self, *more: str) -> list[str]:
        outputs = [f"-f{each}={self.out / each}" for each in FORMATS]
        place = self.place or str(self.run_dir)
        own = ["--run-dir", place]
        if read_facts(open_storage(place)) is not None:
            own.append("--resume")
        base = ["scan", "-r", str(self.pack), "--shard-size", "20K", "-j2", "--progress", "never"]
        # one that is named has a size that is known
        return [*base, *outputs, *own, *more, *self.inputs]

    def start(self, program: Sequence[str], *more: str) -> subprocess.Popen[bytes]:
        return self._start([*program, *self.command(*more)])

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.tree,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *more: str) -> subprocess.CompletedProcess[bytes]:
        """A scan, or what is left of it, to its end."""
        process = self.start(["-m", "vyre_dist"], *more)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def killed_at(self, append: int, where: str) -> int:
        """How a scan ended whose driver was to be killed at its `append`-th append."""
        process = self.start(["-c", PROGRAM, str(append), where])
        _, err = process.communicate(timeout=120)
        assert process.returncode in (KILLED, *ENDED), err
        return process.returncode

    def with_killed_workers(self, number: int, where: str, folder: Path) -> int:
        """How a scan ended of which so many workers were killed at part files; `folder`: for notes
        on them.
        """
        process = self.start(["-c", WORKERS, str(number), where, str(folder)])
        _, err = process.communicate(timeout=120)
        assert err.count(b"was lost") == number, err
        return process.returncode

    def killed_after(self, moment: Callable[[], bool]) -> int:
        """How a scan ended whose driver is killed as soon as `moment` comes.

        If a worker was given what was recorded already, that is an error.
        """
        return self._traced(self.command(), moment)

    def goes_on_with(self, command: Sequence[str]) -> int:
        """How a scan ended that goes on with such arguments; checked like `killed_after`."""
        return self._traced(command, lambda: False)

    def _traced(self, command: Sequence[str], moment: Callable[[], bool]) -> int:
        place = self.place or str(self.run_dir)
        begun = read_facts(open_storage(place)) is not None
        recorded = set(self.covered()) if begun else set()
        trace = self.out.parent / "trace"
        trace.unlink(missing_ok=True)
        process = self._start(["-c", TRACED, str(trace), *command])
        while process.poll() is None and not moment():
            time.sleep(0.001)
        process.kill()
        _, err = process.communicate(timeout=120)
        assert process.returncode in (KILLED, *ENDED), err
        lines = trace.read_text().splitlines() if trace.exists() else []
        given = [tuple(map(int, line.split())) for line in lines]
        assert not recorded & set(given), "what was recorded is done again"
        self.given += len(given)
        return process.returncode

    def ledger_bytes(self) -> int:
        """How much has been recorded."""
        logs = self.run_dir / "ledger"
        return sum(log.stat().st_size for log in logs.iterdir()) if logs.exists() else 0

    def outputs(self, folder: Path | None = None) -> dict[str, object]:
        """What the outputs hold, without the summaries."""
        at = folder or self.out
        lines = (at / "jsonl").read_text().splitlines()
        (run,) = json.loads((at / "sarif").read_text())["runs"]
        return {
            "jsonl": [line for line in lines if json.loads(line)["type"] == "finding"],
            "csv": (at / "csv").read_bytes(),
            "sarif": (run["results"], run["tool"]),
            "parquet": pq.read_table(at / "parquet").to_pylist(),
        }

    def covered(self) -> Iterator[tuple[int, int]]:
        """(document, start) of all that counts in the ledger; -1 for a whole one."""
        for shard in History(open_storage(self.place or str(self.run_dir))).shards():
            for done in shard.done:
                for first, end in done.entry.covered.documents:
                    yield from ((document, -1) for document in range(first, end))
                for document, start, _ in done.entry.covered.pieces:
                    yield document, start

    def named_parts(self) -> set[str]:
        """The part files that count."""
        history = History(open_storage(self.place or str(self.run_dir)))
        entries = [done.entry for shard in history.shards() for done in shard.done]
        return {part for entry in entries for part in parts_in(entry.result)}

    def forget(self) -> None:
        """Begin anew."""
        import shutil

        shutil.rmtree(self.run_dir, ignore_errors=True)
        for each in FORMATS:
            (self.out / each).unlink(missing_ok=True)


def left_over(folder: Path) -> list[str]:
    """Unfinished files."""
    return [name for name in os.listdir(folder) if name.endswith(".part")]
