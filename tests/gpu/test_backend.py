"""The cuda backend behind Scanner and the dispatcher: the findings are the cpu backend's."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace

import pytest
from gpu_support import PATTERNS, random_document

from vyre_dist import RulePack, Scanner

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("speculation", ["force", "disable", "auto"])
def test_random_documents(gpu: SimpleNamespace, speculation: str) -> None:
    """Random documents and packs give the cpu backend's findings on both paths, at shard sizes that cut everything."""
    del gpu
    rng = random.Random(3)
    pack = RulePack.from_patterns({f"r{i}": pattern for i, pattern in enumerate(PATTERNS)})
    documents = [random_document(rng, 40) for _ in range(60)]
    want = [Scanner(pack, backend="cpu").scan(document) for document in documents]
    assert sum(map(len, want)) > 100
    for shard_bytes in (16 << 20, 100, 7):
        scanner = Scanner(pack, backend="cuda", speculation=speculation, shard_bytes=shard_bytes)
        assert [scanner.scan(document) for document in documents] == want


def test_examples(gpu: SimpleNamespace) -> None:
    """The corpus in examples/ gives the same findings with the built-in pack."""
    del gpu
    found = {}
    for backend in ("cpu", "cuda"):
        result = Scanner(RulePack.builtin(), backend=backend).scan_paths([str(ROOT / "examples")])
        found[backend] = list(result)
    assert len(found["cpu"]) >= 50
    assert found["cuda"] == found["cpu"]
