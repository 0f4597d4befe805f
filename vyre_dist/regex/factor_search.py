"""Required factors: short sequences of byte classes, at least one of which is in every match.

A prefilter looks for the factors only. A cost model says which are cheapest, in expected hits per
byte of haystack; the default one knows only how common single bytes are in text. Factors are
computed bottom-up, over classes instead of strings: for every node what it matches exactly (if
little), what its matches start and end with, and the best factors inside it. The windows of the
compiled tables are chosen elsewhere (compiler/anchors.py).

Source: R. Cox, "Regular Expression Matching with a Trigram Index" (2012).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from vyre_dist.regex import charclass
from vyre_dist.regex.nodes import Alternate, Capture, CharClass, Concat, Node, Repeat, fold

Factor = tuple[int, ...]
"""Consecutive byte classes (256-bit masks)."""

Cost = Callable[[Factor], float]
"""Expected number of the factor's occurrences per byte of haystack."""

_MAX_CROSSING = 16
_NOTHING: tuple[Factor, ...] = ((),)


@dataclass(frozen=True, slots=True)
class FactorSet:
    """Factors of which every match has one, and the sum of their costs; none: nothing matches."""

    factors: tuple[Factor, ...]
    cost: float


def factors(
    node: Node, *, width: int = 8, max_factors: int = 64, cost: Cost | None = None
) -> FactorSet | None:
    """The cheapest set found of at most `max_factors` factors of at most `width` bytes each.

    Returns None where nothing is required, as in a nullable pattern. `cost` prices one factor; a
    set costs the sum.
    """
    if width < 1 or max_factors < 1:
        raise ValueError(f"width and max_factors must be at least 1, not {width} and {max_factors}")
    return fold(node, _Search(width, max_factors, cost or byte_cost).combine).best


@dataclass(frozen=True, slots=True)
class _Info:
    """Of a node: `exact`: all that it matches, None if too much; how matches start and end."""

    exact: tuple[Factor, ...] | None
    prefix: tuple[Factor, ...]
    suffix: tuple[Factor, ...]
    best: FactorSet | None


_EMPTY = _Info(_NOTHING, _NOTHING, _NOTHING, None)
_UNKNOWN = _Info(None, _NOTHING, _NOTHING, None)


class _Search:
    def __init__(self, width: int, max_factors: int, cost: Cost) -> None:
        self._width = width
        self._max = max_factors
        self._cost = functools.cache(cost)
        self._window = functools.cache(self._cheapest_window)

    def combine(self, node: Node, parts: Sequence[_Info]) -> _Info:
        """The node's facts from its children's."""
        match node:
            case CharClass(mask=0):
                return _Info((), (), (), FactorSet((), 0.0))
            case CharClass(mask=mask):
                one = ((mask,),)
                return _Info(one, one, one, self._priced(one))
            case Concat():
                return functools.reduce(self._concat, parts)
            case Alternate():
                return self._alternate(parts)
            case Repeat():
                return self._repeat(node, parts[0])
            case Capture():
                return parts[0]
        return _EMPTY

    def _concat(self, a: _Info, b: _Info) -> _Info:
        exact = None
        if a.exact is not None and b.exact is not None and len(a.exact) * len(b.exact) <= self._max:
            exact = _crossed(a.exact, b.exact)
            if any(len(seq) > self._width for seq in exact):
                exact = None
        prefix, suffix, across = a.prefix, b.suffix, None
        if a.exact is not None and self._worth_crossing(a.exact, b.prefix):
            prefix = self._bounded(_crossed(a.exact, b.prefix), keep_start=True)
        if b.exact is not None and self._worth_crossing(a.suffix, b.exact):
            suffix = self._bounded(_crossed(a.suffix, b.exact), keep_start=False)
        if self._worth_crossing(a.suffix, b.prefix):
            across = self._priced(_crossed(a.suffix, b.prefix))
        return _Info(exact, prefix, suffix, _cheapest(a.best, b.best, across))

    def _worth_crossing(self, a: tuple[Factor, ...], b: tuple[Factor, ...]) -> bool:
        # Far more pairs than may be kept would be cut down to about what either side alone gives.
        return len(a) * len(b) <= _MAX_CROSSING * self._max

    def _alternate(self, parts: Sequence[_Info]) -> _Info:
        exact: tuple[Factor, ...] | None = None
        if all(part.exact is not None for part in parts):
            exact = _union(seq for part in parts for seq in part.exact or ())
            exact = exact if len(exact) <= self._max else None
        best = None
        if all(part.best is not None for part in parts):
            best = self._priced(
                _union(seq for part in parts if part.best for seq in part.best.factors)
            )
        prefix = self._bounded(
            _union(seq for part in parts for seq in part.prefix), keep_start=True
        )
        suffix = self._bounded(
            _union(seq for part in parts for seq in part.suffix), keep_start=False
        )
        return _Info(exact, prefix, suffix, best)

    def _repeat(self, node: Repeat, part: _Info) -> _Info:
        # More copies than a factor is wide can only repeat what fewer already show.
        shown = min(node.min, self._width)
        info = functools.reduce(self._concat, [part] * shown, _EMPTY)
        if shown < node.min:
            return self._concat(self._concat(info, _UNKNOWN), info)
        if node.max == node.min:
            return info
        optional = _UNKNOWN
        if node.max is not None and node.max - node.min <= self._width and part.exact is not None:
            optional = self._up_to(node.max - node.min, part)
        with_rest = self._concat(info, optional)
        if with_rest.exact is not None:
            return with_rest
        # The last copies end a match too, which the optional part alone does not show.
        return _Info(None, with_rest.prefix, info.suffix, with_rest.best)

    def _up_to(self, count: int, part: _Info) -> _Info:
        """Zero to `count` copies of something exactly known."""
        power, seqs = _EMPTY, _NOTHING
        for _ in range(count):
            power = self._concat(power, part)
            if power.exact is None:
                return _UNKNOWN
            seqs = tuple(dict.fromkeys(seqs + power.exact))
            if len(seqs) > self._max:
                return _UNKNOWN
        return _Info(seqs, seqs, seqs, None)

    def _bounded(self, seqs: tuple[Factor, ...], *, keep_start: bool) -> tuple[Factor, ...]:
        """Sequences cut at the far end until few are left: matches still start or end with them."""
        for length in range(self._width, 0, -1):
            cut = tuple(
                dict.fromkeys(seq[:length] if keep_start else seq[-length:] for seq in seqs)
            )
            if len(cut) <= self._max:
                return cut
        return _NOTHING

    def _priced(self, seqs: tuple[Factor, ...]) -> FactorSet | None:
        """The sequences' cheapest windows with their cost; None where one of them is empty."""
        if () in seqs:
            return None
        windows = tuple(dict.fromkeys(self._window(seq) for seq in seqs))
        length = self._width - 1
        while len(windows) > self._max and length > 0:
            windows = tuple(dict.fromkeys(seq[:length] for seq in windows))
            length -= 1
        if len(windows) > self._max:
            merged = functools.reduce(operator.or_, (seq[0] for seq in windows))
            windows = ((merged,),)
        return FactorSet(windows, sum(self._cost(seq) for seq in windows))

    def _cheapest_window(self, seq: Factor) -> Factor:
        starts = range(max(len(seq) - self._width, 0) + 1)
        return min((seq[i : i + self._width] for i in starts), key=self._cost)


def _union(seqs: Iterable[Factor]) -> tuple[Factor, ...]:
    """The distinct sequences, with those of one byte joined into one class."""
    distinct = dict.fromkeys(seqs)
    mask = functools.reduce(operator.or_, (seq[0] for seq in distinct if len(seq) == 1), 0)
    longer = tuple(seq for seq in distinct if len(seq) != 1)
    return (*longer, (mask,)) if mask else longer


def _crossed(a: tuple[Factor, ...], b: tuple[Factor, ...]) -> tuple[Factor, ...]:
    return tuple(dict.fromkeys(left + right for left in a for right in b))


def _cheapest(*sets: FactorSet | None) -> FactorSet | None:
    return min(
        (s for s in sets if s is not None), key=lambda s: (s.cost, len(s.factors)), default=None
    )


def byte_cost(factor: Factor) -> float:
    """The product of the classes' shares of ordinary text, as if bytes were independent."""
    price = 1.0
    for mask in factor:
        price *= _class_share(mask)
    return price


# Shares of text and source code in per mille, by group: (bytes, share of each).
_SHARES = (
    (b" ", 150.0),
    (b"e", 70.0),
    (b"tainosr", 45.0),
    (b"\nldcupmfh", 25.0),
    (b"gybv_", 12.0),
    (b"wkxqzj0123456789.,-/()=\"';:", 6.0),
    (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ\t*#<>[]{}&+$!", 3.0),
)
_OTHER_SHARE = 0.3


@functools.lru_cache(maxsize=4096)
def _class_share(mask: int) -> float:
    total = 0.0
    for group, share in _SHARES:
        inside = mask & charclass.of(group)
        total += share * inside.bit_count()
        mask ^= inside
    return min((total + _OTHER_SHARE * mask.bit_count()) / 1000, 1.0)
