"""Cases of a test, and examples of a property, that the normal suite has no time for."""

from __future__ import annotations

import os

import pytest

ALL_EXAMPLES = "VYRE_TEST_ALL_EXAMPLES"
"""Set by `make nightly`."""

_LEAST = 40


def nightly(*cases: object) -> list[object]:
    """Parameters for `parametrize` that only `make nightly` tries."""
    return [pytest.param(case, marks=pytest.mark.nightly) for case in cases]


def examples(count: int) -> int:
    """Hypothesis's `max_examples`: so many by `make nightly`, a third of them in the normal suite,
    which tries the same ones each time.
    """
    return count if ALL_EXAMPLES in os.environ else max(count // 3, _LEAST)
