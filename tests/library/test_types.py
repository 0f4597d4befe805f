"""The public names are typed: mypy --strict checks programs that use them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TYPED = """
from vyre_dist.speculation import (
    AdaptiveSpeculator, AutotuneKey, AutotuneStore, DispatchConfig, SpecCacheKey, SpeculationReport,
    StoredRecord, TieredStore, VariantTiming, encode_counter_tail, merge, open_store,
    parse_counter_tail, race,
)

report: SpeculationReport | None = parse_counter_tail(encode_counter_tail(SpeculationReport(1, 3)))
speculator = AdaptiveSpeculator(20)
if report is not None:
    speculator.record(merge([report]))
saved: int = race(VariantTiming(5, 0), VariantTiming(1, 1)).saved_ns
with open_store(None) as store:
    spec = SpecCacheKey(1, 2, (3, 1, 1), 4)
    found: StoredRecord | None = store.get(AutotuneKey.of(spec, "adapter"), spec)
def tiers(store: TieredStore) -> AutotuneStore:
    return store


# --- the library
import threading
from pathlib import Path
from vyre_dist import Finding, InputProblem, PathScan, ScanProgress, RulePack, ScanResult, Scanner

def show(progress: ScanProgress) -> None:
    print(progress.documents, progress.documents_total)

scanner = Scanner(Path("own.toml"), shard_bytes=1 << 20, secret_key="key", redact=100)
scanners = [Scanner(), Scanner({"r": "b"}), Scanner(RulePack.builtin()), Scanner(["a.toml", "b"])]
one: list[Finding] = scanner.scan("text", path="name")
many: list[list[Finding]] = scanner.scan_batch([b"x", "y", ("name", b"z")])
result: ScanResult = scanner.scan_paths("src", exclude=["*.md"], cancel=threading.Event())
problems: list[InputProblem] = result.problems
with scanner.iter_paths([Path("src")], workers=2, progress=show) as scan:
    first: Finding = next(scan)
    running: PathScan = scan
    documents: int = scan.totals.documents
"""

WRONG = """
from vyre_dist import Scaner
from vyre_dist.speculation import SpeculationReprot
from vyre_dist import Scanner
number: str = Scanner().scan_paths("src").documents
Scanner().scan(5)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What mypy --strict says of a user's two programs; it reads the package once for both."""
    folder = tmp_path_factory.mktemp("programs")
    programs = {"typed.py": TYPED, "wrong.py": WRONG}
    for name, text in programs.items():
        (folder / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", *programs],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_typed_program_is_checked(said: str) -> None:
    """mypy --strict knows the types of a user's program."""
    assert "typed.py" not in said
    assert "in 1 file (checked 2 source files)" in said


def test_mistakes_in_a_program_are_seen(said: str) -> None:
    """A misspelled name, a wrong type of an answer and one of an argument are errors."""
    assert 'no attribute "Scaner"' in said and 'no attribute "SpeculationReprot"' in said
    assert 'expression has type "int", variable has type "str"' in said
    assert 'Argument 1 to "scan" of "Scanner"' in said
    assert "Found 4 errors" in said
