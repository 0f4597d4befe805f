"""Devices that will not do are refused with what was found and what to do; on the emulated one,
which can be any.
"""

from __future__ import annotations

import random

import pytest
from gpu_device import Gpu
from gpu_support import PATTERNS, expected, found, random_document

from vyre_dist import RulePack
from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import execute_arena
from vyre_dist.errors import UsageError
from vyre_dist.kernels.cuda import scan
from vyre_dist.kernels.cuda.device import Device, DeviceUnusableError
from vyre_dist.kernels.cuda.device_pack import MAX_STEPS, SMALL_TUNABLES, DevicePack
from vyre_dist.program import ArtifactCache, compile_pack
from vyre_dist.program.tunables import Tunables


def properties(**changed: object) -> dict[str, object]:
    """What the driver says of the device, but for what is `changed`."""
    import cupy

    return {**cupy.cuda.runtime.getDeviceProperties(0), **changed}


def test_too_old(emulated_gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device below compute capability 8.0 is named, with the capability that is needed."""
    del emulated_gpu
    import cupy

    old = properties(major=7, minor=5, name=b"Tesla T4")
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceProperties", lambda _number: old)
    with pytest.raises(
        DeviceUnusableError, match=r"Tesla T4 is of compute capability 7\.5; 8\.0 .*--backend cpu"
    ):
        Device(ArtifactCache(None))


def test_none(emulated_gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the driver sees no device, it is said where to look."""
    del emulated_gpu
    import cupy

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 0)
    with pytest.raises(DeviceUnusableError, match="CUDA_VISIBLE_DEVICES"):
        Device(ArtifactCache(None))


def test_too_little_shared_memory(emulated_gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance that needs more shared memory than a block or a multiprocessor has is refused,
    with both amounts.
    """
    del emulated_gpu
    import cupy

    small = properties(sharedMemPerBlockOptin=99 << 10, sharedMemPerMultiprocessor=100 << 10)
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceProperties", lambda _number: small)
    device = Device(ArtifactCache(None))
    with pytest.raises(
        UsageError, match=r"needs 139\d\d\d bytes .*101376 for a block .*fewer bitmap_bits"
    ):
        device.kernel(scan.instance(Tunables(bitmap_bits=20)))
    with pytest.raises(UsageError, match=r"with 2 blocks a multiprocessor needs 8\d+ bytes"):
        device.kernel(scan.instance(Tunables(threads=512, bitmap_bits=19, blocks_per_sm=2)))


def test_a_device_with_half_the_shared_memory(
    emulated_gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of compute capability 8.9 or 12.0 takes a smaller bitmap and fewer blocks, and finds the
    same.
    """
    del emulated_gpu
    import cupy

    small = properties(sharedMemPerBlockOptin=99 << 10, sharedMemPerMultiprocessor=100 << 10)
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceProperties", lambda _number: small)
    # positions for automata of 4 096 words
    patterns = [*PATTERNS, *(f"{letter}oken(?:a|b)*a(?:a|b){{60}}" for letter in "abcdefghijklmno")]
    pack = RulePack.from_patterns({f"r{i}": pattern for i, pattern in enumerate(patterns)})
    compiled = compile_pack(pack.data)
    device_pack = DevicePack(compiled, ArtifactCache(None))
    assert device_pack.programs.tunables == SMALL_TUNABLES
    assert device_pack.tables.nfa_words.size > 3072
    rng = random.Random(2)
    arena = Arena.lay_out(
        [random_document(rng, 100) + b" cokenabba" + b"ab" * 40 for _ in range(9)]
    )
    lane = device_pack.lane()
    got = found(lane.fused(arena))
    want = expected(
        execute_arena(
            device_pack.tables, arena, tile_bytes=SMALL_TUNABLES.tile_bytes, max_steps=MAX_STEPS
        )
    )
    assert got == want
    assert len(want[0]) > 100
