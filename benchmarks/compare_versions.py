"""Whether a version is slower than another one: pairs of runs of the same work, in random order.

    python benchmarks/compare_versions.py --old TREE [--new TREE] [--pairs 15] [--only CASE ...]
    [--gpu] [--megabytes 128] [--record]

TREE is a checkout of the project (--new: this one). For each case two processes of the same
interpreter import vyre_dist from their trees, and do the case whenever they are asked to; they tell
their seconds and how much they found, which has to be the same in both. Scans are `vyre-dist scan`
in processes of their own. Printed is the geometric mean of old/new, above 1 where the new one is
faster, with its 95 % interval (bootstrap over the pairs). With --gpu the case is a GpuStream's way
from slots to findings. With --record a line for each case goes to
benchmarks/results/compare_versions.jsonl.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from results_file import append, run_facts

HERE = Path(__file__).resolve().parent

_TIMED = """
import json, subprocess, sys, time
from pathlib import Path
import vyre_dist
assert Path(vyre_dist.__file__).is_relative_to(sys.argv[3]), vyre_dist.__file__
data = Path(sys.argv[1])
def scan(*arguments):
    out = Path(sys.argv[2], "out.jsonl")
    out.unlink(missing_ok=True)
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-P", "-m", "vyre_dist", "scan", "--progress", "never",
                           "-j", "2", "--pool", "local", "-f", f"jsonl={out}", *arguments],
                          capture_output=True, text=True)
    seconds = time.perf_counter() - began
    assert done.returncode in (0, 1), done.stderr
    *_, summary = out.read_text().splitlines()
    return seconds, json.loads(summary)["findings"]
def timed(work):
    began = time.perf_counter()
    count = work()
    return time.perf_counter() - began, count
def serve(measure):
    for _ in sys.stdin:
        print(json.dumps(measure()), flush=True)
"""

CASES = {
    "start": "measure = lambda: scan(str(data / 'empty'))",
    "small files": "measure = lambda: scan(str(data / 'small'))",
    "one large file": "measure = lambda: scan(str(data / 'large'))",
    "dense findings": "measure = lambda: scan(str(data / 'dense'))",
    "library, one by one": """
from vyre_dist import RulePack, Scanner
scanner = Scanner(RulePack.builtin())
text = (data / "text").read_bytes()
parts = [text[i:i + 1000] for i in range(0, 2_000_000, 1000)]
scanner.scan(parts[0])
measure = lambda: timed(lambda: sum(len(scanner.scan(part)) for part in parts))
""",
    "library, a batch": """
from vyre_dist import RulePack, Scanner
scanner = Scanner(RulePack.builtin())
text = (data / "text").read_bytes()
parts = [text[i:i + 1000] for i in range(0, 8_000_000, 1000)]
scanner.scan(parts[0])
measure = lambda: timed(lambda: sum(map(len, scanner.scan_batch(parts))))
""",
    "reference backend": """
from vyre_dist import RulePack, Scanner
scanner = Scanner(RulePack.builtin(), "reference")
text = (data / "text").read_bytes()
measure = lambda: timed(lambda: len(scanner.scan(text)))
""",
    "compile": """
from vyre_dist import RulePack
from vyre_dist.program import compile_pack
pack = RulePack.builtin()
def work():
    return len(compile_pack(pack.data).rules)
measure = lambda: timed(work)
""",
}

GPU_CASE = """
try:
    from vyre_dist.stream import ExtractionPool, GpuStream
    from vyre_dist.kernels.cuda import DevicePack
except ImportError:  # as they were called before
    from vyre_dist.engine.extraction_pool import ExtractionPool
    from vyre_dist.engine.gpu_stream import GpuStream
    from vyre_dist.kernels.cuda.device_pack import DevicePack
from vyre_dist import RulePack
from vyre_dist.program import ArtifactCache, compile_pack
try:
    from vyre_dist.rules.byte_filters import byte_filters_of
except ImportError:
    from vyre_dist.rules.screens import screens_of as byte_filters_of
pack = RulePack.builtin()
text = (data / "sparse").read_bytes()
documents = [text[i:i + 32_000] for i in range(0, len(text), 32_000)]
documents *= max(1, (200 << 20) // len(text))
numbered = [(n, f"d{n}", document) for n, document in enumerate(documents)]
compiled = compile_pack(pack.data)
cache = ArtifactCache(sys.argv[2] + "/cache")
device_pack = DevicePack(compiled, cache, byte_filters_of(pack.data))
with (
    ExtractionPool(pack.data, compiled, device_pack.reading, 12) as pool,
    GpuStream(device_pack, pack.data, pool, slots=8, slot_bytes=256 << 20) as stream,
):
    batches = []
    while (slot := stream.free_slot()) is not None:
        fill = getattr(slot, 'fill', None) or slot.pack  # as it was called before
        batches.append(fill(iter(numbered))[0])
    def run(count):
        ready, put = list(batches), 0
        while put < count:
            if not ready:
                batch, rows = stream.next_finished()
                ready.append(batch)
                yield rows
            put += 1
            for done in stream.put(ready.pop(0)):
                ready.append(done[0])
                yield done[1]
        for _, rows in stream.drain():
            yield rows
    for _ in run(2 * len(batches)):
        pass
    serve(lambda: timed(lambda: sum(map(len, run(120)))))
"""


def write_data(folder: Path, megabytes: int) -> None:
    """Lines of words with a key every 4 000 bytes or so; dense: one on every line."""
    rng = random.Random(14)
    words = ["".join(rng.choices("abcdefghijklmnoprstu", k=rng.randint(2, 9))) for _ in range(3000)]

    def key() -> str:
        return f"AKIA{''.join(rng.choices('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', k=16))}"

    def line(with_key: bool) -> str:
        return " ".join([*rng.choices(words, k=9), *([key()] if with_key else [])]) + "\n"

    text = "".join(line(n % 80 == 0) for n in range(150_000)).encode()
    (folder / "text").write_bytes(text)
    (folder / "sparse").write_text("".join(line(n % 1000 == 0) for n in range(150_000)))
    (folder / "empty").mkdir()
    with (folder / "large").open("wb") as file:
        for _ in range(max(1, (megabytes << 20) // len(text))):
            file.write(text)
    (folder / "dense").write_text("".join(f"id = {key()} {n}\n" for n in range(60_000)))
    for number in range(6000):
        path = folder / "small" / f"d{number % 40}" / f"f{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        at = number * 1900 % (len(text) - 4000)
        path.write_bytes(text[at : at + rng.randint(200, 4000)])


class Version:
    """A process that imports vyre_dist from `tree` and does a case whenever it is asked to."""

    def __init__(self, tree: Path, program: str, data: Path, out: Path) -> None:
        path = os.pathsep.join([str(tree), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._errors = (out / f"{tree.name}.err").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", f"{_TIMED}\n{program}", data, out, tree],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=out,
            env={
                **os.environ,
                "PYTHONPATH": path,
                "XDG_CACHE_HOME": str(out / "cache" / tree.name),
            },
        )

    def measure(self) -> tuple[float, int]:
        """(seconds, findings) of the case."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        print("go", file=process.stdin, flush=True)
        line = process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise SystemExit(self._errors.read())
        seconds, findings = json.loads(line)
        return seconds, findings

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
        self._errors.close()


def interval(logs: list[float]) -> tuple[float, float, float]:
    """(geometric mean, lower and upper end of its 95 % interval) of exp(logs)."""
    rng = random.Random(1)
    means = sorted(sum(rng.choices(logs, k=len(logs))) / len(logs) for _ in range(4000))
    return (
        math.exp(sum(logs) / len(logs)),
        math.exp(means[len(means) // 40]),
        math.exp(means[-len(means) // 40]),
    )


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--old", type=Path, required=True)
    parser.add_argument("--new", type=Path, default=HERE.parent)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--megabytes", type=int, default=128)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    cases = {"GpuStream": GPU_CASE} if options.gpu else CASES
    trees = [options.old.resolve(), options.new.resolve()]
    order = random.Random()
    with tempfile.TemporaryDirectory() as root:
        data, out = Path(root, "data"), Path(root, "out")
        data.mkdir()
        out.mkdir()
        write_data(data, options.megabytes)
        for name, program in cases.items():
            if options.only and name not in options.only:
                continue
            serving = program if options.gpu else f"{program}\nserve(measure)"
            versions = [Version(tree, serving, data, out) for tree in trees]
            seconds: list[list[float]] = [[], []]
            for version in versions:  # caches are filled
                version.measure()
            for _ in range(options.pairs):
                found = {}
                for which in order.sample([0, 1], 2):
                    took, found[which] = versions[which].measure()
                    seconds[which].append(took)
                assert found[0] == found[1], f"{name}: {found[0]} and {found[1]} findings"
            for version in versions:
                version.close()
            logs = [math.log(old / new) for old, new in zip(*seconds, strict=True)]
            mean, low, high = interval(logs)
            best = [min(each) for each in seconds]
            print(
                f"{name:20} old/new {mean:.3f} [{low:.3f}, {high:.3f}]  "
                f"best {best[0]:.3f} and {best[1]:.3f} s, {found[1]} findings",
                flush=True,
            )
            if options.record:
                facts = {k: v for k, v in run_facts(None, None).items() if k != "rules"}
                append(
                    "compare_versions.jsonl",
                    {
                        **facts,
                        "case": name,
                        "pairs": options.pairs,
                        "old_over_new": round(mean, 4),
                        "interval_95": [round(low, 4), round(high, 4)],
                        "seconds": [round(each, 4) for each in best],
                        "findings": found[1],
                    },
                )


if __name__ == "__main__":
    main()
