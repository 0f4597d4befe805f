"""One rule compiled: how its matches are found and confirmed. Putting rules together is tables.py's business."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from vyre_dist.compiler.anchors import AnchorSet, choose_anchors
from vyre_dist.compiler.determinize import Dfa, determinize, determinize_unanchored
from vyre_dist.compiler.errors import RegexTooLargeError
from vyre_dist.compiler.fragment import bits_of
from vyre_dist.compiler.gram_model import GramModel
from vyre_dist.compiler.minimize import minimize
from vyre_dist.compiler.nfa import Nfa, make_nfa
from vyre_dist.compiler.positions import Positions, build_positions
from vyre_dist.compiler.probes import Probe, choose_probes
from vyre_dist.compiler.relax import relax
from vyre_dist.compiler.runs import Run, choose_run
from vyre_dist.regex import strip_captures
from vyre_dist.regex.nodes import Node

MAX_TABLE_BYTES = 128 << 10
"""The largest table of one automaton; above that it runs bit-parallel, or not at all."""

MAX_BACK = 1024
"""A pivot that may lie further in a match than this says nothing about where the match begins."""

_RELAXED_REPEAT = 64


class Route(enum.IntEnum):
    """How a rule is decided. The numbers are stored.

    AUTOMATA: every candidate is confirmed or refuted by automata. ALWAYS_ON: an automaton reads the whole
    text. HOST: candidates (from anchors or runs; without either, all documents) go to the host. NEVER: it can't
    match anything.
    """

    AUTOMATA = 0
    ALWAYS_ON = 1
    HOST = 2
    NEVER = 3


@dataclass(frozen=True, slots=True)
class RuleProgram:
    """`anchors`: may be empty. `probes`: by pivot. `forward`, `backward`: their entries are those of `pivots`.
    `run`: for a rule without anchors, what else says where to look. `back`: the most bytes that a match has before its
    pivot, None where that is not bounded.

    `reason`: why the rule takes no better route; empty for AUTOMATA with tables in both directions.
    """

    route: Route
    anchors: AnchorSet
    pivots: tuple[int, ...] = ()
    probes: tuple[tuple[Probe, ...], ...] = ()
    forward: Dfa | Nfa | None = None
    backward: Dfa | Nfa | None = None
    always: Dfa | None = None
    reason: str = ""
    run: Run | None = None
    back: int | None = None


def compile_rule(root: Node, model: GramModel) -> RuleProgram:
    """Compile one expression. Bounded in time and memory; what does not fit is routed to the host with a reason."""
    tree = strip_captures(root)
    try:
        positions = build_positions(tree)
    except RegexTooLargeError as error:
        return _relaxed(tree, model, f"the expression has {error}")
    anchors = choose_anchors(positions, model)
    if not anchors.anchors and not anchors.reason:
        return RuleProgram(Route.NEVER, anchors, reason="no text can match it")
    if not anchors.anchors:
        run = choose_run(tree, model)
        if run is not None:
            return RuleProgram(Route.HOST, anchors, reason=anchors.reason, run=run)
        return _without_window(positions, anchors)
    pivots, probes = _pivots(positions, anchors, model)
    reasons: list[str] = []
    forward = _automaton(positions, pivots, reasons, forward=True)
    backward = None if forward is None else _automaton(positions, pivots, reasons, forward=False)
    if forward is None or backward is None:
        return RuleProgram(
            Route.HOST, anchors, pivots, probes, reason="; ".join(reasons), back=_back(positions, pivots)
        )
    why, back = "; ".join(reasons), _back(positions, pivots)
    return RuleProgram(Route.AUTOMATA, anchors, pivots, probes, forward, backward, reason=why, back=back)


def _pivots(
    positions: Positions, anchors: AnchorSet, model: GramModel
) -> tuple[tuple[int, ...], tuple[tuple[Probe, ...], ...]]:
    pivots = tuple(dict.fromkeys(anchor.pivot for anchor in anchors.anchors))
    probes = []
    for pivot in pivots:
        leading = [anchor for anchor in anchors.anchors if anchor.pivot == pivot]
        probes.append(choose_probes(positions, pivot, leading, model))
    return pivots, tuple(probes)


def _back(positions: Positions, pivots: Sequence[int]) -> int | None:
    """The most bytes that a match has before any of the pivots; None above MAX_BACK."""
    level = sum(1 << pivot for pivot in pivots)
    begins = sum(1 << p for p, contexts in enumerate(positions.start) if contexts)
    follow = positions.backward.follow
    back = 0
    for distance in range(MAX_BACK + 1):
        if level & begins:
            back = distance
        ahead = 0
        for p in bits_of(level):
            ahead |= follow[p]
        if not ahead:
            return back
        level = ahead
    return None


def _automaton(
    positions: Positions, pivots: Sequence[int], reasons: list[str], *, forward: bool
) -> Dfa | Nfa | None:
    """The automaton of one direction; why it is no table (or none at all) is added to `reasons`."""
    side = "after" if forward else "before"
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
        reasons.append(f"the part {side} its anchors needs {why}, and {error}")
        return None
    reasons.append(f"the part {side} its anchors runs bit-parallel: it needs {why}")
    return nfa


def _without_window(positions: Positions, anchors: AnchorSet) -> RuleProgram:
    try:
        dfa = minimize(determinize_unanchored(positions))
    except RegexTooLargeError as error:
        return RuleProgram(
            Route.HOST, anchors, reason=f"{anchors.reason}; to read everything it needs {error}"
        )
    if dfa.table.nbytes > MAX_TABLE_BYTES:
        why = f"to read everything it needs {dfa.table.nbytes} table bytes, and {MAX_TABLE_BYTES} are allowed"
        return RuleProgram(Route.HOST, anchors, reason=f"{anchors.reason}; {why}")
    return RuleProgram(Route.ALWAYS_ON, anchors, always=dfa, reason=anchors.reason)


def _relaxed(tree: Node, model: GramModel, reason: str) -> RuleProgram:
    """A rule for the host, with the anchors of a larger language if that one is small enough."""
    nothing = AnchorSet((), reason)
    try:
        positions = build_positions(relax(tree, _RELAXED_REPEAT))
    except RegexTooLargeError:
        return RuleProgram(Route.HOST, nothing, reason=reason)
    anchors = choose_anchors(positions, model)
    if not anchors.anchors:
        why = f"{reason}; {anchors.reason}" if anchors.reason else reason
        return RuleProgram(Route.HOST, nothing, reason=why, run=choose_run(tree, model))
    pivots, probes = _pivots(positions, anchors, model)
    return RuleProgram(Route.HOST, anchors, pivots, probes, reason=reason, back=_back(positions, pivots))
