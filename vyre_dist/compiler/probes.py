"""Probes: bytes some way off an anchor's pivot that every match must have, looked at before an automaton is started.

They thin out the candidates of weak windows. A probe is a superset test: what passes is still to be confirmed.
"""

from __future__ import annotations

from typing import NamedTuple

from vyre_dist.compiler.fragment import bits_of
from vyre_dist.compiler.gram_model import GramModel
from vyre_dist.compiler.positions import Direction, Positions
from vyre_dist.regex import charclass

MAX_PROBES = 6
_REACH_FORWARD = 32
_REACH_BACKWARD = 12
# A class that most text is in tells too little.
_WORTHWHILE = 0.75


class Probe(NamedTuple):
    """The byte at `offset` from the pivot is in the class `mask`, or there is no match."""

    offset: int
    mask: int


def choose_probes(positions: Positions, pivot: int, model: GramModel) -> tuple[Probe, ...]:
    """The most telling probes around `pivot`, rarest class first, no two of one class side by side."""
    ahead = _required(positions.classes, positions.forward, pivot, _REACH_FORWARD)
    behind = _required(positions.classes, positions.backward, pivot, _REACH_BACKWARD)
    options = [Probe(offset, mask) for offset, mask in enumerate(ahead)]
    options += [Probe(-offset, mask) for offset, mask in enumerate(behind) if offset]
    share = {probe: model.byte_share(probe.mask) for probe in options}
    options.sort(key=lambda probe: (share[probe], abs(probe.offset)))
    chosen: list[Probe] = []
    for apart in (2, 1):
        for probe in options:
            if len(chosen) == MAX_PROBES or share[probe] > _WORTHWHILE:
                break
            if all(
                abs(probe.offset - other.offset) >= (apart if probe.mask == other.mask else 1)
                for other in chosen
            ):
                chosen.append(probe)
    return tuple(chosen)


def _required(classes: tuple[int, ...], direction: Direction, pivot: int, reach: int) -> list[int]:
    """The class of the byte at each distance that a match from `pivot` can't do without."""
    level, out = 1 << pivot, []
    for _ in range(reach):
        members = bits_of(level)
        mask = level = 0
        ends = False
        for p in members:
            mask |= classes[p]
            level |= direction.follow[p]
            ends = ends or direction.final[p] != 0
        out.append(mask)
        if ends or not level or mask == charclass.ALL:
            break
    return out
