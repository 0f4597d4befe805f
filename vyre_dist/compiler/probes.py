"""Probes: tests of bytes around a pivot that every match must pass, before an automaton runs.

They lengthen windows, of which only four bytes can be hashed: an offset is an *exact
candidate* if its window is one of the grams and its probes pass. Every pivot has them: windows that
the model takes for rare are common in some texts. A probe is a superset test: what passes is still
to be confirmed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from vyre_dist.compiler.anchors import Anchor
from vyre_dist.compiler.fragment import bits_of
from vyre_dist.compiler.gram_model import FOLD, GramModel, folded_bytes
from vyre_dist.compiler.position_automaton import Direction, PositionAutomaton
from vyre_dist.regex import charclass
from vyre_dist.regex.context import ANY_CONTEXT, CONTEXT_CLASSES, EDGE

MAX_PROBES = 6
_MOST_AFTER = 32
_MOST_BEFORE = 12
# A class that nearly all text is in tells too little. (Several such probes of 90 % each still halve
# the candidates of gitleaks' generic-api-key, 80 % of that pack's.)
_WORTHWHILE = 0.97


class Probe(NamedTuple):
    """The byte at `offset` from the pivot is in the class `mask`, or there is no match.

    `edge`: there may also be no byte there, because the text ends (or begins) before it.
    """

    offset: int
    mask: int
    edge: bool


def choose_probes(
    positions: PositionAutomaton, pivot: int, anchors: Sequence[Anchor], model: GramModel
) -> tuple[Probe, ...]:
    """The probes around `pivot` that fewest candidates pass, no two of one class side by side.

    `anchors`: those that lead to the pivot. Of a byte that their windows have seen already, only
    its letter case is new.
    """
    options = _required(positions.classes, positions.forward, pivot, 1, _MOST_AFTER)
    options += _required(positions.classes, positions.backward, pivot, -1, _MOST_BEFORE)[1:]
    share = {probe: _share(probe, anchors, model) for probe in options}
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


def _share(probe: Probe, anchors: Sequence[Anchor], model: GramModel) -> float:
    """What share of the anchors' candidates is expected to pass the probe."""
    total = passed = 0.0
    for anchor in anchors:
        at = anchor.pivot_offset + probe.offset
        seen = _folded_alike(anchor.classes[at]) if 0 <= at < len(anchor.classes) else charclass.ALL
        known = model.byte_share(seen)
        total += anchor.rate
        passed += anchor.rate * (model.byte_share(seen & probe.mask) / known if known else 0.0)
    return passed / total if total else 0.0


@functools.lru_cache(maxsize=1024)
def _folded_alike(mask: int) -> int:
    """All bytes that the prefilter's fold does not tell from members of the class."""
    folded = folded_bytes(mask)
    return sum(1 << byte for byte in range(256) if byte | FOLD in folded)


def _required(
    classes: tuple[int, ...], direction: Direction, pivot: int, stride: int, most: int
) -> list[Probe]:
    """What every match has at each distance from the pivot, until a match may be complete."""
    level, final, out = 1 << pivot, 0, []
    for distance in range(most):
        mask = sum(
            members for context, members in enumerate(CONTEXT_CLASSES) if final >> context & 1
        )
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
