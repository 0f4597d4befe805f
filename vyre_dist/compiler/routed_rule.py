"""One rule compiled: how its matches are found and confirmed. Putting rules together is tables.py's
business.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vyre_dist.compiler.anchors import Anchor, AnchorSet, choose_anchors
from vyre_dist.compiler.determinize import Dfa, determinize, reachable
from vyre_dist.compiler.errors import RegexTooLargeError
from vyre_dist.compiler.fragment import bits_of
from vyre_dist.compiler.gram_model import MAX_WINDOW, GramModel
from vyre_dist.compiler.minimize import minimize
from vyre_dist.compiler.nfa import Nfa, make_nfa
from vyre_dist.compiler.position_automaton import (
    Direction,
    PositionAutomaton,
    build_position_automaton,
)
from vyre_dist.compiler.probes import Probe, choose_probes
from vyre_dist.compiler.relax import relax
from vyre_dist.compiler.runs import Run, choose_run
from vyre_dist.regex import charclass, max_width, min_width, strip_captures
from vyre_dist.regex.nodes import Node

MAX_TABLE_BYTES = 128 << 10
"""The largest table of one automaton; above that it runs bit-parallel, or not at all."""

MAX_BACK = 1024
"""A pivot that may lie further in a match than this says nothing about where the match begins."""

MAX_ALWAYS_SHARE = 0.1
"""A rule without windows that may begin at more offsets than this share of them is searched for by
the host: it has so many matches, or so many starts of each, that to list them costs more than to go
from one to the next.
"""

MAX_ALWAYS_PIVOTS = 32
"""The most ways to begin that a rule without windows may have: each is an entry that is asked at
every offset.
"""

_RELAXED_REPEAT = 64


class Route(enum.IntEnum):
    """How a rule is decided. The numbers are stored.

    AUTOMATA: every candidate is confirmed or refuted by automata. ALWAYS_ON: the same with every
    offset of the text for a candidate, as one where a match may begin. HOST: candidates (from
    anchors or runs; without either, all documents) go to the host. NEVER: it can't match anything.
    """

    AUTOMATA = 0
    ALWAYS_ON = 1
    HOST = 2
    NEVER = 3


@dataclass(frozen=True, slots=True)
class RoutedRule:
    """`anchors`: may be empty. `probes`: by pivot. `forward`, `backward`: their entries are those
    of `pivots`. An always-on rule has no anchors, and the first bytes of matches for pivots. `run`:
    for a rule without anchors, what else says where to look. `back`: the most bytes that a match
    has before its pivot, None where that is not bounded. `width`: that of every match, where it is
    the same for all and the automata decide (else 0); then `distances`, by pivot: how many bytes of
    a match lie before it.

    `reason`: why the rule takes no better route; empty for AUTOMATA with tables in both directions.
    """

    route: Route
    anchors: AnchorSet
    pivots: tuple[int, ...] = ()
    probes: tuple[tuple[Probe, ...], ...] = ()
    forward: Dfa | Nfa | None = None
    backward: Dfa | Nfa | None = None
    reason: str = ""
    run: Run | None = None
    back: int | None = None
    width: int = 0
    distances: tuple[int, ...] = ()


def compile_rule(root: Node, model: GramModel) -> RoutedRule:
    """Compile one expression. Bounded in time and memory; what does not fit is routed to the host
    with a reason.
    """
    tree = strip_captures(root)
    try:
        positions = build_position_automaton(tree)
    except RegexTooLargeError as error:
        return _relaxed(tree, model, f"the expression has {error}")
    anchors = choose_anchors(positions, model)
    if not anchors.anchors and not anchors.reason:
        return RoutedRule(Route.NEVER, anchors, reason="no text can match it")
    if not anchors.anchors:
        run = choose_run(tree, model)
        if run is not None:
            return RoutedRule(Route.HOST, anchors, reason=anchors.reason, run=run)
        return _without_window(tree, positions, anchors, model)
    pivots, probes = _pivots(positions, anchors, model)
    reasons: list[str] = []
    forward = _automaton(positions, pivots, reasons, "the part after its anchors", forward=True)
    backward = (
        None
        if forward is None
        else _automaton(positions, pivots, reasons, "the part before its anchors", forward=False)
    )
    if forward is None or backward is None:
        return RoutedRule(
            Route.HOST,
            anchors,
            pivots,
            probes,
            reason="; ".join(reasons),
            back=_back(positions, pivots),
        )
    width, distances = _fixed_width(tree, positions, pivots)
    return RoutedRule(
        Route.AUTOMATA,
        anchors,
        pivots,
        probes,
        forward,
        backward,
        reason="; ".join(reasons),
        back=_back(positions, pivots),
        width=width,
        distances=distances,
    )


def _pivots(
    positions: PositionAutomaton, anchors: AnchorSet, model: GramModel
) -> tuple[tuple[int, ...], tuple[tuple[Probe, ...], ...]]:
    pivots = tuple(dict.fromkeys(anchor.pivot for anchor in anchors.anchors))
    probes = []
    for pivot in pivots:
        leading = [anchor for anchor in anchors.anchors if anchor.pivot == pivot]
        probes.append(choose_probes(positions, pivot, leading, model))
    return pivots, tuple(probes)


def _fixed_width(
    tree: Node, positions: PositionAutomaton, pivots: Sequence[int]
) -> tuple[int, tuple[int, ...]]:
    """(width, distances): as in RoutedRule. If all ways through an expression are equally long, so
    are those to a pivot.
    """
    width = max_width(tree)
    if not width or width > MAX_BACK or width != min_width(tree):
        return 0, ()
    ways = [_distances(positions, [pivot]) for pivot in pivots]
    if any(not way or len(way) > 1 for way in ways):
        return 0, ()  # of a pivot that no match runs through anything may be said
    return width, tuple(way[0] for way in ways if way)


def _back(positions: PositionAutomaton, pivots: Sequence[int]) -> int | None:
    """The most bytes that a match has before any of the pivots; None above MAX_BACK."""
    way = _distances(positions, pivots)
    return None if way is None else max(way, default=0)


def _distances(positions: PositionAutomaton, pivots: Sequence[int]) -> list[int] | None:
    """How many bytes a match can have before one of the pivots, ascending; None if there may be
    more than MAX_BACK.
    """
    level = sum(1 << pivot for pivot in pivots)
    begins = sum(1 << p for p, contexts in enumerate(positions.start) if contexts)
    follow = positions.backward.follow
    found = []
    for distance in range(MAX_BACK + 1):
        if level & begins:
            found.append(distance)
        ahead = 0
        for p in bits_of(level):
            ahead |= follow[p]
        if not ahead:
            return found
        level = ahead
    return None


def _automaton(
    positions: PositionAutomaton,
    pivots: Sequence[int],
    reasons: list[str],
    what: str,
    *,
    forward: bool,
) -> Dfa | Nfa | None:
    """The automaton of one direction; why `what` it reads is no table (or none at all) is added to
    `reasons`.
    """
    try:
        dfa = minimize(determinize(positions, pivots, forward=forward))
        if dfa.table.nbytes <= MAX_TABLE_BYTES:
            return dfa
        why = f"{dfa.table.nbytes} table bytes, and {MAX_TABLE_BYTES} are allowed"
    except RegexTooLargeError as error:
        why = str(error)
    try:
        nfa = make_nfa(positions, pivots, forward=forward)
    except RegexTooLargeError as error:
        reasons.append(f"{what} needs {why}, and {error}")
        return None
    reasons.append(f"{what} runs bit-parallel: it needs {why}")
    return nfa


def _without_window(
    tree: Node, positions: PositionAutomaton, anchors: AnchorSet, model: GramModel
) -> RoutedRule:
    """A rule whose candidates are all offsets; for the host if it may match the empty string, or
    nearly anywhere.
    """
    if positions.empty:
        return RoutedRule(Route.HOST, anchors, reason=anchors.reason)
    begins = sum(1 << p for p, contexts in enumerate(positions.start) if contexts)
    pivots = tuple(bits_of(begins & reachable(positions.forward, begins)))
    if len(pivots) > MAX_ALWAYS_PIVOTS:
        why = f"it can begin in {len(pivots)} ways, and {MAX_ALWAYS_PIVOTS} are allowed"
        return RoutedRule(Route.HOST, anchors, reason=f"{anchors.reason}; {why}")
    # a match begins with its pivot: before that only the context of one byte counts
    nothing = (0,) * len(positions.classes)
    positions = replace(
        positions, backward=Direction(nothing, positions.backward.final, (), lowest_wins=False)
    )
    anywhere = [Anchor((charclass.ALL,) * MAX_WINDOW, pivots[0], 0, 1.0, 0)]
    probes = tuple(choose_probes(positions, pivot, anywhere, model) for pivot in pivots)
    share = sum(math.prod(model.byte_share(probe.mask) for probe in own) for own in probes)
    if share > MAX_ALWAYS_SHARE:
        why = (
            f"it may begin at {100 * share:.0f} % of all places, and {100 * MAX_ALWAYS_SHARE:.0f} "
            f"% are allowed"
        )
        return RoutedRule(Route.HOST, anchors, reason=f"{anchors.reason}; {why}")
    reasons = [anchors.reason]
    forward = _automaton(positions, pivots, reasons, "the expression", forward=True)
    backward = (
        None
        if forward is None
        else _automaton(positions, pivots, reasons, "the byte before it", forward=False)
    )
    why = "; ".join(reasons)
    if forward is None or backward is None:
        return RoutedRule(Route.HOST, anchors, reason=why)
    width, distances = _fixed_width(tree, positions, pivots)
    return RoutedRule(
        Route.ALWAYS_ON, anchors, pivots, probes, forward, backward, why, None, 0, width, distances
    )


def _relaxed(tree: Node, model: GramModel, reason: str) -> RoutedRule:
    """A rule for the host, with the anchors of a larger language if that one is small enough."""
    nothing = AnchorSet((), reason)
    try:
        positions = build_position_automaton(relax(tree, _RELAXED_REPEAT))
    except RegexTooLargeError:
        return RoutedRule(Route.HOST, nothing, reason=reason)
    anchors = choose_anchors(positions, model)
    if not anchors.anchors:
        why = f"{reason}; {anchors.reason}" if anchors.reason else reason
        return RoutedRule(Route.HOST, nothing, reason=why, run=choose_run(tree, model))
    pivots, probes = _pivots(positions, anchors, model)
    return RoutedRule(
        Route.HOST, anchors, pivots, probes, reason=reason, back=_back(positions, pivots)
    )
