"""The fused program's counter tail against a count of its own, and what becomes of it: sums and
choices.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest
import slow_programs
from generate import haystacks, packs
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples
from oracle import chain

from vyre_dist import EngineConfig, RulePack, Scanner
from vyre_dist.dispatch.backend import DispatchConfig, SpeculationMode
from vyre_dist.dispatch.prefilter_confirm import dispatch_prefilter_confirm
from vyre_dist.dispatch.report import (
    MergedReport,
    SpeculationReport,
    encode_counter_tail,
    merge,
    parse_counter_tail,
)
from vyre_dist.dispatch.speculator import AdaptiveSpeculator
from vyre_dist.engine import ScanEngine
from vyre_dist.engine.tasks import Piece, ScanTask
from vyre_dist.errors import UsageError
from vyre_dist.extract.spans import decode_spans, encode_spans
from vyre_dist.extract.window import whole
from vyre_dist.kernels import open_backend
from vyre_dist.kernels.contract import ContractBackend
from vyre_dist.kernels.reference import arena_of
from vyre_dist.kernels.scan_backend import PrefilterOutput
from vyre_dist.program import compile_pack
from vyre_dist.program.pack_tables import load_tables
from vyre_dist.program.scan_program import ScanProgram
from vyre_dist.rules.model import PackData, Rule

BACKENDS = ["cpu", "reference"]
CONFIG = DispatchConfig()


@settings(max_examples=examples(250))
@given(
    patterns=packs(),
    documents=st.lists(haystacks(), min_size=1, max_size=6),
    backend=st.sampled_from(BACKENDS),
)
def test_tiles_are_counted_once(
    patterns: dict[str, str], documents: list[bytes], backend: str
) -> None:
    """Each tile that was tried counts once, as committed or as rolled back; both paths give the
    oracle's spans.

    The cpu backend's tiles are windows, committed if they have spans. The reference's are bytes of
    the arena.
    """
    compiled = compile_pack(RulePack.from_patterns(patterns).data)
    b = open_backend(backend, compiled)
    windows = [whole(document) for document in documents]
    contract = ContractBackend(b)
    fused, prefilter = b.programs
    [output] = contract.dispatch(fused, windows, CONFIG)
    report = parse_counter_tail(output)
    assert report is not None
    spans = decode_spans(memoryview(output)[:-8])
    outcome = b.run_fused(windows)
    assert (outcome.spans, outcome.report, outcome.backend) == (spans, report, backend)
    matching = [
        w for w, d in enumerate(documents) if any(chain(p, d, 1 << 16) for p in patterns.values())
    ]
    assert list(spans) == matching
    listed = b.run_prefilter(windows)
    if backend == "cpu":
        tried = set(listed.rules)
        assert report == SpeculationReport(len(matching), len(tried) - len(matching))
    else:
        slow = slow_programs.run(
            load_tables(compiled), arena_of(windows), fused.tunables.tile_bytes, 1 << 16
        )
        assert report == SpeculationReport(slow.committed, slow.attempted - slow.committed)
    serial = b.confirm(windows, listed)
    assert (serial.spans, serial.report) == (spans, None)
    tickets = contract.dispatch(prefilter, windows, CONFIG)
    [buffer] = contract.confirm_serial(windows, tickets)
    assert bytes(buffer) == bytes(output)[:-8]


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_to_do(backend: str) -> None:
    """No windows, empty windows and no rules: a tail of zeros."""
    compiled = compile_pack(RulePack.from_patterns({"r": "a"}).data)
    b = open_backend(backend, compiled)
    nothing = open_backend(backend, compile_pack(PackData("no rules", ())))
    for own, windows in ((b, []), (b, [whole(b"")]), (nothing, [whole(b"a")])):
        [output] = ContractBackend(own).dispatch(own.programs.fused, windows, CONFIG)
        assert output == encode_counter_tail(SpeculationReport.empty())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_scan_backend_keeps_the_cores_contract(backend: str) -> None:
    """dispatch_prefilter_confirm on a scan backend: spans as buffers, the report of the tail, the
    same spans on both paths; another pack's program and an old ticket are refused.
    """
    b = open_backend(backend, compile_pack(GATED))
    contract, windows = ContractBackend(b), [whole(d) for d in documents(40, 3)[0]]
    speculator = AdaptiveSpeculator()
    ways = {}
    for mode in (SpeculationMode.FORCE, SpeculationMode.DISABLE):
        ways[mode] = dispatch_prefilter_confirm(
            contract,
            speculator,
            contract.plan,
            windows,
            DispatchConfig(mode),
            lambda outputs: contract.confirm_serial(windows, outputs),
        )
    fused, serial = ways[SpeculationMode.FORCE], ways[SpeculationMode.DISABLE]
    assert fused.outputs == serial.outputs == [encode_spans(b.run_fused(windows).spans)]
    assert len(fused.outputs[0]) >= 24 * 5
    assert (fused.report, serial.report) == (b.run_fused(windows).report, None)
    assert speculator.samples == 1
    with pytest.raises(UsageError, match="does not run fused"):
        contract.dispatch(ScanProgram("fused", "another pack"), windows, CONFIG)
    listed = contract.dispatch(b.programs.prefilter, windows, CONFIG)
    contract.dispatch(b.programs.fused, windows, CONFIG)
    with pytest.raises(UsageError, match="another dispatch since"):
        contract.confirm_serial(windows, listed)
    with pytest.raises(UsageError, match="give it what its own run_prefilter has listed"):
        b.confirm(windows, PrefilterOutput())


# A document of the first kind commits; in the second the keyword, which stands in for the regex,
# raises false hope; the third is not tried.
def documents(count: int, seed: int) -> tuple[list[bytes], Counter[str]]:
    rng = random.Random(seed)
    kinds = {
        "committed": b"keyword 1234567",
        "rolled back": b"a keyword alone",
        "untried": b"nothing here at all",
    }
    chosen = [rng.choice(list(kinds)) for _ in range(count)]
    return [kinds[kind] + b"\n" * rng.randrange(40) for kind in chosen], Counter(chosen)


GATED = PackData("p", (Rule("gated", "[0-9]{7}", keywords=("keyword",)),))


def test_a_scan_adds_its_tails_up() -> None:
    """Over many dispatches, commits and rollbacks are the documents that had, and had not, what
    made them candidates.
    """
    docs, kinds = documents(2000, 1)
    pieces = [Piece(i, f"d{i}", len(d), 0, len(d), inline=d) for i, d in enumerate(docs)]
    engine = ScanEngine(GATED, EngineConfig(speculation="force"))
    result = engine.run(ScanTask(tuple(pieces)))
    assert (result.committed, result.rolled_back) == (kinds["committed"], kinds["rolled back"])
    assert result.fused > 1
    assert result.serial == 0
    assert len(result.findings) == kinds["committed"]


def test_sum_does_not_depend_on_order() -> None:
    """Shards merged in any order, and in groups, give the same report; each counts once."""
    reports = []
    for seed in range(9):
        docs, _ = documents(50 + seed, seed)
        engine = ScanEngine(GATED, EngineConfig(speculation="force"))
        pieces = [Piece(i, f"d{i}", len(d), 0, len(d), inline=d) for i, d in enumerate(docs)]
        result = engine.run(ScanTask(tuple(pieces)))
        assert result.fused == 1
        reports.append(MergedReport(result.committed, result.rolled_back, 1))
    total = merge(reports)
    assert total.shards == 9
    assert total.attempted_tiles == sum(r.attempted_tiles for r in reports)
    rng = random.Random(3)
    for _ in range(20):
        rng.shuffle(reports)
        middle = rng.randrange(9)
        assert merge([merge(reports[:middle]), merge(reports[middle:])]) == total


def scan_many(scanner: Scanner, document: bytes, dispatches: int) -> None:
    for _ in range(dispatches):
        scanner.scan(document)


def test_auto_mode_follows_the_data() -> None:
    """Documents that are rolled back switch speculation off, probes go on, and documents that
    commit switch it on again.
    """
    config = EngineConfig(speculation="auto", threshold_pct=20, probe_every=5)
    scanner = Scanner(GATED, config=config)
    speculator = scanner.engine.speculator
    scan_many(scanner, b"keyword 1234567", 12)
    assert speculator.speculator.enabled
    scan_many(scanner, b"keyword alone", 20)
    assert not speculator.speculator.enabled
    samples, probes = speculator.speculator.samples, speculator.probes
    scan_many(scanner, b"keyword alone", 50)
    assert speculator.probes - probes == 10
    assert speculator.speculator.samples - samples == 10
    assert not speculator.speculator.enabled
    scan_many(scanner, b"keyword 1234567", 40)
    assert speculator.speculator.enabled
    # documents that are not even tried are no evidence
    samples = speculator.speculator.samples
    scan_many(scanner, b"nothing", 10)
    assert speculator.speculator.samples == samples


@pytest.mark.parametrize(("mode", "fused"), [("force", 30), ("disable", 0)])
def test_forced_and_disabled_modes_do_as_told(mode: str, fused: int) -> None:
    """The caller's choice holds for every dispatch, the first ones included; results are the
    same.
    """
    engine = ScanEngine(GATED, EngineConfig(speculation=mode))
    data = b"keyword 1234567"
    results = [
        engine.run(ScanTask((Piece(0, "d", len(data), 0, len(data), inline=data),)))
        for _ in range(30)
    ]
    assert sum(r.fused for r in results) == fused
    assert sum(r.serial for r in results) == 30 - fused
    assert all(len(r.findings) == 1 and not r.pairs for r in results)
