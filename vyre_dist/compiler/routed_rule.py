"""RoutedRule: one rule compiled, how its matches are found and confirmed.

Rules are put together in tables.py. What limits apply to a rule is decided here.
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

MAX_NEAR_COST = 2e-4
"""What anchors near the start of matches may cost, where the cheapest ones lie beyond MAX_BACK."""

MAX_ALWAYS_SHARE = 0.1
"""The share of offsets at which a rule without windows may begin. Beyond it the host searches: to
list so many starts would cost more than to go from match to match.
"""

MAX_ALWAYS_PIVOTS = 32
"""How many pivots a rule without windows may have: an entry for each is tried at every offset."""

_RELAXED_REPEAT = 64


class Route(enum.IntEnum):
    """How a rule is decided. The numbers are stored.

    AUTOMATA: automata confirm or refute every candidate. ALWAYS_ON: the same, and every offset is a
    candidate, as the start of a match. HOST: candidates from anchors or runs go to the host;
    without either, all documents do. NEVER: the rule can't match anything.
    """

    AUTOMATA = 0
    ALWAYS_ON = 1
    HOST = 2
    NEVER = 3


@dataclass(frozen=True, slots=True)
class RoutedRule:
    """One rule, compiled.

    `anchors`: may be empty. `pivots`: the positions that automata run outward from; those of an
    always-on rule are the first bytes of its matches. `probes`, `distances`: by pivot. `forward`,
    `backward`: with an entry for each pivot. `run`: where to look for a rule without anchors.
    `back`: the most bytes of a match before its pivot, None for no bound. `width`: of every match,
    if all have one and the automata decide, else 0; then `distances` says how many bytes lie before
    the pivot. `reason`: why the rule takes no better route; empty for AUTOMATA with two tables.
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
    """Compile one expression, bounded in time and memory; what is too large is for the host."""
    tree = strip_captures(root)
    try:
        positions = build_position_automaton(tree)
    except RegexTooLargeError as error:
        return _relaxed(tree, model, f"the expression has {error}")
    anchors = _anchors_near_the_start(positions, choose_anchors(positions, model), model)
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


def _anchors_near_the_start(
    positions: PositionAutomaton, cheapest: AnchorSet, model: GramModel
) -> AnchorSet:
    """`cheapest`, or anchors that are not much dearer whose pivots are in reach of a match's start.

    Where no start is in reach of a pivot, the host has to search all of the document for it.
    """
    pivots = {anchor.pivot for anchor in cheapest.anchors}
    if not pivots or _back(positions, sorted(pivots)) is not None:
        return cheapest
    anchors = choose_anchors(positions, model, pivots=_near_the_start(positions))
    return anchors if anchors.anchors and anchors.cost <= MAX_NEAR_COST else cheapest


def _near_the_start(positions: PositionAutomaton) -> set[int]:
    """The positions that have no more than MAX_BACK bytes of a match before them."""
    follow = positions.forward.follow
    before = {p: 0 for p, contexts in enumerate(positions.start) if contexts}
    found = list(before)
    for p in found:
        for q in bits_of(follow[p]):
            if q not in before:
                before[q] = 0
                found.append(q)
            before[q] += 1
    # in the order of the longest way there; what lies on a circle, or behind one, has none
    longest = {p: 0 for p, count in before.items() if not count}
    queue = list(longest)
    for p in queue:
        for q in bits_of(follow[p]):
            longest[q] = max(longest.get(q, 0), longest[p] + 1)
            before[q] -= 1
            if not before[q]:
                queue.append(q)
    return {p for p in queue if longest[p] <= MAX_BACK}


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
    """RoutedRule's `width` and `distances`.

    If all matches have one width, so has what lies before a pivot.
    """
    width = max_width(tree)
    if not width or width > MAX_BACK or width != min_width(tree):
        return 0, ()
    found = [_distances(positions, [pivot]) for pivot in pivots]
    if any(not own or len(own) > 1 for own in found):
        return 0, ()  # of a pivot that no match runs through anything may be said
    return width, tuple(own[0] for own in found if own)


def _back(positions: PositionAutomaton, pivots: Sequence[int]) -> int | None:
    """The most bytes that a match has before any of the pivots; None above MAX_BACK."""
    found = _distances(positions, pivots)
    return None if found is None else max(found, default=0)


def _distances(positions: PositionAutomaton, pivots: Sequence[int]) -> list[int] | None:
    """The numbers of bytes before one of the pivots, ascending; None if some exceed MAX_BACK."""
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
    """The automaton of one direction. Adds to `reasons` why what it reads, `what`, has no table."""
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
    """A rule whose candidates are all offsets.

    For the host if it may match the empty string, or begin nearly anywhere.
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
    anchors = _anchors_near_the_start(positions, choose_anchors(positions, model), model)
    if not anchors.anchors:
        why = f"{reason}; {anchors.reason}" if anchors.reason else reason
        return RoutedRule(Route.HOST, nothing, reason=why, run=choose_run(tree, model))
    pivots, probes = _pivots(positions, anchors, model)
    return RoutedRule(
        Route.HOST, anchors, pivots, probes, reason=reason, back=_back(positions, pivots)
    )
