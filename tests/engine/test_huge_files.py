"""Files beyond 4 GiB: offsets past 2^32 are right, and memory does not grow with the file. All
sparse.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

GIB = 1 << 30

SCAN = """
import json, sys
from vyre_dist import Scanner
from vyre_dist.rules.model import PackData, Rule
rules = (
    Rule("plain", "needle[0-9]"),
    Rule("gated", "needle", keywords=("keyword",)),
    Rule("dear", "[1-9]{3}", keywords=("keyword",)),
    Rule("unbounded", "n[a-z]+[0-9]"),
)
scanner = Scanner(PackData("p", rules), sys.argv[2])
scanner.scan(b"needle1 keyword 123")
def peak():
    # not ru_maxrss, which starts at what the parent held when it forked
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
before = peak()
result = scanner.scan_paths(sys.argv[1])
grown = peak() - before
print(json.dumps({
    "found": [[f.rule_id, f.start, f.end, f.line, f.column] for f in result],
    "grown": grown * 1024, "bytes": result.bytes, "documents": result.documents, "complete": result.complete,
}))
"""


def scan(path: Path, backend: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", SCAN, str(path), backend], capture_output=True, text=True, check=True
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def sparse(path: Path, size: int, texts: dict[int, bytes]) -> None:
    with path.open("wb") as f:
        f.truncate(size)
        for at, text in texts.items():
            f.seek(at)
            f.write(text)


def check(path: Path, size: int, starts: list[int], backend: str) -> None:
    texts = dict.fromkeys(starts, b"needle7")
    sparse(path, size, {**texts, 10: b"\n\n", size - 20: b"keyword 123"})
    answer = scan(path, backend)
    assert answer["bytes"] == size
    assert answer["documents"] == 1
    assert answer["complete"]
    expected = []
    for start in sorted(starts):
        for rule, width in (("plain", 7), ("gated", 6), ("unbounded", 7)):
            expected.append([rule, start, start + width, 3, start - 11])
    expected.append(["dear", size - 12, size - 9, 3, size - 12 - 11])
    assert answer["found"] == expected
    assert isinstance(answer["grown"], int)
    assert answer["grown"] < 200 << 20


def test_a_file_of_many_shards_in_bounded_memory(tmp_path: Path) -> None:
    """A file of a quarter GiB, in shards of 16 MiB, takes the memory of a few shards."""
    check(tmp_path / "f", GIB // 4, [1000, (16 << 20) - 3, (32 << 20) - 7, 200 << 20], "cpu")


@pytest.mark.nightly
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_five_gib_in_bounded_memory(backend: str, tmp_path: Path) -> None:
    """Matches at, around and beyond 2^32 have their offsets, and five GiB take no more memory than
    a quarter.
    """
    check(
        tmp_path / "f", 5 * GIB, [1 << 20, (1 << 32) - 3, (1 << 32) + 100, 5 * GIB - 100], backend
    )
