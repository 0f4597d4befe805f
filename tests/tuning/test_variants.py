"""What is raced: each challenger once, never the default, nothing that the device can't launch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.autotune.choice import Choice
from vyre_dist.dispatch.keys import SpecCacheKey
from vyre_dist.program.program_facts import ProgramFacts
from vyre_dist.program.tunables import Tunables
from vyre_dist.tuning.variants import SERIAL, challengers

SPEC = SpecCacheKey(1, 2, (1, 1, 1), 3)
H200 = {
    "shared_bytes": 227 << 10,
    "shared_bytes_per_sm": 228 << 10,
    "threads_per_sm": 2048,
    "multiprocessors": 132,
}
DEFAULT = Tunables(threads=768, unroll=4, tile_bytes=64 << 10, bitmap_bits=20, blocks_per_sm=1)


def of(tunables: Tunables | None, limits: dict[str, int]) -> tuple[Choice, ...]:
    plain = () if tunables is None else tunables.plain()
    return challengers(ProgramFacts("an adapter", SPEC, SPEC, plain, limits))


def test_on_processors() -> None:
    assert of(None, {}) == (SERIAL,)
    assert of(None, {"dispatch_bytes": 2 << 20}) == (SERIAL, Choice.of(dispatch_bytes=1 << 20))
    assert Choice.of(dispatch_bytes=4 << 20) in of(None, {"dispatch_bytes": 8 << 20})


def test_on_a_gpu() -> None:
    found = of(DEFAULT, H200)
    assert found[0] == SERIAL
    assert 8 <= len(found) == len(set(found)) <= 16
    assert {name for choice in found for name, _ in choice.pairs} == {
        "lane",
        "threads",
        "unroll",
        "tile_bytes",
        "bitmap_bits",
        "blocks_per_sm",
    }


@given(
    st.sampled_from([1024, 1536, 2048]),
    st.sampled_from([48 << 10, 99 << 10, 227 << 10]),
    st.sampled_from([100 << 10, 228 << 10]),
)
def test_nothing_that_can_not_be_launched(threads: int, block: int, together: int) -> None:
    limits = {
        "threads_per_sm": threads,
        "shared_bytes": block,
        "shared_bytes_per_sm": together,
    }
    for choice in of(DEFAULT, limits)[1:]:
        plain = choice.plain()
        blocks = int(plain.get("blocks_per_sm", 1))
        bitmap = (1 << int(plain.get("bitmap_bits", DEFAULT.bitmap_bits))) // 8
        assert blocks * int(plain.get("threads", DEFAULT.threads)) <= threads
        assert bitmap <= block
        assert blocks * bitmap <= together


@pytest.mark.parametrize("default", [DEFAULT, Tunables(threads=512), Tunables(unroll=2)])
def test_the_default_does_not_race_itself(default: Tunables) -> None:
    for choice in of(default, H200)[1:]:
        assert any(getattr(default, name) != value for name, value in choice.pairs)
