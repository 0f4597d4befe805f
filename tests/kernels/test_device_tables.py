"""What the kernels are given besides the compiled tables: the bytes that always-on entries let pass
at their pivot.
"""

from __future__ import annotations

import numpy as np
from gpu_support import PATTERNS, make_tables

from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import candidates
from vyre_dist.kernels.cuda.device_tables import always_masks


def test_always_masks() -> None:
    """A byte whose neighbours are not known passes an entry's probes where its bit is set, in each
    group of 32 entries.
    """
    tables = make_tables(
        [*PATTERNS, *(rf"\b{chr(97 + n)}{n % 10}" for n in range(26)), "xy", r"\B.\d\b"]
    )
    count = tables.always_entries.size
    masks = always_masks(tables)
    assert masks.shape == (2, 256)
    documents = [bytes([byte]) for byte in range(256)]
    unknown = [False] * 256
    found = candidates(tables, Arena.lay_out(documents, unknown, unknown))
    passing = set(zip(found.entries.tolist(), found.documents.tolist(), strict=True))
    expected = {
        (int(tables.always_entries[i]), byte)
        for i in range(count)
        for byte in range(256)
        if masks[i // 32][byte] >> (i % 32) & 1
    }
    assert expected == {pair for pair in passing if pair[0] in tables.always_entries}
    assert count < len(expected) < 256 * count
    # no entry beyond the last one
    assert not np.any(masks[-1] >> np.uint32(count % 32))
