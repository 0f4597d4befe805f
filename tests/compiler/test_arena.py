"""Arena: what is refused, where documents lie, and parts of one."""

from __future__ import annotations

import numpy as np
import pytest

from vyre_dist.compiler.arena import Arena
from vyre_dist.errors import UsageError

UNSOUND = {
    "beyond the data": ([0], [5], 1),
    "at an odd position": ([1], [3], 1),
    "out of order": ([2, 0], [4, 2], 2),
    "overlapping": ([0, 2], [3, 4], 2),
    "ends before it starts": ([2], [0], 1),
    "an end too many": ([0], [2, 4], 1),
    "a flag too many": ([0], [4], 2),
}


@pytest.mark.parametrize("fault", UNSOUND)
def test_unsound_arenas(fault: str) -> None:
    """Documents that overlap, are out of order, lie outside or begin at odd positions are refused,
    as are wrong lengths.
    """
    starts, ends, flags = UNSOUND[fault]
    spans = [np.array(positions, np.int64) for positions in (starts, ends)]
    with pytest.raises(UsageError):
        Arena(np.zeros(4, np.uint8), *spans, np.ones(flags, bool), np.ones(flags, bool))


def test_packing() -> None:
    """Documents are found at their positions, gaps and empty documents included; no bytes at all
    are an arena too.
    """
    for alignment in (2, 16):
        arena = Arena.lay_out([b"abc", b"", b"defghi", b"", b"j"], alignment=alignment)
        data = arena.data.tobytes()
        spans = list(zip(arena.starts.tolist(), arena.ends.tolist(), strict=True))
        assert [data[low:high] for low, high in spans] == [b"abc", b"", b"defghi", b"", b"j"]
        assert all(low % alignment == 0 for low, _ in spans)
        holder = [
            next((i for i, (a, b) in enumerate(spans) if a <= at < b), -1)
            for at in range(len(data))
        ]
        assert arena.document_at(np.arange(len(data))).tolist() == holder
    assert Arena.lay_out([]).documents == 0
    assert Arena.lay_out([b""]).data.size == 0


def test_part_of_an_arena() -> None:
    """Some documents of an arena are an arena of the same documents, flags included."""
    texts = [b"ab", b"", b"c" * 40, b"d"]
    arena = Arena.lay_out(texts, [True, True, False, True], [True, False, True, True])
    for low in range(5):
        for high in range(low, 5):
            part = arena.part(low, high)
            own = [part.data[s:e].tobytes() for s, e in zip(part.starts, part.ends, strict=True)]
            assert own == texts[low:high]
            assert part.at_start.tolist() == arena.at_start[low:high].tolist()
            assert part.at_end.tolist() == arena.at_end[low:high].tolist()
