"""What a worker runs with, and what it tries beside that: whatever it is, it finds the same."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from generate import haystacks, packs
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import hits, hits_of

from vyre_dist import EngineConfig, RulePack
from vyre_dist.autotune.choice import DEFAULT_CHOICE, Choice
from vyre_dist.dispatch.report import SpeculationReport
from vyre_dist.engine import ScanEngine
from vyre_dist.engine.reported import Reporter
from vyre_dist.engine.tasks import Challenge, Piece, ScanTask, TaskResult
from vyre_dist.extract import Window
from vyre_dist.finding import Finding
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome
from vyre_dist.kernels.tuned import COMPILING, READY

PACK = RulePack.from_patterns({"token": "token=[0-9a-f]{8}", "key": "key[0-9]+"})
TEXT = b"some text, token=deadbeef and key12 " * 20
SERIAL, FUSED = Choice.of(lane="serial"), Choice.of(lane="fused")
LONG = 10**12


def engine(**config: Any) -> ScanEngine:
    return ScanEngine(PACK.data, EngineConfig(backend="cpu", **config))


def task(
    choice: Choice = DEFAULT_CHOICE,
    trial: Challenge | None = None,
    texts: Sequence[bytes] = (TEXT,),
) -> ScanTask:
    pieces = [Piece(i, f"d{i}", len(t), 0, len(t), inline=t) for i, t in enumerate(texts)]
    return ScanTask(tuple(pieces), choice, trial=trial)


def rows(result: TaskResult) -> list[object]:
    return list(result.findings)


WANT = rows(engine().run(task()))


def test_a_pair_is_of_the_same_bytes() -> None:
    """Both run on each dispatch's bytes, one of them counts, and the pair says what both took."""
    own = engine()
    size = own.backend.dispatch_bytes
    text = TEXT.ljust(size, b".")
    result = own.run(task(trial=Challenge(SERIAL, 2, LONG), texts=[text] * 3))
    assert rows(result) == rows(engine().run(task(texts=[text] * 3)))
    assert (result.fused, result.serial, result.documents) == (3, 0, 3)
    assert [pair.bytes for pair in result.pairs] == [size] * 2
    for pair in result.pairs:
        assert (pair.challenger, pair.equal, pair.refused) == (SERIAL, True, "")
        assert pair.workload == "some-large"
        assert pair.log_ratio == pytest.approx(math.log(pair.challenger_ns / pair.incumbent_ns))
    assert (result.ran, result.unfit) == (DEFAULT_CHOICE, "")
    # processor time of the pairs, and the first run
    assert result.tried_ns > sum(pair.challenger_ns for pair in result.pairs)
    assert own.run(task()).tried_ns == 0


def test_each_comes_first_once_of_two_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a challenger's first run is not timed."""
    own = engine()
    ran: list[str] = []

    def noted(name: str, do: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            ran.append(name)
            return do(*arguments)

        return run

    for name in ("start_fused", "run_prefilter"):
        monkeypatch.setattr(own.backend, name, noted(name[-5:], getattr(own.backend, name)))
    assert not own.run(task(trial=Challenge(SERIAL, 1, LONG))).pairs  # it warms up
    for _ in range(40):
        assert own.run(task(trial=Challenge(SERIAL, 1, LONG))).pairs
    fused, serial = "fused", "ilter"
    assert ran[:2] == [fused, serial]
    pairs = [tuple(ran[i : i + 2]) for i in range(2, 82, 2)]
    assert pairs.count((fused, serial)) == pairs.count((serial, fused)) == 20


def test_time_is_limited() -> None:
    """A second pair begins only if it will end in time."""
    text = TEXT.ljust(2 << 20, b".")
    own = engine()
    for pairs in (0, 1, 1):  # the first run warms up
        limited = own.run(task(trial=Challenge(SERIAL, 9, 1), texts=[text] * 3))
        assert len(limited.pairs) == pairs
    assert len(own.run(task(trial=Challenge(SERIAL, 9, LONG), texts=[text] * 3)).pairs) == 3
    assert not engine().run(task(trial=Challenge(SERIAL, 0, LONG))).pairs


def test_documents_of_another_size_are_left_alone() -> None:
    """A trial is about a class of work, and how large documents are is known before a scan."""
    small, large = [TEXT] * 9, [TEXT.ljust(2 << 20, b".")]
    own = engine()
    own.run(task(trial=Challenge(SERIAL, 1, LONG)))
    for texts, size in ((small, "small"), (large, "large")):
        for about in ("many-small", "rare-large", ""):
            result = own.run(task(trial=Challenge(SERIAL, 1, LONG, about), texts=texts))
            assert bool(result.pairs) is (not about or about.endswith(size))


def test_a_challenger_that_fails_costs_itself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes first; it is not run again in that task."""
    own = engine()
    calls = 0

    def fails(*_: object) -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError("no\nluck")

    monkeypatch.setattr(own.backend, "confirm", fails)
    text = TEXT.ljust(2 << 20, b".")
    for turn in range(1, 5):
        result = own.run(task(trial=Challenge(SERIAL, 5, LONG), texts=[text] * 2))
        assert rows(result) == rows(engine().run(task(texts=[text] * 2)))
        (pair,) = result.pairs
        assert pair.refused == "RuntimeError no luck"
        assert (pair.incumbent_ns, pair.challenger_ns, calls) == (0, 0, turn)


def test_a_challenger_that_finds_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The incumbent's findings count, and the pair says so."""
    own = engine()
    confirm = own.backend.confirm

    def loses(windows: Sequence[Window], output: Any) -> DispatchOutcome:
        outcome = confirm(windows, output)
        return replace(outcome, spans={w: spans[1:] for w, spans in outcome.spans.items()})

    monkeypatch.setattr(own.backend, "confirm", loses)
    result = own.run(task(trial=Challenge(SERIAL, 5, LONG)))
    assert rows(result) == WANT
    (pair,) = result.pairs
    assert not pair.equal
    assert "something else" in pair.refused
    # as the incumbent it is found out by the default
    result = own.run(task(SERIAL, Challenge(FUSED, 5, LONG)))
    assert rows(result) == WANT
    assert (result.pairs, result.unfit) == ([], "it found something else than the default does")
    result = own.run(task(SERIAL))
    assert rows(result) == WANT
    assert result.ran == DEFAULT_CHOICE


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        (Choice.of(warp="9"), "a choice of warp: this version takes"),
        (Choice.of(lane="third"), "a lane 'third': use fused or serial"),
        (Choice.of(lane=1), "a lane 1"),
        (Choice.of(dispatch_bytes=1), "dispatch_bytes of a choice must be 65536 to 8388608 here"),
        (Choice.of(dispatch_bytes=1 << 30), "found 1073741824"),
        (Choice.of(threshold_pct="15"), "threshold_pct of a choice must be 0 to 1000"),
    ],
)
def test_what_can_not_be_run(choice: Choice, why: str) -> None:
    """As a choice the default runs in its place; as a challenger it is refused. Both say why."""
    own = engine()
    result = own.run(task(choice))
    assert why in result.unfit
    assert (rows(result), result.ran) == (WANT, DEFAULT_CHOICE)
    assert own.run(task(FUSED)).unfit == ""
    result = own.run(task(trial=Challenge(choice, 5, LONG)))
    (pair,) = result.pairs
    assert why in pair.refused
    assert (rows(result), result.unfit) == (WANT, "")


def test_what_is_for_another_backend() -> None:
    """A GPU's choice is neither run nor refused where there is none."""
    own, threads = engine(), Choice.of(threads=512)
    result = own.run(task(threads, Challenge(Choice.of(unroll=2), 5, LONG)))
    assert (rows(result), result.ran, result.unfit) == (WANT, DEFAULT_CHOICE, "")
    assert not result.pairs


def test_a_pair_is_with_the_tasks_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as that is compiled, the default runs, and is compared with nobody."""
    own = engine()
    state = COMPILING
    monkeypatch.setattr(own.backend, "prepare", lambda choice: state if choice == FUSED else READY)
    result = own.run(task(FUSED, Challenge(SERIAL, 5, LONG)))
    assert (result.pairs, result.ran, result.unfit) == ([], DEFAULT_CHOICE, "")
    assert rows(result) == WANT
    state = READY
    own.run(task(FUSED, Challenge(SERIAL, 5, LONG)))
    result = own.run(task(FUSED, Challenge(SERIAL, 5, LONG)))
    assert (len(result.pairs), result.ran) == (1, FUSED)


def test_lanes() -> None:
    """Serial is so at every commit rate, but for a probe; fused is so, too."""
    own = engine(probe_every=5)
    runs = [own.run(task(SERIAL)) for _ in range(20)]
    assert [r.fused for r in runs] == [0, 0, 0, 0, 1] * 4
    assert all(rows(r) == WANT and r.ran == SERIAL for r in runs)
    for choice, fused in ((DEFAULT_CHOICE, 4), (FUSED, 20)):
        own = engine(probe_every=5, threshold_pct=100)
        learned = own.speculator.speculator
        results = []
        for _ in range(20):
            while learned.enabled:  # what it learned elsewhere
                learned.record(SpeculationReport(0, 1))
            results.append(own.run(task(choice)))
        assert sum(r.fused for r in results) == fused


def test_a_threshold() -> None:
    """It holds as long as the choice does."""
    own = engine(threshold_pct=20)
    own.run(task(Choice.of(threshold_pct=40)))
    assert own.speculator.speculator.threshold_ppm == 400_000
    own.run(task(FUSED))
    assert own.speculator.speculator.threshold_ppm == 200_000


@pytest.mark.parametrize("mode", ["force", "disable"])
def test_the_users_lane_holds(mode: str) -> None:
    """Whatever is chosen; and other lanes are no challengers."""
    own = engine(speculation=mode)
    for choice in (SERIAL, FUSED, DEFAULT_CHOICE):
        result = own.run(task(choice, Challenge(Choice.of(lane="fused", threshold_pct=9), 5, LONG)))
        assert (result.fused, result.serial) == ((1, 0) if mode == "force" else (0, 1))
        assert "--speculation" in result.pairs[0].refused
    trial = Challenge(Choice.of(dispatch_bytes=1 << 20), 5, LONG)
    assert not own.run(task(trial=trial)).pairs
    (pair,) = own.run(task(trial=trial)).pairs
    assert pair.refused == ""


@pytest.mark.parametrize("size", [64 << 10, 1 << 20, 4 << 20])
def test_sizes_of_dispatches(size: int) -> None:
    """A dispatch has what is chosen; a trial has the same windows in one, and in several."""
    own = engine()
    texts = [TEXT.ljust(100_000, b".")] * 90
    want = rows(engine().run(task(texts=texts)))
    chosen = Choice.of(dispatch_bytes=size)
    result = own.run(task(chosen, texts=texts))
    assert rows(result) == want
    per_dispatch = -(-size // 100_000)
    assert result.fused + result.serial == -(-90 // per_dispatch)
    result = own.run(task(trial=Challenge(chosen, 1, LONG), texts=texts))
    (pair,) = result.pairs
    assert rows(result) == want
    assert pair.bytes == -(-max(size, 2 << 20) // 100_000) * 100_000


CHOICES = st.sampled_from(
    [
        DEFAULT_CHOICE,
        SERIAL,
        FUSED,
        Choice.of(dispatch_bytes=64 << 10),
        Choice.of(dispatch_bytes=8 << 20, lane="serial"),
        Choice.of(threshold_pct=1),
        Choice.of(threads=512),
        Choice.of(nonsense=1),
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    packs(),
    st.lists(st.lists(haystacks(), min_size=1, max_size=4), min_size=1, max_size=4),
    st.data(),
    st.sampled_from(["cpu", "reference"]),
)
def test_findings_are_the_oracles_whatever_is_chosen(
    patterns: dict[str, str], batches: list[list[bytes]], data: st.DataObject, backend: str
) -> None:
    """In whatever order choices and challengers come."""
    pack = RulePack.from_patterns(patterns)
    own = ScanEngine(pack.data, EngineConfig(backend=backend, probe_every=2))
    random.seed(data.draw(st.integers(0, 99)))
    for texts in batches:
        trial = None
        if (challenger := data.draw(st.none() | CHOICES)) is not None:
            trial = Challenge(challenger, data.draw(st.integers(0, 3)), LONG)
        result = own.run(task(data.draw(CHOICES), trial, texts))
        assert all(pair.equal for pair in result.pairs)
        found: list[list[Finding]] = [[] for _ in texts]
        for document, finding in Reporter(pack.data.rules).findings(result.findings, str):
            found[document].append(finding)
        assert [hits_of(each) for each in found] == [hits(patterns, text) for text in texts]
