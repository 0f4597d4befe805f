"""What was decided for a rule, in numbers and words for people. Nothing is decided here."""

from __future__ import annotations

from dataclasses import dataclass

from vyre_dist.compiler.anchors import GRAM_PRICE
from vyre_dist.compiler.determinize import Dfa
from vyre_dist.compiler.nfa import Nfa
from vyre_dist.compiler.rule_program import Route, RuleProgram
from vyre_dist.regex import charclass, to_re2
from vyre_dist.regex.nodes import CharClass, concat


@dataclass(frozen=True, slots=True)
class RuleSummary:
    """`windows`: the anchors as regexes. `hits_per_mb`: expected true hits in 10^6 bytes; `grams`: what they add to the
    bitmap; `chance_hits_per_mb`: the false hits that cost. `after`, `before`: the automata, such as `table, 26
    states`; empty where there is none. `reason`: why the rule takes no better route.
    """

    route: str
    windows: tuple[str, ...]
    hits_per_mb: float
    chance_hits_per_mb: float
    grams: int
    after: str
    before: str
    reason: str


def summarize(program: RuleProgram) -> RuleSummary:
    """The program's summary. An always-on automaton is shown as the one after (all of it is)."""
    anchors = program.anchors
    return RuleSummary(
        route=program.route.name.lower(),
        windows=tuple(dict.fromkeys(window_text(anchor.classes) for anchor in anchors.anchors)),
        hits_per_mb=anchors.rate * 1e6,
        chance_hits_per_mb=anchors.grams * GRAM_PRICE * 1e6,
        grams=anchors.grams,
        after=_automaton_text(program.always if program.route is Route.ALWAYS_ON else program.forward),
        before=_automaton_text(program.backward),
        reason=program.reason,
    )


def window_text(classes: tuple[int, ...]) -> str:
    """A window as a regex over bytes; the padding of a short one is left out."""
    kept = list(classes)
    while kept and kept[-1] == charclass.ALL:
        kept.pop()
    return to_re2(concat(CharClass(mask) for mask in kept)).decode("latin-1")


def _automaton_text(automaton: Dfa | Nfa | None) -> str:
    match automaton:
        case Dfa():
            return f"table, {automaton.states} states"
        case Nfa():
            return f"bit-parallel, {automaton.states} positions"
    return ""
