"""Small files are read into one memory and searched together: what is found in each is what
google-re2 finds in it alone, and nothing is done for each that one call does for many.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from edges import EDGES
from generate import haystacks, packs
from hypothesis import example, given, settings
from hypothesis import strategies as st
from long_runs import examples
from oracle import compiled, hits, hits_of

from vyre_dist import Scanner
from vyre_dist.engine import worker
from vyre_dist.engine.read_buffer import ReadBuffer
from vyre_dist.extract import Window
from vyre_dist.extract.file_windows import FileWindows, bounds_of, perhaps_pieces
from vyre_dist.rules.model import Allowlist, PackData, Rule

pytest.importorskip("hyperscan")

from vyre_dist.kernels import cpu, hyperscan_db, hyperscan_rows

FILES = [b"ab", b"", b"abb", b"b;", b"\n", b"xab", b"b\nab\nb", b"a", b"\nab", b"ab\n", b"bab"] * 3


def without_empty_matches(patterns: dict[str, str]) -> dict[str, str]:
    """Those of a pack that are not looked for in every file anyway."""
    return {
        name: pattern for name, pattern in patterns.items() if compiled(pattern).search(b"") is None
    } or {"a": "a"}


def check(patterns: dict[str, str], contents: list[bytes], **limits: int) -> None:
    """Scan `contents` as a folder's files, and compare with google-re2. `limits`: of a backend."""
    scanner = Scanner(patterns, "cpu")
    for name, value in limits.items():
        setattr(scanner.engine.backend, name, value)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number:03}") for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        result = scanner.scan_paths(folder)
    for path, content in zip(paths, contents, strict=True):
        found = [finding for finding in result if finding.path == str(path)]
        assert hits_of(found) == hits(patterns, content), (path.name, content)


@settings(max_examples=examples(200), deadline=None)
@given(
    patterns=packs().map(without_empty_matches),
    contents=st.lists(haystacks(), max_size=12),
    windows=st.integers(1, 12),
    size=st.integers(1, 90),
)
@example(patterns=EDGES, contents=FILES, windows=256, size=2 << 20)
@example(patterns=EDGES, contents=FILES, windows=4, size=7)
# rules of which a search of all can't tell in which file they may match: they match nothing, and
# Hyperscan refuses them
@example(patterns={"empty": "x*", **EDGES}, contents=FILES, windows=256, size=2 << 20)
@example(patterns={"line": r"(?m)b\n^", **EDGES}, contents=FILES, windows=256, size=2 << 20)
def test_each_file_has_its_own_matches(
    patterns: dict[str, str], contents: list[bytes], windows: int, size: int
) -> None:
    """Whatever its neighbours in the memory end and begin with, and wherever a dispatch ends."""
    check(patterns, contents, dispatch_windows=windows, dispatch_bytes=size)


def test_too_many_hits_have_each_file_searched_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same result; files that follow are searched together again."""
    monkeypatch.setattr(hyperscan_rows, "_HITS_PER_ROW", 0)
    alone: list[int] = []
    one_by_one = cpu.CpuBackend._candidates_one_by_one

    def noted(self: cpu.CpuBackend, windows: Any, numbers: range) -> Any:
        alone.append(len(numbers))
        return one_by_one(self, windows, numbers)

    monkeypatch.setattr(cpu.CpuBackend, "_candidates_one_by_one", noted)
    check(EDGES, FILES + [b"-"] * 300, dispatch_windows=len(FILES))
    # but for the empty files, which are read by themselves
    assert sum(alone) >= len(FILES) and sum(alone) < len(FILES) + 40


def test_files_that_take_more_care_lie_between_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file without room in the memory, an empty one, one that can't be read and a large one."""
    monkeypatch.setattr(ReadBuffer, "_AT_FIRST", 64)
    monkeypatch.setattr(ReadBuffer, "_MOST", 100)
    sizes = [10, 63, 64, 65, 0, 99, 100, 101, 300, 20, 5000, 12, 12]
    for number, size in enumerate(sizes):
        (tmp_path / f"{number:02}").write_bytes(b"ab" + b"-" * (size - 4) + b"ab" if size else b"")
    (tmp_path / "03x").symlink_to("nowhere")
    os.mkfifo(tmp_path / "05x")
    scanner = Scanner(EDGES, "cpu", shard_bytes=1000)
    result = scanner.scan_paths(tmp_path)
    assert {p.reason for p in result.problems} == {"fifo"}
    for number in range(len(sizes)):
        path = tmp_path / f"{number:02}"
        found = [finding for finding in result if finding.path == str(path)]
        assert hits_of(found) == hits(EDGES, path.read_bytes()), path.name
    assert (result.documents, result.bytes) == (len(sizes), sum(sizes))


def test_one_search_and_few_windows_for_many_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hyperscan is called once for a dispatch; a window is made for a file with a match only, and
    its bytes are copied only then.
    """
    for number in range(200):
        (tmp_path / f"{number}").write_bytes(b"nothing here" * 20)
    (tmp_path / "100").write_bytes(b"KEY123")
    scanner = Scanner({"key": "KEY[0-9]{3}"}, "cpu")
    searched: list[bytes | memoryview] = []
    search = hyperscan_db.search

    def noted(database: Any, text: bytes | memoryview, on_hit: Any) -> bool:
        searched.append(text)
        return search(database, text, on_hit)

    made: list[int] = []
    window_of = FileWindows.__getitem__

    def counted(self: FileWindows, number: int) -> Window:
        made.append(number)
        window = window_of(self, number)
        assert isinstance(window, Window)
        return window

    monkeypatch.setattr(hyperscan_rows, "search", noted)
    monkeypatch.setattr(cpu, "search", noted)
    monkeypatch.setattr(FileWindows, "__getitem__", counted)
    assert [f.secret for f in scanner.scan_paths(tmp_path)] == [b"KEY123"]
    [text] = searched
    assert isinstance(text, memoryview) and len(text) == 199 * 241 + 6 + 1 - 1
    assert len(set(made)) == 1


def test_a_large_file_is_searched_where_it_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks, none of which is copied."""
    searched: list[bytes | memoryview] = []

    def noted(database: Any, text: bytes | memoryview, on_hit: Any) -> bool:
        searched.append(text)
        return hyperscan_db.search(database, text, on_hit)

    monkeypatch.setattr(cpu, "search", noted)
    monkeypatch.setattr(cpu, "_BLOCK_BYTES", 1 << 20)
    (tmp_path / "f").write_bytes(b"nothing to be found here\n" * 400_000)
    scanner = Scanner({"key": "KEY[0-9]{9}"}, "cpu", shard_bytes=4 << 20)
    assert list(scanner.scan_paths(tmp_path / "f")) == []
    views = [text for text in searched if isinstance(text, memoryview)]
    assert len(views) == len(searched) >= 10
    assert len({id(view.obj) for view in views}) == 1


def test_an_interrupt_while_a_match_is_told_of_ends_the_search(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The binding drops what its callback raises, and says that the search was ended."""

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    (tmp_path / "f").write_bytes(b"KEY123")
    scanner = Scanner({"key": "KEY[0-9]{3}"}, "cpu")
    monkeypatch.setattr(cpu.CpuBackend, "_on_hit", interrupted)
    monkeypatch.setattr(hyperscan_rows.HyperscanRows, "_on_hit", interrupted)
    for scan in (lambda: scanner.scan(b"KEY123"), lambda: scanner.scan_paths(tmp_path)):
        with pytest.raises(KeyboardInterrupt):
            scan()


def test_files_whose_paths_decide_the_same_are_read_in_one_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine does nothing for each of them; nor where some of a folder are left out."""
    for number in range(50):
        (tmp_path / f"{number:02}").write_bytes(b"x")
    calls: list[int] = []
    read_files = ReadBuffer.read_files

    def counted(self: ReadBuffer, *given: Any) -> int:
        calls.append(1)
        return read_files(self, *given)

    monkeypatch.setattr(ReadBuffer, "read_files", counted)
    monkeypatch.setattr(worker.ScanEngine, "_scan_file", lambda *_: pytest.fail("no need"))
    rule = Rule("x", "x")
    for left_out, others in (("none", 50), ("/2[0-9]$", 40), ("/0[0-9]$", 40)):
        pack = PackData("p", (rule,), (Allowlist(paths=(left_out,)),))
        calls.clear()
        result = Scanner(pack, "cpu").scan_paths(tmp_path)
        assert (result.documents, len(result), result.skipped) == (others, others, 50 - others)
        assert len(calls) <= 2


def test_bounds_of_any_windows_are_those_of_the_same_in_a_list() -> None:
    """Files make no windows to tell where they lie."""
    memory = memoryview(b"one\ntwo\npart")
    windows = FileWindows(memory, joined=True)
    windows.starts += [0, 4]
    windows.ends += [3, 7]
    piece = Window(memory[8:12], 5, 1, 3, False, 8)
    elsewhere = Window(b"elsewhere", 0, 0, 9, True)
    windows.add(piece)
    windows.add(elsewhere)
    assert list(windows)[:2] == [Window(memory[:3], 0, 0, 3, True, 0), windows[1]]
    assert windows[2:] == [piece, elsewhere] and windows[-1] == elsewhere
    assert tuple(map(list, bounds_of(windows))) == bounds_of(list(windows))
    assert dict(perhaps_pieces(windows)) == {2: piece, 3: elsewhere}
    assert dict(perhaps_pieces(list(windows))) == dict(enumerate(windows))
    [arena] = windows.arenas()
    assert bytes(arena.data) == b"one\ntwo"
    assert [arena.row_at(end) for end in range(1, 8)] == [0, 0, 0, 1, 1, 1, 1]
    taken = windows.take()
    assert (len(windows), list(taken[:1])) == (0, [Window(memory[:3], 0, 0, 3, True, 0)])
