"""ProgramFacts: what a worker runs by default, and on what."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from vyre_dist.dispatch.keys import SpecCacheKey


class ProgramFacts(NamedTuple):
    """What a worker runs by default, for the keys of records.

    `adapter`: what timings hold for. `fused`, `prefilter`: the two programs, with `tunables`: as
    Tunables.plain, () where there are none. `limits`: of the device, by name.
    """

    adapter: str
    fused: SpecCacheKey
    prefilter: SpecCacheKey
    tunables: tuple[int, ...] = ()
    limits: Mapping[str, int] = MappingProxyType({})
