"""Anchors: for one expression, the cheapest windows of four byte classes such that every match
contains one that begins at an even offset of the text.

A window is a path of four positions. The windows that are narrow enough to enumerate are the edges
of a network that spells out the paths from a match's start to its end; a minimum cut of it is the
cheapest set of windows that no match avoids, through alternations, optional parts and repeats
alike. A window costs its expected hits per offset looked at plus what its grams add to a shared
bitmap's false hits.

Looking at every second offset halves a prefilter's work (hashing and look-ups are what bounds it on
a GPU). A match may begin at an even or an odd offset, so the network has every node twice, once for
each parity of the byte read last, and only windows that begin at an even offset can be bought.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from vyre_dist.compiler.fragment import bits_of
from vyre_dist.compiler.gram_model import MAX_WINDOW, GramModel, folded_bytes
from vyre_dist.compiler.min_cut import FlowNetwork
from vyre_dist.compiler.position_automaton import PositionAutomaton
from vyre_dist.regex import charclass
from vyre_dist.regex.context import CONTEXT_CLASSES

GRAM_PRICE = 5e-7
"""What one gram costs beside its hits: what its two bits add to the bitmap's false hits (see
hashing.py).
"""

MAX_GRAMS = 8192
"""The most folded grams that one window may stand for."""

MAX_COST = 0.01
"""The dearest anchor set that is worth having: hits at one position in a hundred."""

STRIDE = 2
"""Every how many offsets of a text a window is looked at: 2, or 1 for all of them."""

_MAX_PATHS = 8_000
_MAX_PRICED_GRAMS = 1 << 20

# Nearly all rules have a cut that is cheaper than a window of this many grams: the others need not
# be priced.
_FIRST_GRAMS = 48

# A cut counts a window once for every path that spells it; how often that is the same window shows
# afterwards.
_DOUBLE_COUNTING = 4

Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Anchor:
    """One window. `classes`: four byte classes; a match shorter than that is padded with classes of
    all bytes.

    `pivot`: the position that the automata run outward from; it takes the window's byte number
    `pivot_offset`. `rate`: expected hits per byte of text, folded; `grams`: the folded grams that
    the window stands for.
    """

    classes: tuple[int, ...]
    pivot: int
    pivot_offset: int
    rate: float
    grams: int


@dataclass(frozen=True, slots=True)
class AnchorSet:
    """The anchors of one expression (every match contains one), or none and the `reason` why."""

    anchors: tuple[Anchor, ...]
    reason: str = ""

    @property
    def rate(self) -> float:
        """Expected hits per byte of text, those by chance excluded."""
        return sum({anchor.classes: anchor.rate for anchor in self.anchors}.values())

    @property
    def grams(self) -> int:
        """Folded grams, counted once for each window."""
        return sum({anchor.classes: anchor.grams for anchor in self.anchors}.values())

    @property
    def cost(self) -> float:
        """What the choice minimized."""
        return self.rate + GRAM_PRICE * self.grams


def choose_anchors(
    positions: PositionAutomaton, model: GramModel, stride: int = STRIDE
) -> AnchorSet:
    """The cheapest anchors for the expression, when windows are looked at every `stride`
    offsets."""
    if positions.empty:
        return AnchorSet((), "it matches the empty string, which is everywhere")
    sketch = _Sketch(positions)
    if not sketch.starts:
        return AnchorSet((), "")  # nothing can match, so nothing has to be found
    windows = _usable_windows(sketch, model, _FIRST_GRAMS)
    chosen = _cheapest_cut(sketch, windows, stride)
    if (
        chosen is None
        or (cost := sum(windows[path].cost for path in chosen)) > GRAM_PRICE * _FIRST_GRAMS
    ):
        # No window with more grams than the price of this cut can be part of a cheaper one.
        limit = MAX_GRAMS if chosen is None else min(MAX_GRAMS, int(cost / GRAM_PRICE))
        windows = _usable_windows(sketch, model, limit)
        chosen = _cheapest_cut(sketch, windows, stride)
    if chosen is None:
        return AnchorSet((), _why_not(windows))
    anchors = AnchorSet(tuple(_with_pivots(chosen, windows, sketch)))
    return anchors if anchors.cost <= MAX_COST else AnchorSet((), _why_not(windows))


class _Sketch:
    """The position graph with the copies of long repeats merged, and without what lies on no match.

    `pads`, numbers below 0, come before the starts: a window may begin one byte before a match that
    begins at an odd offset. There is a pad for each set of contexts that a match may begin behind:
    what may stand behind a word's edge only is no letter, which is most of the text.
    """

    def __init__(self, positions: PositionAutomaton) -> None:
        rep = positions.rep
        follow = positions.forward.follow
        merged: dict[int, set[int]] = {}
        cache: dict[int, frozenset[int]] = {}
        for p, bits in enumerate(follow):
            targets = cache.get(bits)
            if targets is None:
                targets = cache[bits] = frozenset(rep[q] for q in bits_of(bits))
            known = merged.get(rep[p])
            if known is None:
                merged[rep[p]] = set(targets)
            else:
                known |= targets
        starts: dict[int, int] = {}
        for p, contexts in enumerate(positions.start):
            if contexts:
                starts[rep[p]] = starts.get(rep[p], 0) | contexts
        ends = {rep[p] for p, contexts in enumerate(positions.accept) if contexts}
        before: dict[int, set[int]] = {p: set() for p in merged}
        for p, next_ones in merged.items():
            for q in next_ones:
                before[q].add(p)
        useful = _reachable(set(starts), merged) & _reachable(ends, before)
        self.follow = {p: sorted(merged[p] & useful) for p in sorted(useful)}
        self.starts = sorted(starts.keys() & useful)
        self.ends = ends & useful
        self.classes = {p: positions.classes[p] for p in useful}
        self.fixed = {p: positions.fixed[p] for p in useful}
        behind: dict[int, list[int]] = {}
        for p in self.starts:
            # a document begins at an even offset, so what stands before a match at an odd one is a
            # byte
            if mask := sum(
                members for c, members in enumerate(CONTEXT_CLASSES) if starts[p] >> c & 1
            ):
                behind.setdefault(mask, []).append(p)
        self.pads = range(-len(behind), 0)
        for pad, (mask, heads) in zip(self.pads, behind.items(), strict=True):
            self.follow[pad], self.classes[pad], self.fixed[pad] = heads, mask, False


@dataclass(frozen=True, slots=True)
class _Window:
    classes: tuple[int, ...]
    rate: float
    grams: int

    @property
    def cost(self) -> float:
        return self.rate + GRAM_PRICE * self.grams


def _reachable(roots: set[int], edges: dict[int, set[int]]) -> set[int]:
    seen = set(roots)
    stack = list(roots)
    while stack:
        fresh = edges[stack.pop()] - seen
        seen |= fresh
        stack.extend(fresh)
    return seen


def _usable_windows(sketch: _Sketch, model: GramModel, max_grams: int) -> dict[Path, _Window]:
    """The paths of four positions, or of fewer at a match's end, that stand for few enough
    grams.
    """
    pad = (charclass.ALL,) * MAX_WINDOW
    spelled: dict[Path, tuple[int, ...]] = {}
    sizes: dict[tuple[int, ...], int] = {}
    total = 0
    # An absurd number of alternatives is cut short: the windows that are left out just can't be
    # used.
    for path, grams in itertools.islice(_narrow_paths(sketch, max_grams), _MAX_PATHS):
        classes = spelled[path] = (*(sketch.classes[p] for p in path), *pad[len(path) :])
        if classes not in sizes:
            sizes[classes] = grams
            total += grams
            if total > _MAX_PRICED_GRAMS:
                break
    rates = model.folded_rates(list(sizes))
    priced = {
        classes: _Window(classes, rate, grams)
        for (classes, grams), rate in zip(sizes.items(), rates, strict=True)
    }
    return {path: window for path, c in spelled.items() if (window := priced[c]).cost <= MAX_COST}


def _narrow_paths(sketch: _Sketch, max_grams: int) -> Iterator[tuple[Path, int]]:
    """(path, the grams that its window stands for); a path of less than four positions ends a
    match.
    """
    pad = len(folded_bytes(charclass.ALL))
    width = {p: len(folded_bytes(sketch.classes[p])) for p in sketch.follow}
    stack: list[tuple[Path, int]] = [((p,), width[p]) for p in sorted(sketch.follow, reverse=True)]
    while stack:
        path, grams = stack.pop()
        if grams > max_grams:
            continue
        pivotable = any(sketch.fixed[p] for p in path)
        if len(path) == MAX_WINDOW:
            if pivotable:
                yield path, grams
            continue
        padded = grams * pad ** (MAX_WINDOW - len(path))
        if pivotable and path[-1] in sketch.ends and padded <= max_grams:
            yield path, padded
        stack += [((*path, q), grams * width[q]) for q in sketch.follow[path[-1]]]


def _cheapest_cut(sketch: _Sketch, windows: dict[Path, _Window], stride: int) -> list[Path] | None:
    """The paths of the cheapest set of windows that no match avoids."""
    # A state is the longest end of the way so far that begins some window (at least its last
    # position): the states of an Aho-Corasick automaton over positions; and where the way's last
    # byte lies, modulo the stride.
    begun = {
        path[:length] for path in windows for length in range(2, min(len(path), MAX_WINDOW - 1) + 1)
    }
    network = FlowNetwork(2)
    source, sink = 0, 1
    states: dict[tuple[Path, int], int] = {}
    queue: list[tuple[Path, int]] = []
    bought: dict[int, Path] = {}

    def state_of(path: Path, phase: int) -> int:
        while len(path) > 1 and path not in begun:
            path = path[1:]
        number = states.get((path, phase))
        if number is None:
            number = states[path, phase] = network.add_node()
            queue.append((path, phase))
        return number

    for p in sketch.starts:
        network.add_edge(source, state_of((p,), 0), math.inf)
    if stride > 1:
        for pad in sketch.pads:
            network.add_edge(source, state_of((pad,), 0), math.inf)
    for path, phase in queue:
        number = states[path, phase]
        if path[-1] in sketch.ends:
            first = phase - len(path) + 1
            short = [
                path[i:]
                for i in range(len(path))
                if (first + i) % stride == 0 and path[i:] in windows
            ]
            if short:
                best = min(short, key=lambda w: windows[w].cost)
                bought[network.add_edge(number, sink, windows[best].cost)] = best
            else:
                network.add_edge(number, sink, math.inf)
        ahead = (phase + 1) % stride
        for q in sketch.follow[path[-1]]:
            longer = (*path, q)
            if len(longer) == MAX_WINDOW:
                window = windows.get(longer) if (ahead + 1 - MAX_WINDOW) % stride == 0 else None
                target = state_of(longer[1:], ahead)
                edge = network.add_edge(number, target, math.inf if window is None else window.cost)
                if window is not None:
                    bought[edge] = longer
            else:
                network.add_edge(number, state_of(longer, ahead), math.inf)
    cut = network.min_cut(source, sink, MAX_COST * _DOUBLE_COUNTING)
    return None if cut is None else list(dict.fromkeys(bought[edge] for edge in cut))


def _with_pivots(
    chosen: list[Path], windows: dict[Path, _Window], sketch: _Sketch
) -> Iterator[Anchor]:
    """The windows with as few distinct pivots as a greedy choice finds: each is a start state of
    the automata.

    Only a position that stands for itself alone can be one.
    """
    left = list(chosen)
    while left:
        count: dict[int, int] = {}
        for path in left:
            for p in dict.fromkeys(path):
                if sketch.fixed[p]:
                    count[p] = count.get(p, 0) + 1
        pivot = max(count, key=lambda p: count[p])
        for path in left:
            if pivot in path:
                window = windows[path]
                yield Anchor(window.classes, pivot, path.index(pivot), window.rate, window.grams)
        left = [path for path in left if pivot not in path]


def _why_not(windows: dict[Path, _Window]) -> str:
    if not windows:
        return (
            f"no four bytes in a row of it stand for {MAX_GRAMS} grams or fewer, with few enough "
            f"hits"
        )
    return (
        f"the windows that every match contains would hit more than {MAX_COST:.0%} of ordinary text"
    )
