"""Probes: bytes some way off an anchor's pivot that every match must have, looked at before an automaton is started.

They thin out the candidates of weak windows. A probe is a superset test: what passes is still to be confirmed.
"""

from __future__ import annotations

from typing import NamedTuple

from vyre_dist.compiler.context import ANY_CONTEXT, CONTEXT_CLASSES, EDGE
from vyre_dist.compiler.fragment import bits_of
from vyre_dist.compiler.gram_model import GramModel
from vyre_dist.compiler.positions import Direction, Positions

MAX_PROBES = 6
_REACH_FORWARD = 32
_REACH_BACKWARD = 12
# A class that most text is in tells too little.
_WORTHWHILE = 0.75


class Probe(NamedTuple):
    """The byte at `offset` from the pivot is in the class `mask`, or there is no match.

    `edge`: there may also be no byte there, because the text ends (or begins) before it.
    """

    offset: int
    mask: int
    edge: bool


def choose_probes(positions: Positions, pivot: int, model: GramModel) -> tuple[Probe, ...]:
    """The most telling probes around `pivot`, rarest class first, no two of one class side by side."""
    options = _required(positions.classes, positions.forward, pivot, 1, _REACH_FORWARD)
    options += _required(positions.classes, positions.backward, pivot, -1, _REACH_BACKWARD)[1:]
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


def _required(
    classes: tuple[int, ...], direction: Direction, pivot: int, stride: int, reach: int
) -> list[Probe]:
    """What must be at each distance from the pivot, itself included, until a match may be complete without it."""
    level, final, out = 1 << pivot, 0, []
    for distance in range(reach):
        mask = sum(members for context, members in enumerate(CONTEXT_CLASSES) if final >> context & 1)
        ahead = complete = 0
        for p in bits_of(level):
            mask |= classes[p]
            ahead |= direction.follow[p]
            complete |= direction.final[p]
        out.append(Probe(stride * distance, mask, bool(final >> EDGE & 1)))
        if final or complete == ANY_CONTEXT or not (ahead or complete):
            break
        level, final = ahead, complete
    return out
