"""Audits find faults that are planted in the backends, and name the document."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from vyre_dist import Scanner
from vyre_dist.extract import Span
from vyre_dist.input_problem import AUDIT_DIFFERS
from vyre_dist.kernels import backends
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome
from vyre_dist.library.result import ScanResult

PATTERNS = {"tok": "tok_[a-z]+", "lazy": "(?s)beg.*?end", "word": r"\bkey\b", "line": "(?m)^#.*$"}
TEXT = b"# one\nkey tok_abc beg tok_de end\n# two\n" * 3
FaultIn = Callable[[dict[int, list[Span]]], None]


def drop_one(spans: dict[int, list[Span]]) -> None:
    """One match is not found."""
    window = min(spans)
    own = sorted(spans[window])
    spans[window] = [span for span in own if span != next(s for s in own if s.rule == 0)]


def add_one(spans: dict[int, list[Span]]) -> None:
    """Something is found that is no match."""
    window = min(spans)
    spans[window] = sorted([*spans[window], Span(1, 0, 4, 0)])


def shift_one(spans: dict[int, list[Span]]) -> None:
    """A match is found a byte later than it is."""
    window = min(spans)
    own = sorted(spans[window])
    at = next(i for i, span in enumerate(own) if span.rule == 0)
    own[at] = own[at]._replace(start=own[at].start + 1)
    spans[window] = own


def shorten_one(spans: dict[int, list[Span]]) -> None:
    """A match ends a byte before it does."""
    window = min(spans)
    own = sorted(spans[window])
    at = next(i for i, span in enumerate(own) if span.rule == 0)
    own[at] = own[at]._replace(end=own[at].end - 1)
    spans[window] = own


def plant(scanner: Scanner, fault: FaultIn) -> None:
    """Have the scanner's backend find something else, whichever path a dispatch takes."""
    backend = scanner.engine.backend

    def wrong(outcome: DispatchOutcome) -> DispatchOutcome:
        spans = {window: list(own) for window, own in outcome.spans.items()}
        if spans:
            fault(spans)
        return replace(outcome, spans=spans, groups={})

    start, confirm = backend.start_fused, backend.confirm

    def start_fused(windows):  # type: ignore[no-untyped-def]
        started = start(windows)
        return wrong(started) if isinstance(started, DispatchOutcome) else lambda: wrong(started())

    backend.start_fused = start_fused  # type: ignore[method-assign]
    backend.confirm = lambda windows, output: wrong(confirm(windows, output))  # type: ignore[method-assign]


@pytest.fixture(params=["cpu", "cpu without hyperscan", "reference", "cuda"])
def scanner(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Scanner]:
    """Makes a scanner of each backend; the GPU is an emulated one."""
    name = request.param
    if name == "cuda":
        request.getfixturevalue("emulated_gpu")
    elif name == "cpu without hyperscan":
        monkeypatch.setattr(backends, "_why_no_hyperscan", lambda: "is left out here")
    elif name == "cpu":
        pytest.importorskip("hyperscan")

    def make(**options: int) -> Scanner:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            made = Scanner(PATTERNS, name.split()[0], no_cache=True, **options)
        expected = {"cpu": "CpuBackend", "cpu without hyperscan": "Re2CpuBackend"}
        kind = type(made.engine.backend).__name__
        assert kind == expected.get(name, kind)
        return made

    return make


def audited(scanner: Scanner, folder: Path) -> ScanResult:
    folder.mkdir(exist_ok=True)
    (folder / "faulty.txt").write_bytes(TEXT)
    (folder / "clean.txt").write_bytes(b"nothing here\n")
    return scanner.scan_paths(folder, audit=1)


@pytest.mark.parametrize("fault", [None, drop_one, add_one, shift_one, shorten_one])
def test_a_fault_in_a_backend_is_found(
    scanner: Callable[..., Scanner], fault: FaultIn | None, tmp_path: Path
) -> None:
    """A match that is missing, too much, or elsewhere: the audit names the document, rule and
    place, and neither match nor secret.
    """
    own = scanner()
    if fault is not None:
        plant(own, fault)
    result = audited(own, tmp_path / "d")
    totals = result.totals
    assert (totals.audited, totals.audited_bytes) == (2, len(TEXT) + 13)
    if fault is None:
        assert result.complete and totals.audit_differs == 0
        return
    (problem,) = result.problems
    assert not result.complete and totals.audit_differs == 1
    assert problem.path.endswith("faulty.txt") and problem.reason == AUDIT_DIFFERS
    assert "rule 'tok', at " in problem.detail
    assert "abc" not in problem.detail
    # the findings are reported as they were found
    assert len(result) > 3


def test_a_fault_in_pieces_is_found(scanner: Callable[..., Scanner], tmp_path: Path) -> None:
    """A match that a backend does not find in a piece is missing where the pieces are joined."""
    own = scanner(shard_bytes=32)
    plant(own, drop_one_if_any)
    result = audited(own, tmp_path / "d")
    assert [p.reason for p in result.problems] == [AUDIT_DIFFERS]
    assert result.totals.audited == 2


def drop_one_if_any(spans: dict[int, list[Span]]) -> None:
    if any(span.rule == 0 for span in spans[min(spans)]):
        drop_one(spans)
