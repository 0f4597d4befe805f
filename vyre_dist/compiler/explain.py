"""What the compiler decided for a rule, and for a whole pack, in numbers and words for people.

Nothing is decided here. Drawings of one rule are in drawing.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vyre_dist.compiler.anchors import GRAM_PRICE, STRIDE
from vyre_dist.compiler.compile import CompiledTables
from vyre_dist.compiler.determinize import Dfa
from vyre_dist.compiler.gram_model import GramModel
from vyre_dist.compiler.nfa import Nfa
from vyre_dist.compiler.routed_rule import RoutedRule
from vyre_dist.compiler.runs import Run
from vyre_dist.regex import charclass, to_re2
from vyre_dist.regex.nodes import CharClass, concat

_SHOWN_WINDOWS = 3


@dataclass(frozen=True, slots=True)
class RuleSummary:
    """One rule.

    `windows`: the anchors as regexes. `hits_per_mb`: expected true hits in 10^6 bytes. `grams`: how
    many of them are in the bitmap; `chance_hits_per_mb`: the false hits that they add. `run`: what
    is looked for instead of windows, such as `40 or more of [0-9a-f] in a row`. `after`, `before`:
    the automata, such as `table, 26 states`; empty where there is none. `reason`: why the rule
    takes no better route.
    """

    route: str
    windows: tuple[str, ...]
    hits_per_mb: float
    chance_hits_per_mb: float
    grams: int
    run: str
    after: str
    before: str
    reason: str

    @property
    def line(self) -> str:
        """All of it on one line, but for windows beyond the third."""
        parts = [self.route.replace("_", " ")]
        if self.windows:
            shown = " ".join(self.windows[:_SHOWN_WINDOWS])
            more = len(self.windows) - _SHOWN_WINDOWS
            parts.append(f"anchors {shown}{f' and {more} more' if more > 0 else ''}")
            parts.append(f"{self.hits_per_mb:.3g} hits/MB, {self.chance_hits_per_mb:.3g} by chance")
        if self.run:
            parts.append(f"documents with {self.run}")
        parts += [
            f"{side}: {text}"
            for side, text in (("after", self.after), ("before", self.before))
            if text
        ]
        if self.reason:
            parts.append(f"because {self.reason}")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class PackSummary:
    """A whole pack.

    `routes`: how many rules take each. `bitmap_percent`: of offsets, those whose window passes the
    bitmap. `gram_percent`: those that hold a window of some rule; how many of these pass their
    probes is not estimated. Both are estimates of the shipped model for text and source code.
    """

    routes: dict[str, int]
    grams: int
    table_bytes: int
    bitmap_percent: float
    gram_percent: float

    @property
    def line(self) -> str:
        """All of it on one line."""
        ways = ", ".join(
            f"{count} {route.replace('_', ' ')}" for route, count in self.routes.items() if count
        )
        return (
            f"tables: {ways or 'no rules'}; {self.grams} grams, {self.table_bytes / 1e6:.2f} MB; "
            "expected in ordinary "
            f"text: {self.bitmap_percent:.2g} % of positions hit the bitmap, "
            f"{self.gram_percent:.2g} % hold a window"
        )


def summarize_pack(compiled: CompiledTables, model: GramModel) -> PackSummary:
    """The pack's summary. `model`: the one it was compiled with."""
    tables = compiled.tables
    return PackSummary(
        routes=compiled.route_counts(),
        grams=int(tables.grams.size),
        table_bytes=tables.nbytes,
        bitmap_percent=100 * tables.expected_hits / tables.stride,
        gram_percent=100 * float(model.rates(tables.grams).sum()) / tables.stride,
    )


def summarize(routed: RoutedRule) -> RuleSummary:
    """The rule's summary."""
    anchors = routed.anchors
    return RuleSummary(
        route=routed.route.name.lower(),
        windows=tuple(dict.fromkeys(window_text(anchor.classes) for anchor in anchors.anchors)),
        hits_per_mb=hits_per_mb(anchors.rate),
        chance_hits_per_mb=hits_per_mb(anchors.grams * GRAM_PRICE),
        grams=anchors.grams,
        run="" if routed.run is None else run_text(routed.run),
        after=automaton_text(routed.forward),
        before=automaton_text(routed.backward),
        reason=routed.reason,
    )


def hits_per_mb(rate: float) -> float:
    """Hits in 10^6 bytes, from a rate per offset at which windows are looked at."""
    return rate * 1e6 / STRIDE


def run_text(run: Run) -> str:
    """A run in words."""
    return f"{run.length} or more of {to_re2(CharClass(run.mask)).decode('latin-1')} in a row"


def window_text(classes: tuple[int, ...]) -> str:
    """A window as a regex over bytes; the padding behind a short one is left out."""
    kept = list(classes)
    while kept and kept[-1] == charclass.ALL:
        kept.pop()
    return to_re2(concat(CharClass(mask) for mask in kept)).decode("latin-1")


def automaton_text(automaton: Dfa | Nfa | None) -> str:
    """Its kind and size; empty for none."""
    match automaton:
        case Dfa():
            return f"table, {automaton.states} states"
        case Nfa():
            return f"bit-parallel, {automaton.states} positions"
    return ""
