"""The cuda backend behind Scanner and the dispatcher: the findings are the cpu backend's."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from gpu_device import Gpu, fill_device
from gpu_support import PATTERNS, random_document
from split_scans import split_at

from vyre_dist import RulePack, Scanner
from vyre_dist.extract.window import whole
from vyre_dist.kernels import open_backend
from vyre_dist.kernels.cuda import CudaBackend, DevicePack
from vyre_dist.kernels.reference import ReferenceBackend
from vyre_dist.program import ArtifactCache, compile_pack

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("speculation", ["force", "disable", "auto"])
def test_random_documents(gpu: Gpu, speculation: str) -> None:
    """Random documents and packs give the cpu backend's findings on both paths, at shard sizes that
    cut everything.
    """
    rng = random.Random(3)
    pack = RulePack.from_patterns({f"r{i}": pattern for i, pattern in enumerate(PATTERNS)})
    documents = [random_document(rng, 40) for _ in range(gpu.amount(60, 8))]
    cpu = Scanner(pack, backend="cpu")
    want = [cpu.scan(document) for document in documents]
    assert sum(map(len, want)) > gpu.amount(100, 30)
    scanner = Scanner(pack, backend="cuda", speculation=speculation)
    for shard_bytes in (16 << 20, 100, 7):
        split_at(scanner, shard_bytes)
        assert [scanner.scan(document) for document in documents] == want


def test_examples(gpu: Gpu) -> None:
    """The corpus in examples/ gives the same findings with the built-in pack."""
    del gpu
    found = {}
    for backend in ("cpu", "cuda"):
        result = Scanner(RulePack.builtin(), backend=backend).scan_paths([str(ROOT / "examples")])
        found[backend] = list(result)
    assert len(found["cpu"]) >= 50
    assert found["cuda"] == found["cpu"]


def test_a_backends_programs_name_the_tunables_that_run(gpu: Gpu) -> None:
    """The tiles that the cuda backend and the reference count are of the size that their programs
    name: by default the DevicePack's; and programs that differ in it have different keys.
    """
    del gpu
    cache = ArtifactCache(None)
    pack = compile_pack(RulePack.from_patterns({"token": PATTERNS[0]}).data)
    default = DevicePack(pack, cache).programs.tunables
    text = (b"int x;\n" * 1000 + b"token=deadbeef\n") * 4
    committed, keys = {}, {open_backend("cuda", pack).programs.fused.spec_key}
    assert open_backend("cuda", pack).programs.fused.tunables == default
    for tile_bytes in (512, 64 << 10):
        tunables = replace(default, tile_bytes=tile_bytes)
        cuda = CudaBackend(pack, cache, DevicePack(pack, cache, tunables=tunables).lane())
        for own in (cuda, ReferenceBackend(pack, cache, tunables)):
            assert own.programs.fused.tunables == own.programs.prefilter.tunables == tunables
            report = own.run_fused([whole(text)]).report
            assert report is not None
            committed[own.name, tile_bytes] = report.committed_tiles
            if own is cuda:
                keys.add(own.programs.fused.spec_key)
    assert committed["reference", 512] == committed["cuda", 512] == 4
    assert committed["reference", 64 << 10] == committed["cuda", 64 << 10] == 1
    assert len(keys) == 2


@pytest.mark.gpu
def test_out_of_memory_halves_the_batch(real_gpu: Gpu) -> None:
    """With too little device memory for all windows at once they go in halves, and give the same
    spans and tiles.
    """
    import cupy

    from vyre_dist.extract.window import whole
    from vyre_dist.kernels.cuda.backend import CudaBackend
    from vyre_dist.kernels.cuda.errors import DeviceMemoryError
    from vyre_dist.program import ArtifactCache, compile_pack

    pack = RulePack.from_patterns({"token": PATTERNS[0]})
    backend = CudaBackend(compile_pack(pack.data), ArtifactCache(None))
    text = b"int x;\n" * 1_000_000 + b"token=deadbeef\n"
    windows = [whole(text) for _ in range(24)]
    want = backend.run_fused(windows)
    backend.lane._forget()
    hog = fill_device(real_gpu.device, 120 << 20)
    try:
        got = backend.run_fused(windows)
        serial = backend.confirm(windows, backend.run_prefilter(windows))
        with pytest.raises(DeviceMemoryError, match="smaller --shard-size"):
            backend.run_fused([whole(b"." * (160 << 20))])
    finally:
        hog.clear()
        cupy.get_default_memory_pool().free_all_blocks()
    assert got.spans == serial.spans == want.spans
    assert sum(map(len, want.spans.values())) == 24
    assert backend.run_fused(windows) == want


@pytest.mark.gpu
def test_command_line(real_gpu: Gpu, tmp_path: Path) -> None:
    """`scan --backend cuda` in worker processes finds what `scan --backend cpu` finds."""
    del real_gpu
    import subprocess
    import sys

    found = {}
    for backend in ("cpu", "cuda"):
        file = tmp_path / f"{backend}.jsonl"
        command = [
            sys.executable,
            "-m",
            "vyre_dist",
            "scan",
            "--backend",
            backend,
            "--workers",
            "2",
        ]
        done = subprocess.run(
            [*command, "--pool", "local", "-f", f"jsonl={file}", str(ROOT / "examples")],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1, done.stderr
        # the last line is the summary, which has times
        found[backend] = file.read_text().splitlines()[:-1]
    assert len(found["cpu"]) >= 50
    assert found["cuda"] == found["cpu"]
