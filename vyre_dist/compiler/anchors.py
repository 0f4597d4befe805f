"""Anchors: the cheapest windows of four byte classes of which every match of a rule contains one.

A window is a path of four positions. The windows that are narrow enough to enumerate are the edges
of a network that spells out the paths from a match's start to its end. A minimum cut of it is the
cheapest set of windows that no match avoids, through alternations, optional parts and repeats
alike. A window costs its expected hits per offset, and what its grams add to the false hits of the
shared bitmap.

The prefilter looks at every second offset, which halves its work; hashing and look-ups bound it on
a GPU. A match may begin at an even or an odd offset. So the network has every node twice, once for
each parity of the byte read last, and only windows that begin at an even offset can be bought.

How the grams are hashed is in hashing.py, what their hits lead to in tables.py.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Set
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
"""The dearest anchor set that is worth having: hits at one offset in a hundred."""

STRIDE = 2
"""The prefilter looks at the windows that begin at multiples of it: 2, or 1 for all windows."""

_MAX_PATHS = 8_000
_MAX_PRICED_GRAMS = 1 << 20

# Nearly all rules have a cut that is cheaper than a window of this many grams. Then wider windows
# need no price.
_FIRST_GRAMS = 48

# A cut pays for a window once for every path that spells it. Only afterwards it shows how often
# that was the same window.
_DOUBLE_COUNTING = 4

Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Anchor:
    """One window.

    `classes`: four byte classes, those behind a shorter match of all bytes. `pivot`: the position
    that the automata run outward from; it takes the window's byte number `pivot_offset`. `rate`:
    expected hits per byte of folded text. `grams`: how many folded grams the window stands for.
    """

    classes: tuple[int, ...]
    pivot: int
    pivot_offset: int
    rate: float
    grams: int


@dataclass(frozen=True, slots=True)
class AnchorSet:
    """The anchors of one expression, of which every match has one; or the `reason` for none."""

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
    positions: PositionAutomaton,
    model: GramModel,
    stride: int = STRIDE,
    pivots: Set[int] | None = None,
) -> AnchorSet:
    """The cheapest anchors for the expression, for windows at multiples of `stride`.

    `pivots`: the positions that may be pivots; None: any.
    """
    if positions.empty:
        return AnchorSet((), "it matches the empty string, which is everywhere")
    sketch = _Sketch(positions)
    if pivots is not None:
        sketch.fixed = {p: fixed and p in pivots for p, fixed in sketch.fixed.items()}
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
    """The graph of positions that lie on a match, with the copies of long repeats merged.

    `pads`, numbers below 0, come before the starts, since a window may begin one byte before a
    match at an odd offset. There is a pad for each set of contexts that a match may begin behind:
    what stands before a word boundary is no letter, and letters are most of the text.
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
    """The windows of few enough grams, by path: four positions, or fewer at a match's end."""
    pad = (charclass.ALL,) * MAX_WINDOW
    spelled: dict[Path, tuple[int, ...]] = {}
    sizes: dict[tuple[int, ...], int] = {}
    total = 0
    # An absurd number of alternatives is cut short: the other windows can't be used.
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
    """(path, number of grams of its window); a path of less than four positions ends a match."""
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
    # A state is: the longest suffix of the path so far that begins some window, or its last
    # position; and where its last byte lies, modulo the stride. These are the states of an
    # Aho-Corasick automaton over positions.
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
    """The windows with few distinct pivots, since each is a start state; a greedy choice.

    Only a position that stands for itself alone can be a pivot.
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
            "hits"
        )
    return (
        f"the windows that every match contains would hit more than {MAX_COST:.0%} of ordinary text"
    )
