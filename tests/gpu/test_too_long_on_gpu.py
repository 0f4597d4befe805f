"""Matches longer than their rule's cap on the device: as many as google-re2 finds, in pieces,
documents and streams.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from gpu_device import Gpu
from oracle import compiled, hits, hits_of

from vyre_dist import RulePack, Scanner
from vyre_dist.engine.shards import cut
from vyre_dist.engine.tasks import Piece, ScanTask, StitchTask
from vyre_dist.program import ArtifactCache, compile_pack

PATTERNS = {
    "lazy": "(?s)tok_[^#]*?#",
    "greedy": "(?s)beg.*end",
    "tail": "foo(?:[^;]*bar)?",
    "word": r"\bkey_[a-z]+\b",
}
CAP = 2000
FILLER = b"lorem ipsum "


def documents() -> dict[str, bytes]:
    long, short = FILLER * 300, FILLER * 20
    return {
        "no match": long + b"tok_" + long + b"foo" + long,
        "one in the other": b"tok_" + long + b"tok_" + short + b"#" + short,
        "two and one that fits": (b"tok_" + long + b"#") * 2 + short + b"tok_" + short + b"#",
        "greedy over what fits": b"beg end " + long + b"beg " + long + b" end" + short,
        "a tail that is too far": b"foo " * 9 + long + b"bar; foo " + short + b"bar; foo" + short,
        "a long word": b"key_" + b"a" * 5000 + b" key_ab" + short,
    }


def too_long(pattern: str, text: bytes) -> int:
    return sum(m.end() - m.start() > CAP for m in compiled(pattern).finditer(text))


@pytest.mark.parametrize("name", documents())
def test_counts_on_the_device_are_google_re2s(gpu: Gpu, name: str) -> None:
    """The cuda backend's findings and capped matches are google-re2's, whatever the shard size."""
    text = documents()[name]
    want = sum(too_long(pattern, text) for pattern in PATTERNS.values())
    assert want == {"no match": 0, "two and one that fits": 2}.get(name, 1)
    scanner = Scanner(PATTERNS, "cuda", max_match_bytes=CAP)
    for shard_bytes in (1 << 20, 3000, 700):
        engine = scanner.engine
        engine.config = replace(engine.config, shard_bytes=shard_bytes)
        document = Piece(0, "d", len(text), 0, len(text), inline=text)
        pieces = cut(document, shard_bytes)
        results = [engine.run(ScanTask((piece,))) for piece in pieces]
        if len(pieces) > 1:
            results.append(engine.run(StitchTask(document, tuple(r.parts[0] for r in results))))
        assert sum(result.capped for result in results) == want, shard_bytes
        assert hits_of(scanner.scan(text)) == hits(PATTERNS, text, CAP), shard_bytes


def test_counts_of_a_stream_are_google_re2s(gpu: Gpu) -> None:
    """So are those of documents that stream through the device, whose rows extraction workers
    search.
    """
    from vyre_dist.kernels.cuda.device_pack import DevicePack
    from vyre_dist.stream import ExtractionPool, GpuStream

    pack = RulePack.from_patterns(PATTERNS)
    compiled_pack = compile_pack(pack.data, max_match_bytes=CAP)
    device_pack = DevicePack(compiled_pack, ArtifactCache(None))
    texts = documents()
    with (
        ExtractionPool(pack.data, compiled_pack, device_pack.reading, workers=1) as pool,
        GpuStream(device_pack, pack.data, pool, slots=2, slot_bytes=1 << 16) as stream,
    ):
        rows = [
            row
            for _, batch in stream.scan(
                (n, name, text) for n, (name, text) in enumerate(texts.items())
            )
            for row in batch
        ]
        totals = stream.totals
    assert len(rows) == sum(len(hits(PATTERNS, text, CAP)) for text in texts.values())
    assert totals.capped == 6
