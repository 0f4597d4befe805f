"""MatchCounts against a dict of all matches, with few and with many, in memory and in files."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples

from vyre_dist.engine import spool
from vyre_dist.engine.match_counts import MatchCounts
from vyre_dist.engine.spool import Spool

# few bits differ, so that halves of digests are equal, and places in the bitmap
DIGESTS = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)).map(
    lambda part: bytes([part[2], *[0] * 6, part[0] << 6, part[1], *[0] * 7])
)


@settings(max_examples=examples(300), deadline=None)
@given(
    st.lists(st.lists(DIGESTS, min_size=1, max_size=12), max_size=6),
    st.sampled_from([0, 5, 1000]),
    st.booleans(),
)
def test_ordinals_are_those_of_a_dict(calls: list[list[bytes]], few: int, in_files: bool) -> None:
    """Whatever is the same within a call and between calls, and wherever counts are kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "SMALL_BYTES", 0 if in_files else 1 << 20)
        counts, seen = MatchCounts(Spool(), few=few, map_bits=4), Counter[bytes]()
        for digests in calls:
            expected = []
            for digest in digests:
                expected.append(seen[digest])
                seen[digest] += 1
            assert list(counts.ordinals(b"".join(digests))) == expected
