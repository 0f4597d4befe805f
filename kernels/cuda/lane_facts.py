"""LaneFacts: what a lane's device runs by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from vyre_dist.program.tunables import Tunables


class LaneFacts(NamedTuple):
    """`tunables`: of its programs. `adapter`: what timings hold for, `limits`: what programs may
    ask for; see ProgramFacts.
    """

    tunables: Tunables
    adapter: str
    limits: Mapping[str, int]
