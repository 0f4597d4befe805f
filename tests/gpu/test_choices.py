"""Choices on a GPU: other instances of the programs beside the running ones, for whoever asks."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from generate import haystacks, packs
from gpu_device import Gpu
from gpu_services import listening, served
from gpu_support import PATTERNS, TUNABLES, random_document
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import hits, hits_of

from vyre_dist import EngineConfig, RulePack
from vyre_dist.autotune.choice import DEFAULT_CHOICE, Choice
from vyre_dist.engine import ScanEngine
from vyre_dist.engine.reported import Reporter
from vyre_dist.engine.tasks import Challenge, Piece, ScanTask, TaskResult
from vyre_dist.errors import UsageError, WorkerUnusableError
from vyre_dist.extract.window import whole
from vyre_dist.finding import Finding
from vyre_dist.kernels.cuda import device as device_module
from vyre_dist.kernels.cuda.backend import CudaBackend
from vyre_dist.kernels.cuda.device_pack import DEFAULT_TUNABLES, DevicePack
from vyre_dist.kernels.cuda.nvrtc import KernelCompileError
from vyre_dist.kernels.cuda.remote_lane import RemoteLane
from vyre_dist.kernels.tuned import READY
from vyre_dist.program import ArtifactCache, compile_pack
from vyre_dist.program.tunables import Tunables

PACK = RulePack.from_patterns({f"r{i}": pattern for i, pattern in enumerate(PATTERNS)})
COMPILED = compile_pack(PACK.data)
PATIENCE = 60.0
OTHER = replace(TUNABLES[3], tile_bytes=512)
LONG = 10**12


def chosen(tunables: Tunables, **more: int | str) -> Choice:
    """The choice of all of them."""
    names = ("threads", "unroll", "tile_bytes", "bitmap_bits", "blocks_per_sm")
    return Choice.of(**dict(zip(names, tunables.plain(), strict=True)), **more)


def until_ready(prepare: Callable[[], str]) -> None:
    """Returns when `prepare` says READY."""
    end = time.monotonic() + PATIENCE
    while prepare() != READY:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_two_instances_side_by_side(gpu: Gpu, tmp_path: Path) -> None:
    """One client goes over to another instance, and what it has on its way ends as it began;
    another client goes on as before. Their tiles tell which one ran.
    """
    del gpu
    windows = [whole(b"int x;\n" * 100 + b"token=deadbeef\n" * 60) for _ in range(4)]
    device_pack = DevicePack(COMPILED, ArtifactCache(None))
    cuda = [
        CudaBackend(
            COMPILED,
            ArtifactCache(None),
            DevicePack(COMPILED, ArtifactCache(None), tunables=each).lane(),
        )
        for each in (None, OTHER)
    ]
    small, large = (own.run_fused(windows) for own in cuda[::-1])
    assert small.report is not None and large.report is not None
    assert small.report.committed_tiles > large.report.committed_tiles
    here = CudaBackend(COMPILED, ArtifactCache(None), device_pack.lane())
    until_ready(lambda: here.prepare(chosen(OTHER)))
    begun = here.start_fused(windows)
    here.choose(chosen(OTHER))
    assert begun() == large
    assert here.run_fused(windows) == small
    with served(device_pack, tmp_path) as address:
        one, two = (
            CudaBackend(COMPILED, ArtifactCache(None), RemoteLane(address)) for _ in range(2)
        )
        assert two.run_fused(windows) == large
        until_ready(lambda: one.prepare(chosen(OTHER)))
        on_its_way = one.start_fused(windows)
        one.choose(chosen(OTHER))
        assert on_its_way() == large
        assert one.run_fused(windows) == small
        assert two.run_fused(windows) == large
        assert one.confirm(windows, one.run_prefilter(windows)).spans == small.spans
        assert one.programs.fused.tunables == OTHER
        assert one.facts.tunables == device_pack.programs.tunables.plain()
        one.choose(DEFAULT_CHOICE)
        assert one.run_fused(windows) == large


def test_another_process_begins_with_its_own(gpu: Gpu, tmp_path: Path) -> None:
    """What the one before had compiled is asked for anew."""
    del gpu
    windows = [whole(b"token=deadbeef\n" * 60)]
    lane = RemoteLane(str(tmp_path / "socket"))
    backend = CudaBackend(COMPILED, ArtifactCache(None), lane)
    with served(DevicePack(COMPILED, ArtifactCache(None)), tmp_path):
        large = backend.run_fused(windows)
        until_ready(lambda: backend.prepare(chosen(OTHER)))
        backend.choose(chosen(OTHER))
        assert backend.run_fused(windows) != large
    with pytest.raises(WorkerUnusableError):
        backend.run_fused(windows)
    lane.hang_up()
    (tmp_path / "socket").unlink()
    with served(DevicePack(COMPILED, ArtifactCache(None)), tmp_path):
        assert backend.run_fused(windows) == large
        assert not lane._prepared
        until_ready(lambda: backend.prepare(chosen(OTHER)))
        backend.choose(chosen(OTHER))
        assert backend.run_fused(windows) != large


UNLAUNCHABLE = [
    (Choice.of(threads=1024, blocks_per_sm=4), "4 blocks of 1024 threads: a multiprocessor"),
    (Choice.of(threads=256, blocks_per_sm=4), "4 blocks with 131072 bytes of shared memory"),
    (Choice.of(threads=100), "threads must be a multiple of 32"),
    (Choice.of(threads="all"), "threads of a choice must be an int"),
    (Choice.of(confirm="host"), "a choice of confirm: this version takes"),
]


def test_what_the_device_can_not_launch(gpu: Gpu) -> None:
    """Nothing is compiled for it."""
    del gpu
    backend = CudaBackend(COMPILED, ArtifactCache(None))
    for choice, why in UNLAUNCHABLE:
        with pytest.raises(UsageError, match=why):
            backend.prepare(choice)
    assert backend.run_fused([whole(b"token=deadbeef")]).spans


def test_what_the_compiler_refuses(
    emulated_gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said to whoever asks, and the process goes on."""
    del emulated_gpu
    with served(DevicePack(COMPILED, ArtifactCache(None)), tmp_path) as address:
        backend = CudaBackend(COMPILED, ArtifactCache(None), RemoteLane(address))
        want = backend.run_fused([whole(b"token=deadbeef")])

        def refuses(kernel: str, *_: object) -> bytes:
            raise KernelCompileError(kernel, "sm_90", "too\nmany registers")

        monkeypatch.setattr(device_module, "compile_cubin", refuses)
        choice = chosen(replace(TUNABLES[3], unroll=3))
        with pytest.raises(UsageError, match="does not compile for sm_90: too many registers"):
            until_ready(lambda: backend.prepare(choice))
        with pytest.raises(UsageError, match="too many registers"):
            backend.prepare(choice)
        assert backend.run_fused([whole(b"token=deadbeef")]) == want


def test_a_client_that_uses_what_it_has_not_prepared(emulated_gpu: Gpu, tmp_path: Path) -> None:
    """It is let go of; the others are served."""
    del emulated_gpu
    windows = [whole(b"token=deadbeef")]
    with served(DevicePack(COMPILED, ArtifactCache(None)), tmp_path) as address:
        good, bad = (
            CudaBackend(COMPILED, ArtifactCache(None), RemoteLane(address)) for _ in range(2)
        )
        want = good.run_fused(windows)
        bad.choose(chosen(OTHER))
        with pytest.raises(WorkerUnusableError, match="owns the GPU is gone"):
            bad.run_fused(windows)
        assert good.run_fused(windows) == want


def engine_of(pack: RulePack, address: str = "") -> ScanEngine:
    return ScanEngine(pack.data, EngineConfig(backend="cuda", probe_every=2), address)


def task(texts: list[bytes], choice: Choice, trial: Challenge | None = None) -> ScanTask:
    pieces = [Piece(i, f"d{i}", len(t), 0, len(t), inline=t) for i, t in enumerate(texts)]
    return ScanTask(tuple(pieces), choice, trial=trial)


def run_until(done: Callable[[TaskResult], bool], run: Callable[[], TaskResult]) -> TaskResult:
    """The first result that is as wanted."""
    end = time.monotonic() + PATIENCE
    while not done(result := run()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return result


@pytest.mark.parametrize("shared", [False, True])
def test_a_worker_tries_and_takes_up_a_choice(gpu: Gpu, tmp_path: Path, shared: bool) -> None:
    """It scans on while a challenger is compiled, then compares both, and runs the winner."""
    del gpu
    texts = [random_document(random.Random(seed), 80) for seed in range(6)]
    winner = chosen(replace(OTHER, unroll=2), lane="serial")
    with served(DevicePack(COMPILED, ArtifactCache(None)), tmp_path) as address:
        own = engine_of(PACK, address if shared else "")
        result = run_until(
            lambda result: result.scanned.keys() == {"cuda"},
            lambda: own.run(task(texts, DEFAULT_CHOICE)),
        )
        want = list(result.findings)
        assert result.programs is not None and result.programs.adapter.startswith("cuda ")
        assert result.programs.limits["dispatch_bytes"] == 64 << 20

        def tried() -> TaskResult:
            result = own.run(task(texts, DEFAULT_CHOICE, Challenge(winner, 2, LONG)))
            assert (list(result.findings), result.ran) == (want, DEFAULT_CHOICE)
            return result

        result = run_until(lambda result: bool(result.pairs), tried)
        (pair,) = result.pairs
        assert (pair.challenger, pair.equal, pair.refused) == (winner, True, "")
        assert pair.incumbent_ns > 0 < pair.challenger_ns
        run_until(lambda result: result.ran == winner, lambda: own.run(task(texts, winner)))
        result = own.run(task(texts, winner))
        assert list(result.findings) == want
        assert result.programs is not None
        assert result.programs.tunables == DEFAULT_TUNABLES.plain()
        assert own.backend.programs.fused.tunables == replace(OTHER, unroll=2)
        result = own.run(task(texts, DEFAULT_CHOICE))
        assert (list(result.findings), result.ran) == (want, DEFAULT_CHOICE)


def test_a_challenger_with_which_the_gpus_process_ends(
    emulated_gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The challenger is refused, and the processor does the incumbent's part."""
    del emulated_gpu
    texts = [b"token=deadbeef and more"]
    with served(DevicePack(COMPILED, ArtifactCache(None)), tmp_path) as address:
        own = engine_of(PACK, address)
        result = run_until(
            lambda result: result.scanned.keys() == {"cuda"},
            lambda: own.run(task(texts, DEFAULT_CHOICE)),
        )
        want, start = list(result.findings), RemoteLane.start

        def ends(lane: RemoteLane, arena: Any) -> None:
            if lane.tunables == OTHER:
                lane.hang_up()
                raise WorkerUnusableError("it is gone")
            start(lane, arena)

        monkeypatch.setattr(RemoteLane, "start", ends)
        challenge = Challenge(chosen(OTHER), 2, LONG)

        def tried() -> TaskResult:
            result = own.run(task(texts, DEFAULT_CHOICE, challenge))
            assert list(result.findings) == want
            return result

        (pair,) = run_until(lambda result: bool(result.pairs), tried).pairs
        assert pair.refused == "the process that owns the GPU ended with it"


def test_before_the_gpu_is_ready(emulated_gpu: Gpu, tmp_path: Path) -> None:
    """What is chosen is chosen for the GPU: the processor runs as it does by default."""
    del emulated_gpu
    texts = [b"token=deadbeef and more"]
    serial, fused = Choice.of(lane="serial"), Choice.of(lane="fused")
    with listening(tmp_path) as (address, _):
        own = engine_of(PACK, address)
        result = own.run(task(texts, serial, Challenge(fused, 5, LONG)))
        assert result.scanned.keys() == {"cpu"}
        assert (result.ran, result.unfit, result.pairs) == (DEFAULT_CHOICE, "", [])
        assert result.programs is None


def test_auto_tunes_the_processors_part(gpu: Gpu, tmp_path: Path) -> None:
    """Where a GPU may be the faster one, what is tried and chosen is the processor's."""
    del gpu
    texts = [random_document(random.Random(seed), 80) for seed in range(6)]
    serial = Choice.of(lane="serial")
    with served(DevicePack(COMPILED, ArtifactCache(None)), tmp_path) as address:
        own = ScanEngine(PACK.data, EngineConfig(backend="auto"), address)
        want = list(own.run(task(texts, DEFAULT_CHOICE)).findings)
        scanned: set[str] = set()
        tried, end = 0, time.monotonic() + PATIENCE
        while scanned != {"cpu", "cuda"} or tried < 9:
            assert time.monotonic() < end
            for choice in (DEFAULT_CHOICE, serial):
                other = serial if choice.is_default else Choice.of(lane="fused")
                result = own.run(task(texts, choice, Challenge(other, 1, LONG)))
                assert list(result.findings) == want
                assert result.programs is not None
                assert result.programs.adapter.startswith("cpu ")
                if result.pairs:
                    assert result.scanned.keys() == {"cpu"}
                    tried += 1
                result = own.run(task(texts, choice))  # trials do not count for the comparison
                assert list(result.findings) == want
                scanned |= result.scanned.keys()


GPU_CHOICES = [
    DEFAULT_CHOICE,
    Choice.of(lane="serial"),
    Choice.of(dispatch_bytes=64 << 10, lane="fused"),
    chosen(TUNABLES[3]),
    chosen(OTHER, lane="serial"),
    Choice.of(blocks_per_sm=32),
    Choice.of(nonsense=1),
]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(packs(), st.lists(st.lists(haystacks(), min_size=1, max_size=3), min_size=1), st.data())
def test_findings_are_the_oracles_whatever_is_chosen(
    emulated_gpu: Gpu, patterns: dict[str, str], batches: list[list[bytes]], data: st.DataObject
) -> None:
    """In whatever order choices and challengers come, compiled or not."""
    del emulated_gpu
    pack = RulePack.from_patterns(patterns)
    own = engine_of(pack)
    for texts in batches:
        challenger = data.draw(st.none() | st.sampled_from(GPU_CHOICES))
        trial = None if challenger is None else Challenge(challenger, 2, LONG)
        result = own.run(task(texts, data.draw(st.sampled_from(GPU_CHOICES)), trial))
        assert all(pair.equal for pair in result.pairs)
        found: list[list[Finding]] = [[] for _ in texts]
        for document, finding in Reporter(pack.data.rules).findings(result.findings, str):
            found[document].append(finding)
        assert [hits_of(each) for each in found] == [hits(patterns, text) for text in texts]
