"""vyre_dist.speculation: its examples hold, each of its names is there."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys

import numpy as np
import pytest

from vyre_dist import UsageError, speculation
from vyre_dist.speculation import (
    AdaptiveSpeculator,
    AutotuneRecord,
    MergedReport,
    ProbingSpeculator,
    SpecCacheKey,
    SpeculationReport,
    VariantTiming,
    race,
)


def test_the_examples_hold() -> None:
    """The module's examples give what they say."""
    result = doctest.testmod(speculation)
    assert result.attempted > 20
    assert result.failed == 0


@pytest.mark.parametrize("name", speculation.__all__)
def test_each_name_is_there_and_explained(name: str) -> None:
    """`from vyre_dist.speculation import NAME` works; classes and functions have a docstring."""
    value = getattr(importlib.import_module("vyre_dist.speculation"), name)
    assert isinstance(value, int) or value.__doc__


def test_a_name_that_is_not_there_is_refused() -> None:
    """A misspelled name is an AttributeError that tells it."""
    with pytest.raises(AttributeError, match="SpeculationReprot"):
        speculation.SpeculationReprot  # type: ignore[attr-defined]  # noqa: B018


def test_importing_it_loads_neither_redis_nor_an_engine() -> None:
    """Who needs the contract's core alone waits for nothing else; redis comes with the first call
    to a server.
    """
    code = (
        "import sys, vyre_dist.speculation\n"
        "print(sorted({'redis', 'hyperscan', 're2', 'ray', 'pyarrow'} & sys.modules.keys()))\n"
        "print(vyre_dist.speculation.RedisStore.__name__, 'redis' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nRedisStore False\n"


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint32, np.int64, np.uint64])
def test_numpy_integers_are_taken_where_ints_are(kind: type[np.integer]) -> None:
    """They mean the same number, and nothing wraps in their narrow types."""
    n = kind(200) if kind is not np.uint8 else np.uint8(250)
    plain = int(n)
    report = SpeculationReport(n, n)
    assert report == SpeculationReport(plain, plain) == SpeculationReport.from_counts(n, n)
    assert report.attempted_tiles == 2 * plain
    assert MergedReport(n, n, n) + MergedReport(n, n, n) == MergedReport(*[2 * plain] * 3)
    assert report.worthwhile(kind(50)) and not report.worthwhile(kind(51))
    assert AdaptiveSpeculator(kind(20)).threshold_ppm == 200_000
    assert ProbingSpeculator(AdaptiveSpeculator(), kind(4)).every == 4
    assert race(VariantTiming(n, n), VariantTiming(n, 0)).saved_ns == plain
    assert SpecCacheKey(n, n, (n, n, n), n) == SpecCacheKey(plain, plain, (plain,) * 3, plain)
    assert AutotuneRecord((n, n, n), n) == AutotuneRecord((plain,) * 3, plain)
    assert type(report.committed_tiles) is type(AutotuneRecord((n, n, n), n).unroll) is int


@pytest.mark.parametrize("wrong", [True, np.bool_(True), 1.0, np.float64(1), "1", None, 2**32])
def test_what_is_no_count_is_refused(wrong: object) -> None:
    """A bool, a float or too large a number is told with what was found."""
    for make in (lambda: SpeculationReport(wrong), lambda: SpeculationReport.from_counts(wrong, 0)):  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="committed"):
            make()
