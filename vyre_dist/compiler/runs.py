"""Runs: many bytes of one class in a row, for rules without a usable window.

Forty hexadecimal digits hold no four bytes that are rare in text. But a block of sixteen digits at
a multiple of sixteen is rare, and every run of 31 digits holds one. Blocks are tested with a few
operations on words (`WordTest`); what passes is looked at byte by byte. A run says in which
document to look; the host looks. Rules with windows are in anchors.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vyre_dist.compiler.gram_model import FOLD, GramModel, folded_bytes
from vyre_dist.regex.nodes import (
    Alternate,
    Assertion,
    Capture,
    CharClass,
    Concat,
    Node,
    Repeat,
    fold,
)

BLOCK = 16
"""Bytes of a block; blocks begin at multiples of it in the arena."""

SHORTEST_RUN = 2 * BLOCK - 1
"""A run of this many bytes holds a whole block, wherever it begins."""

MAX_RUNS = 64
"""So many rules of a pack may be looked for by runs: each block that passes is tried for all."""

_LONGEST = (
    1 << 15
)  # longer ones are not looked for any further: lengths to a document's end are known to 16 bits
_MAX_SHARE = 0.6
_MAX_CLASSES = 32
_MOST = 1 << 20


@dataclass(frozen=True, slots=True, order=True)
class WordTest:
    """A superset test of folded bytes x, four in a word: (x ^ x << shift) & ones == ones.

    It asks for ones only, so the test of many words is their conjunction: two instructions each.
    """

    shift: int
    ones: int

    def passes(self, folded: int) -> bool:
        """Whether a folded byte may be a member, as far as the test can tell."""
        return (folded ^ folded << self.shift) & self.ones == self.ones


@dataclass(frozen=True, slots=True)
class Run:
    """Every match has `length` bytes of the class `mask` in a row; all of them pass `test`."""

    mask: int
    length: int
    test: WordTest


@dataclass(frozen=True, slots=True)
class _Runs:
    """What every match of a sub-expression has of one class at least.

    `whole`: its length if it is all of that class, else -1. `first`, `last`, `best`: the run at its
    start, at its end, and anywhere.
    """

    whole: int
    first: int
    last: int
    best: int


_NOTHING = _Runs(0, 0, 0, 0)
_BOUNDLESS = _Runs(_MOST, _MOST, _MOST, _MOST)


def choose_run(root: Node, model: GramModel) -> Run | None:
    """The rarest class with a run of SHORTEST_RUN in every match of `root`, or None."""
    best: tuple[float, Run] | None = None
    for mask in _classes(root):
        length = shortest_run(root, mask)
        if length < SHORTEST_RUN:
            continue
        test = word_test(mask)
        share = model.byte_share(sum(1 << b for b in range(256) if test.passes(b | FOLD)))
        if share <= _MAX_SHARE and (best is None or share < best[0]):
            best = share, Run(mask, min(length, _LONGEST), test)
    return None if best is None else best[1]


def shortest_run(root: Node, mask: int) -> int:
    """How many bytes of the class `mask` every match of `root` has in a row at least."""

    def combine(node: Node, parts: Sequence[_Runs]) -> _Runs:
        match node:
            case CharClass(mask=0):
                return _BOUNDLESS  # it never matches, so whatever is asked is true
            case CharClass(mask=own):
                return _Runs(1, 1, 1, 1) if own & ~mask == 0 else _Runs(-1, 0, 0, 0)
            case Assertion():
                return _NOTHING
            case Concat():
                return _joined(parts)
            case Alternate():
                whole = -1 if any(p.whole < 0 for p in parts) else min(p.whole for p in parts)
                return _Runs(
                    whole,
                    min(p.first for p in parts),
                    min(p.last for p in parts),
                    min(p.best for p in parts),
                )
            case Repeat():
                return _repeated(parts[0], node)
            case Capture():
                return parts[0]
        return _NOTHING

    return fold(root, combine).best


def _joined(parts: Sequence[_Runs]) -> _Runs:
    out = _NOTHING
    for part in parts:
        whole = -1 if out.whole < 0 or part.whole < 0 else min(out.whole + part.whole, _MOST)
        out = _Runs(
            whole,
            out.first if out.whole < 0 else min(out.whole + part.first, _MOST),
            part.last if part.whole < 0 else min(part.whole + out.last, _MOST),
            max(out.best, part.best, min(out.last + part.first, _MOST)),
        )
    return out


def _repeated(one: _Runs, node: Repeat) -> _Runs:
    """Optional copies can lengthen a run of whole copies, never break the runs of the others."""
    if node.min == 0:
        return _Runs(0 if one.whole >= 0 else -1, 0, 0, 0)
    if one.whole >= 0:
        length = min(one.whole * node.min, _MOST)
        return _Runs(length, length, length, length)
    best = one.best if node.min == 1 else max(one.best, min(one.last + one.first, _MOST))
    return _Runs(-1, one.first, one.last, best)


def word_test(mask: int) -> WordTest:
    """The most telling test of its form that lets every member of the class pass."""
    members = folded_bytes(mask)
    tests = []
    for shift in range(1, 8):
        # what a shift brings in from the byte below is not asked for
        ones = 0xFF << shift & 0xFF
        for byte in members:
            ones &= byte ^ byte << shift
        tests.append(WordTest(shift, ones))
    return min(tests, key=lambda test: (sum(test.passes(b | FOLD) for b in range(256)), test))


def _classes(root: Node) -> Iterator[int]:
    seen: dict[int, None] = {}

    def combine(node: Node, parts: Sequence[None]) -> None:
        del parts
        if isinstance(node, CharClass) and node.mask and len(seen) < _MAX_CLASSES:
            seen[node.mask] = None

    fold(root, combine)
    yield from seen
