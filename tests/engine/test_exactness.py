"""Exactness: on random packs and documents, whatever the shards, backend and speculation, the
findings are the oracle's.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import re2
from generate import haystacks, packs
from hypothesis import example, given, settings
from hypothesis import strategies as st
from long_runs import examples
from oracle import hits, hits_of
from split_scans import split_at

from vyre_dist import Scanner
from vyre_dist.engine.tasks import ScanTask, StitchTask, TaskResult
from vyre_dist.engine.worker import ScanEngine

BACKENDS = ["cpu", "reference"]
CAPS = st.sampled_from([1, 2, 3, 5, 8, 1 << 16])
SHARDS = st.one_of(st.integers(1, 12), st.integers(1, 80))
MODES = st.sampled_from(["auto", "force", "disable"])


def use_ends_at_once(scanner: Scanner) -> None:
    """Let the cpu backend ask for one rule's match ends at a time, and from the first byte on.

    That is what it does after the first MiB of documents that some rule is all over.
    """
    backend = scanner.engine.backend
    if backend.name == "cpu" and find_spec("hyperscan"):
        backend._every_end = False
        backend._searched.update(dict.fromkeys(backend.matchers, 1 << 30))


def check(
    patterns: dict[str, str],
    documents: list[bytes],
    cap: int,
    shards: list[int],
    mode: str,
    ends: bool,
) -> None:
    expected = [hits(patterns, document, cap) for document in documents]
    for backend in BACKENDS:
        scanner = Scanner(patterns, backend, max_match_bytes=cap, speculation=mode)
        if ends:
            use_ends_at_once(scanner)
        for shard_bytes in [1 << 20, *shards]:
            split_at(scanner, shard_bytes)
            found = [hits_of(findings) for findings in scanner.scan_batch(documents)]
            assert found == expected, (backend, shard_bytes)


def test_shards_are_of_the_size_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `split_at` says is so: else the tests here would show nothing of shards."""
    scanner = Scanner({"r": "a+b"}, "cpu")
    tasks: list[int] = []
    run = ScanEngine.run

    def counted(self: ScanEngine, task: ScanTask | StitchTask) -> TaskResult:
        tasks.append(len(task.pieces) if isinstance(task, ScanTask) else 0)
        return run(self, task)

    monkeypatch.setattr(ScanEngine, "run", counted)
    for shard_bytes, pieces in ((1 << 20, 1), (3, 4), (5, 2)):
        tasks.clear()
        split_at(scanner, shard_bytes)
        assert len(scanner.scan_batch([b"..aaaaaab."])[0]) == 1
        assert sum(tasks) == pieces


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, str], list[bytes], int, list[int], str, bool]:
    return (
        draw(packs()),
        draw(st.lists(haystacks(), min_size=1, max_size=3)),
        draw(CAPS),
        draw(st.lists(SHARDS, min_size=2, max_size=3)),
        draw(MODES),
        draw(st.booleans()),
    )


@settings(max_examples=examples(300))
@given(case=cases())
# what the long run has found: a library that misses the last two bytes, and loops that groups keep
# apart
@example(case=({"r": "(?m:^)\\s"}, [b"a" * 16 + b"\n\n"], 1, [1, 1], "auto", False))
@example(case=({"r": "((a*|c)*|a{0})*"}, [b"c", b"cac"], 1, [1, 2], "auto", False))
@example(case=({"r": "((a*|c)*|a{0})*"}, [b"c", b"cac"], 1 << 16, [1, 2], "force", True))
def test_random_packs_on_split_documents(
    case: tuple[dict[str, str], list[bytes], int, list[int], str, bool],
) -> None:
    """Spans, groups, lines and columns are google-re2's over the whole document, down to shards of
    one byte.
    """
    check(*case)


@pytest.mark.nightly
@settings(max_examples=100_000, derandomize=False)
@given(case=cases())
def test_many_random_packs_on_split_documents(
    case: tuple[dict[str, str], list[bytes], int, list[int], str, bool],
) -> None:
    """The same, a hundred thousand times."""
    check(*case)


@pytest.mark.parametrize("shard_bytes", [1, 2, 3, 1 << 20])
@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_matches_follow_go(backend: str, shard_bytes: int) -> None:
    """An empty match that begins where the match before it ended is none; google-re2's iterator has
    one more.
    """
    pattern, text = r"([\d\.]+)?", b"ab1.2cd"
    scanner = Scanner({"number": pattern}, backend, shard_bytes=shard_bytes)
    got = [(finding.start, finding.end) for finding in scanner.scan(text)]
    assert got == [(0, 0), (1, 1), (2, 5), (6, 6), (7, 7)]
    iterated = [found.span() for found in re2.finditer(pattern, text.decode())]
    assert sorted({*iterated} - {*got}) == [(5, 5)] and {*got} < {*iterated}


NEVER = [r"foo\Abar", r"foo$bar", r"foo\bbar", r"a\b\Bb", r"a[^\x00-\x{ff}]b", r"(?:a\b){2}"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_rules_that_can_not_match_are_not_searched(backend: str) -> None:
    """No backend is given them, alone or beside others, whose findings are the same."""
    alone = Scanner({f"never{i}": pattern for i, pattern in enumerate(NEVER)}, backend)
    assert alone.engine.backend.matchers == {}
    assert alone.scan(b"foobar foo bar ab aab") == []
    patterns = {
        "first": "foo",
        **{f"never{i}": pattern for i, pattern in enumerate(NEVER)},
        "last": "bar",
    }
    scanner = Scanner(patterns, backend)
    assert sorted(scanner.engine.backend.matchers) == [0, len(NEVER) + 1]
    found = [(finding.rule_id, finding.start) for finding in scanner.scan(b"foobar")]
    assert found == [("first", 0), ("last", 3)]
