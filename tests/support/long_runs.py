"""Cases of a test that the normal suite has no time for."""

from __future__ import annotations

import pytest


def nightly(*cases: object) -> list[object]:
    """Parameters for `parametrize` that only `make nightly` tries."""
    return [pytest.param(case, marks=pytest.mark.nightly) for case in cases]
