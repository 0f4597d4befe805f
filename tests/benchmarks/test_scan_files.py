"""What benchmarks/scan_files.py times is checked, and what it compares with is what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vyre_dist import Scanner

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
EVERY = 30_000

# pytest has threads of its own, of which Python 3.12 warns when a benchmark forks its readers
pytestmark = pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")


@pytest.fixture
def planted_trees(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, which other benchmarks' modules lie beside."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import planted_trees

    return planted_trees


@pytest.fixture
def corpus(planted_trees: ModuleType, tmp_path: Path) -> Any:
    """Some text, in part of which something is found."""
    text = tmp_path / "text"
    text.mkdir()
    for number in range(40):
        lines = (f"line {line} of {number}: nothing to see\n\n" for line in range(400))
        (text / f"{number}.txt").write_text("".join(lines))
    (text / "loud.txt").write_text("key = AKIAZ5GMXQ3RKV7HWN2T\n")
    return planted_trees.Corpus(tmp_path, str(text), None, 1.0, EVERY)


@pytest.mark.parametrize(("name", "size"), [("big", "200k"), ("small", "5k")])
def test_a_tree_has_what_was_planted(
    planted_trees: ModuleType, corpus: Any, tmp_path: Path, name: str, size: str
) -> None:
    """A scan of it finds that and nothing else, in every link, and its size is the one told."""
    made = corpus.write(planted_trees.kind_of(name, size), 1e6, 2)
    files = 2 * len(made.sizes) + 3
    tree = planted_trees.link_tree(made, files, tmp_path / "tree", 2)
    paths = [path for path in tree.rglob("*") if path.is_file()]
    assert len(paths) == files
    assert sum(path.stat().st_size for path in paths) == made.size(files)
    assert {path.stat().st_ino for path in paths} == {
        made.path(number).stat().st_ino for number in range(len(made.sizes))
    }
    scanner = Scanner(None, backend="cpu")
    found = [
        (str(path.relative_to(tree)), (each.rule_id, each.start, each.end))
        for path in paths
        for each in scanner.scan(path.read_bytes())
    ]
    expected = list(made.expected(files))
    assert planted_trees.digest(found) == planted_trees.digest(expected)
    assert len(expected) > 10
    assert any(path == planted_trees.name_of(0) for path, _ in expected)


def test_files_for_is_the_largest_tree_of_a_size(planted_trees: ModuleType, corpus: Any) -> None:
    """It has no more bytes, but for one file, which is always there."""
    made = corpus.write(planted_trees.kind_of("small", "2k"), 5e4, 2)
    for size in (1, made.ends[0], made.ends[-1] - 1, made.ends[-1], 3 * made.ends[-1] + 5_000):
        files = made.files_for(size)
        assert files == 1 or made.size(files) <= size
        assert made.size(files + 1) > size


def test_other_findings_are_no_result(planted_trees: ModuleType, corpus: Any) -> None:
    """One that is missing, one too many, one elsewhere, and files that were not scanned."""
    from scan_command import check

    made = corpus.write(planted_trees.kind_of("big", "200k"), 1e6, 2)
    files = len(made.sizes) + 1
    report = {"complete": True, "bytes": made.size(files), "problems": []}
    good = list(made.expected(files))
    check(report, good[::-1], made, files)
    path, (rule, start, end) = good[0]
    for wrong in (good[1:], [*good, good[0]], [(path, (rule, start + 1, end)), *good[1:]]):
        with pytest.raises(SystemExit, match="planted"):
            check(report, wrong, made, files)
    for change in ({"complete": False}, {"bytes": made.size(files) - 1}):
        with pytest.raises(SystemExit, match="not all was scanned"):
            check(report | change, good, made, files)


def test_reading_alone_reads_all_pieces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each byte is in one piece, and so many processes read so long."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import ceilings

    monkeypatch.setattr(ceilings, "PIECE_BYTES", 1000)
    (tmp_path / "a").write_bytes(bytes(2500))
    (tmp_path / "b").write_bytes(bytes(300))
    pieces = ceilings.pieces_of([(str(tmp_path / "a"), 2500), (str(tmp_path / "b"), 300)])
    assert [piece[1:] for piece in pieces] == [(0, 1000), (1000, 1000), (2000, 500), (0, 300)]
    assert ceilings.reader_rate(pieces, 5, 0.01) > 0


def sampled(program: str, folder: Path) -> list[dict[str, Any]]:
    """What the sampler has written of the program's processes."""
    environment = os.environ | {
        "PYTHONPATH": str(BENCHMARKS / "sampling"),
        "STACK_SAMPLES": str(folder),
    }
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    return [json.loads(path.read_text()) for path in folder.glob("*.json")]


def test_the_sampler_sees_every_process(tmp_path: Path) -> None:
    """Those that were forked, too, by what they are, with the function that kept them busy."""
    program = (
        "import os, time\n"
        "def spin():\n"
        "    end = time.monotonic() + 1.3\n"
        "    while time.monotonic() < end: pass\n"
        "child = os.fork()\n"
        "spin()\n"
        "if child: os.waitpid(child, 0)\n"
        "else: os._exit(0)\n"
    )
    seen = sampled(program, tmp_path)
    assert sorted(each["role"] for each in seen) == ["command", "forked command"]
    for each in seen:
        assert any(":spin:" in stack for stack in each["stacks"]), each
    said = subprocess.run(
        [sys.executable, BENCHMARKS / "stack_samples.py", tmp_path], capture_output=True, text=True
    )
    assert ":spin" in said.stdout
    assert (tmp_path / "forked-command.stacks").exists()


def test_a_call_that_keeps_the_lock_is_seen_where_it_is(tmp_path: Path) -> None:
    """Not in the short call behind it in which the interpreter's lock is let go."""
    program = (
        "import os, time\n"
        "zeros = os.open('/dev/zero', os.O_RDONLY)\n"
        "def keeps(): sum(range(100_000))\n"
        "def lets_go(): os.read(zeros, 1000)\n"
        "end = time.monotonic() + 0.5\n"
        "while time.monotonic() < end:\n"
        "    keeps()\n"
        "    lets_go()\n"
    )
    (seen,) = sampled(program, tmp_path)
    times = {
        name: sum(wall for stack, (wall, _) in seen["stacks"].items() if f":{name}:" in stack)
        for name in ("keeps", "lets_go")
    }
    assert times["keeps"] > 4 * times["lets_go"]


def test_the_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only lines that are alike are compared."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import scan_ratios

    def slope(backend: str, gpus: int, rate: float, workers: int = 8) -> dict[str, Any]:
        return {
            "part": "slope", "files": "big", "pool": "local", "backend": backend, "gpus": gpus,
            "workers": workers, "GB/s": rate, "of the bound": 0.5,
        }  # fmt: skip

    lines = [
        slope("cpu", 0, 4.0), slope("cuda", 1, 20.0), slope("cuda", 2, 38.0),
        slope("auto", 2, 19.0), slope("cpu", 0, 1.0, workers=2),
        {"part": "auto", "files": "big", "bytes": 1,
         "seconds of": {"cpu": [2.0, 1.0], "cuda": [3.0], "auto": [1.25]}},
    ]  # fmt: skip
    assert [ratio for _, ratio in scan_ratios.backends(lines)] == [5.0, 9.5]
    assert [ratio for _, ratio in scan_ratios.gpus(lines)] == [1.9]
    assert [ratio for _, ratio in scan_ratios.autos(lines)] == [0.8, 0.5]
