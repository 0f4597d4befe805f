"""GpuStream: batches overlap, and what comes out is what a Scanner finds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from gpu_device import Gpu
from gpu_support import PATTERNS, random_document

from vyre_dist import RulePack, Scanner
from vyre_dist.errors import UsageError
from vyre_dist.program import ArtifactCache, compile_pack

PACK = RulePack.from_patterns({f"r{i}": pattern for i, pattern in enumerate(PATTERNS)})


def test_batches_overlap_and_agree(gpu: Gpu) -> None:
    """Documents through three small slots give the Scanner's findings, batch by batch, in order."""
    from vyre_dist.kernels.cuda.device_pack import DevicePack
    from vyre_dist.stream import ExtractionPool, GpuStream

    rng = random.Random(21)
    count, slot_bytes = gpu.amount(400, 30), gpu.amount(1 << 20, 1 << 16)
    documents = [(n, f"d{n}", random_document(rng, 2000)) for n in range(count)]
    want = Scanner(PACK, backend="cpu").scan_batch([(path, data) for _, path, data in documents])
    compiled = compile_pack(PACK.data)
    device_pack = DevicePack(compiled, ArtifactCache(None))
    with (
        ExtractionPool(PACK.data, compiled, device_pack.reading, workers=2) as pool,
        GpuStream(device_pack, PACK.data, pool, slots=3, slot_bytes=slot_bytes) as stream,
    ):
        batches = list(stream.scan(documents))
        totals = stream.totals
        big = [(0, "big", b"x" * (slot_bytes + 1))]
        with pytest.raises(UsageError, match=f"big has {slot_bytes + 1} bytes"):
            list(stream.scan(big))
    assert len(batches) > 4
    assert [number for batch, _ in batches for number in batch.numbers] == list(range(count))
    rules = [rule.id for rule in PACK.rules]
    got = [
        (row.document, rules[row.rule], row.start, row.end) for _, rows in batches for row in rows
    ]
    expected = [(n, f.rule_id, f.start, f.end) for n, own in enumerate(want) for f in own]
    assert len(expected) > 12 * count
    assert sorted(got) == sorted(expected)
    assert totals.documents == count
    assert totals.bytes == sum(len(data) for _, _, data in documents)
    assert totals.report.committed_tiles > 0


def test_paths_count(gpu: Gpu, tmp_path: Path) -> None:
    """A global allowlist's paths are left out and counted; a rule that looks at paths only has its
    findings.
    """
    del gpu
    from vyre_dist.kernels.cuda.device_pack import DevicePack
    from vyre_dist.stream import ExtractionPool, GpuStream

    file = tmp_path / "pack.toml"
    file.write_text(
        '[[rules]]\nid = "token"\nregex = "tok_[a-z]{6}"\n[[rules]]\nid = "key-file"\npath = "\\\\.pem$"\n'
        '[[allowlists]]\npaths = ["^vendor/"]\n'
    )
    pack = RulePack.load(file)
    compiled = compile_pack(pack.data)
    device_pack = DevicePack(compiled, ArtifactCache(None))
    documents = [(0, "vendor/a", b"tok_abcdef"), (1, "b", b"tok_abcdef"), (2, "c.pem", b"nothing")]
    with (
        ExtractionPool(pack.data, compiled, device_pack.reading, workers=1) as pool,
        GpuStream(device_pack, pack.data, pool, slots=2, slot_bytes=1 << 20) as stream,
    ):
        rows = [row for _, own in stream.scan(documents) for row in own]
        assert stream.totals.skipped == 1
        files = []
        for number, path, text in documents:
            (tmp_path / str(number)).write_bytes(text)
            files.append((number, path, str(tmp_path / str(number))))
        files.append((3, "gone.pem", str(tmp_path / "gone")))
        from_files = [row for _, own in stream.scan_files(files) for row in own]
        assert [(number, reason) for number, reason, _ in stream.problems] == [(3, "vanished")]
    for each in (rows, from_files):
        assert sorted((row.document, pack.rules[row.rule].id) for row in each) == [
            (1, "token"),
            (2, "key-file"),
        ]
