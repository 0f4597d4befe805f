"""Matches longer than their rule's cap: how many there are is google-re2's to say, however a
document is scanned.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from generate import haystacks, patterns
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from long_runs import examples
from oracle import chain, compiled, hits, hits_of, is_unbounded
from split_scans import split_at

from vyre_dist import Scanner
from vyre_dist import regex as rx
from vyre_dist.engine.shards import cut
from vyre_dist.engine.tasks import Piece, ScanTask, StitchTask
from vyre_dist.extract import DROPPED, RuleMatcher
from vyre_dist.extract.automaton import Automaton
from vyre_dist.extract.stepwise import step_by_step
from vyre_dist.extract.window import whole

BACKENDS = ["cpu", "reference"]


def too_long(pattern: str, document: bytes, cap: int) -> int:
    """google-re2's matches, one after the other and without any cap, that have more bytes than
    `cap`.
    """
    regexp, count, pos, last_end = compiled(pattern), 0, 0, -1
    while pos <= len(document) and (match := regexp.search(document, pos)) is not None:
        if match.start() == match.end() == last_end:
            pos = match.end() + 1
            continue
        count += match.end() - match.start() > cap
        pos = last_end = match.end()
    return count


def check(
    folder: Path,
    patterns: list[str],
    document: bytes,
    cap: int,
    shards: list[int],
    backends: list[str],
) -> None:
    expected = sum(
        too_long(pattern, document, cap) for pattern in patterns if is_unbounded(pattern)
    )
    named = {f"r{i}": pattern for i, pattern in enumerate(patterns)}
    want = hits(named, document, cap)
    (folder / "d").write_bytes(document)
    for backend in backends:
        scanner = Scanner(named, backend, max_match_bytes=cap)
        for shard_bytes in shards:
            split_at(scanner, shard_bytes)
            result = scanner.scan_paths(folder / "d")
            assert result.capped == expected, (backend, shard_bytes)
            assert hits_of(result) == want, (backend, shard_bytes)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[str], bytes, int, list[int]]:
    return (
        draw(st.lists(patterns(), min_size=1, max_size=2)),
        draw(haystacks()),
        draw(st.integers(1, 8)),
        [1 << 20, *draw(st.lists(st.integers(1, 40), min_size=2, max_size=3))],
    )


@settings(max_examples=80)
@given(case=cases())
@example(
    case=(
        ["(?s)a[^b]*?b"],
        b"zzz" + b"a" + b"x" * 9 + b"a" + b"x" * 4 + b"b" + b"y" * 20,
        8,
        [1, 3, 7],
    )
)
@example(
    case=(["(?s)a.*?b|c.*?d"], b"a" + b"c" * 9 + b"b" + b"x" * 9 + b"d", 4, [1, 3, 7, 1 << 20])
)
@example(case=(["(.*?)*a"], b"ababab\n", 1, [1, 3, 1 << 20]))
@example(case=(["a(?:[^b]*b)?"], b"axxxaxxxxxxaxxxb" * 3 + b"axxa", 4, [1, 3, 7, 1 << 20]))
def test_counts_are_google_re2s(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[list[str], bytes, int, list[int]]
) -> None:
    """As many matches are called capped as google-re2, without a cap, finds that are longer: in
    shards of any size.
    """
    patterns, document, cap, shards = case
    assume(any(map(is_unbounded, patterns)))
    check(tmp_path_factory.mktemp("d"), patterns, document, cap, shards, BACKENDS)


@pytest.mark.nightly
@settings(max_examples=100_000, derandomize=False)
@given(case=cases())
def test_many_counts_are_google_re2s(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[list[str], bytes, int, list[int]]
) -> None:
    """The same, a hundred thousand times."""
    patterns, document, cap, shards = case
    assume(any(map(is_unbounded, patterns)))
    check(tmp_path_factory.mktemp("d"), patterns, document, cap, shards, BACKENDS)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_match_that_starts_inside_of_one_that_is_too_long(backend: str, tmp_path: Path) -> None:
    """What fits inside of a match of 100 002 bytes is reported, and counted, at every shard size,
    by the default cap.
    """
    pattern = "(?s)a[^b]*?b"
    document = b"z" * 1000 + b"a" + b"x" * 40_000 + b"a" + b"x" * 60_000 + b"b"
    check(tmp_path, [pattern], document, 1 << 16, [1 << 14, 40_000, 100_000, 1 << 20], [backend])


FAR = [
    # a tail that is missing, a head that nothing follows, in text that lies in every loop
    (r"x(?:[^#]*STOP)?", b"x lorem ipsum S " * 15_000, 0),
    (r"x(?:[^#]*STOP)?", b"x lorem ipsum S " * 15_000 + b"STOP", 1),
    (r"(?s)BEGIN.*?STOP", b"BEGIN lorem S\n" * 20_000, 0),
    (r"(?s)BEGIN.*?STOP", b"BEGIN lorem S\n" * 20_000 + b"STOP", 1),
    (r"\w+=\w+", b"a" * 300_000 + b" x=1", 0),
]


@pytest.mark.parametrize(("pattern", "document", "longer"), FAR)
@pytest.mark.parametrize("shard_bytes", [1 << 30, 100_000])
def test_far_ends_cost_what_is_read_once(
    pattern: str, document: bytes, longer: int, shard_bytes: int
) -> None:
    """Some 250 000 bytes of starts whose matches may go on to their end take seconds, not minutes,
    whole and in pieces.
    """
    scanner = Scanner({"r": pattern}, shard_bytes=shard_bytes)
    began = time.process_time()
    engine = scanner.engine
    piece = Piece(0, "d", len(document), 0, len(document), inline=document)
    pieces = cut(piece, shard_bytes)
    results = [engine.run(ScanTask((part,))) for part in pieces]
    if len(pieces) > 1:
        results.append(engine.run(StitchTask(piece, tuple(result.parts[0] for result in results))))
    assert time.process_time() - began < 6
    assert sum(result.capped for result in results) == longer


@settings(max_examples=examples(400))
@given(
    pattern=patterns(),
    data=haystacks(),
    cap=st.integers(0, 9),
    until=st.integers(0, 40),
    room=st.sampled_from([600, 1 << 22]),
)
@example(pattern="((a*)*)", data=b"a", cap=0, until=1, room=1 << 22)
def test_the_automaton_is_google_re2(
    pattern: str, data: bytes, cap: int, until: int, room: int
) -> None:
    """Where a match ends, the best that fits, the first of several starts: what google-re2 says.

    Places are remembered, and forgotten where there is room for two states only.
    """
    size, until = len(data), min(until, len(data) + 1)

    def read(low: int, high: int) -> bytes:
        return data[low:high]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vyre_dist.extract.automaton._LEAST_SPACING", 1)
        patch.setattr("vyre_dist.extract.automaton._STREAK", 3)
        patch.setattr("vyre_dist.extract.automaton._MOST_THREADS", room)
        automaton = Automaton.of(rx.to_re2(rx.parse(pattern)))
        assert automaton is not None
        for start in range(size + 1):
            own = compiled(pattern).match(data, start)
            assert automaton.end_within(read, size, start, size) == (
                own.end() if own else None,
                False,
            )
            fits = compiled(pattern).match(data, start, min(size, start + cap))
            end, goes_on = automaton.end_within(read, size, start, start + cap)
            assert end == (fits.end() if fits else None)
            assert goes_on or not own or own.end() <= start + cap
            first = compiled(pattern).search(data, start)
            expected = first.end() if first and first.start() < until else None
            assert automaton.end_of_first(read, size, start, until) == expected


@settings(max_examples=examples(300))
@given(
    pattern=patterns(),
    data=haystacks(),
    cap=st.integers(1, 12),
    step=st.integers(1, 9),
    behind=st.integers(1, 9),
)
def test_step_by_step_gives_the_same_matches(
    pattern: str, data: bytes, cap: int, step: int, behind: int
) -> None:
    """The way that is taken where google-re2 would look for a missing tail again and again gives
    google-re2's matches, whether the bytes nearby tell where they end or the automaton has to.
    """
    assume(is_unbounded(pattern))
    root = rx.parse(pattern)
    matcher = RuleMatcher(rx.to_re2(root), None, cap, captures_matter=rx.captures_matter(root.root))
    assert matcher.automaton is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vyre_dist.extract.stepwise._FIRST_STEP", step)
        patch.setattr("vyre_dist.extract.stepwise._BEHIND", behind)
        patch.setattr("vyre_dist.extract.stepwise._LOOKS", (2, 5))
        rows = list(step_by_step(matcher, matcher.automaton, whole(data), 0, -1, len(data), None))
        patch.setattr("vyre_dist.extract.stepwise._LOOKS", ())
        by_automaton = list(
            step_by_step(matcher, matcher.automaton, whole(data), 0, -1, len(data), None)
        )
    assert [(s, e) for s, e, flags in rows if flags != DROPPED] == [
        m.span() for m in chain(pattern, data, cap)
    ]
    assert rows == by_automaton  # marks of longer matches, too


def test_ends_that_are_near_need_no_automaton(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where thousands of matches may each have a tail that is far away, the bytes nearby tell where
    most of them end.
    """
    asked: list[int] = []
    end_within = Automaton.end_within

    def counted(self: Automaton, *args: Any) -> tuple[int | None, bool]:
        asked.append(args[2])
        return end_within(self, *args)

    monkeypatch.setattr(Automaton, "end_within", counted)
    pattern = "k(?:[a-z0-9;\\n]{5,}=|[0-9]+);"
    matcher = RuleMatcher(rx.to_re2(rx.parse(pattern)), None, 1 << 16)
    data = b"".join(b"k%07d;\nk%07dx." % (i, i) for i in range(1500))
    data += b"k" + b"0" * 20_000 + b";" + data
    assert matcher.automaton is not None
    rows = list(step_by_step(matcher, matcher.automaton, whole(data), 0, -1, len(data), None))
    assert [row[:2] for row in rows] == [m.span() for m in compiled(pattern).finditer(data)]
    assert len(rows) > 3000 and len(asked) < 5
