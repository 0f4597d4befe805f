"""Anchors: which windows are chosen, what they cost, and that the choice is the cheapest there
is.
"""

from __future__ import annotations

import itertools
import math
import random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples

from vyre_dist.compiler import default_model
from vyre_dist.compiler.anchors import MAX_GRAMS, AnchorSet, choose_anchors
from vyre_dist.compiler.min_cut import FlowNetwork
from vyre_dist.compiler.position_automaton import build_position_automaton
from vyre_dist.regex import charclass, parse, strip_captures


def anchors_of(pattern: str, stride: int = 1) -> AnchorSet:
    return choose_anchors(
        build_position_automaton(strip_captures(parse(pattern).root)), default_model(), stride
    )


def spelled(anchors: AnchorSet) -> set[str]:
    """The windows as text, `?` for a class that is more than one letter in either case."""
    return {
        "".join(
            chr(min(charclass.members(mask))).lower() if mask.bit_count() <= 2 else "?"
            for mask in anchor.classes
        )
        for anchor in anchors.anchors
    }


@pytest.mark.parametrize(
    ("pattern", "windows"),
    [
        ("self.xqzj.return", {"xqzj"}),
        ("(?:self.xqzj|return.wvkq)", {"xqzj", "wvkq"}),
        ("(?:the )?xqzj", {"xqzj"}),
        ("(?:xqzj)+", {"xqzj"}),
        ("(?:self.{0,30}){3}xqzj[a-z]*", {"xqzj"}),
        ("[a-z]{3,9}xqzj[a-z]{20}", {"xqzj"}),
        ("(?:ab|cd)(?i:XQZJ)", {"xqzj"}),
        ("xq[0-9]z", {"xq?z"}),
        ("~~\x01", {"~~\x01?"}),
    ],
)
def test_chosen_windows(pattern: str, windows: set[str]) -> None:
    """The rarest required windows are chosen, through alternations, options and repeats."""
    assert spelled(anchors_of(pattern)) == windows


@pytest.mark.parametrize(
    ("pattern", "windows"),
    [
        ("self.xqzj.return", {"xqzj", "qzj?"}),
        ("(?:xqzj|wvkq).", {"xqzj", "qzj?", "wvkq", "vkq?"}),
        ("xqzj", {"xqzj", "qzj?"}),
        ("(?:xqzj)+", {"xqzj", "qzj?"}),
        ("~~\x01", {"~~\x01?", "?~~\x01"}),
    ],
)
def test_chosen_windows_at_even_places(pattern: str, windows: set[str]) -> None:
    """Where only even offsets are looked at, a match that begins at an odd one has another window,
    or a byte before it.
    """
    assert spelled(anchors_of(pattern, stride=2)) == windows


@pytest.mark.parametrize(
    ("pattern", "before"),
    [
        ("xqz", charclass.ALL),
        (r"\bxqz", charclass.ALL & ~charclass.WORD),
        (r"\Bxqz", charclass.WORD),
        ("(?m)^xqz", charclass.NEWLINE),
        (r"\Axqz", None),
        (r"(?:\A|,)xqz", charclass.of(b",")),
        (r"(?:\b|\B)xqz", charclass.ALL),
    ],
)
def test_byte_before_a_match(pattern: str, before: int | None) -> None:
    """Before a match at an odd offset stands what its assertions allow: nothing where it must begin
    at a text's start.
    """
    ahead = {
        anchor.classes[0]
        for anchor in anchors_of(pattern, stride=2).anchors
        if anchor.pivot_offset == 1
    }
    assert ahead == (set() if before is None else {before})


@settings(max_examples=examples(300), deadline=None)
@given(rng=st.randoms(use_true_random=False))
def test_every_match_has_a_window_at_an_even_place(
    lab: SimpleNamespace, rng: random.Random
) -> None:
    """Wherever a match begins, one of the anchors begins at an even offset of the text and lies on
    it.
    """
    regex = lab.parse_or_none(lab.random_pattern(rng, 1))
    anchors = None if regex is None else anchors_of(regex.pattern, stride=2)
    if anchors is None or not anchors.anchors:
        return
    text = b"\n" * rng.randrange(2) + lab.random_haystack(rng, 20)
    padded = text + b"\0" * 4
    for match in lab.re2_of(regex).finditer(text):
        assert any(
            match.start() <= at + anchor.pivot_offset < match.end()
            and all(
                charclass.fold_case(mask) >> padded[at + i] & 1
                for i, mask in enumerate(anchor.classes)
            )
            for anchor in anchors.anchors
            for at in range(0, len(text), 2)
        ), (regex.pattern, text, match.span())


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a*", "empty string"),
        (r"\b", "empty string"),
        ("ab", "no four bytes"),
        ("[a-z]{40}", "no four bytes"),
        (r"(?:xqzj|\w)\w{9}", "hit more than 1%"),
    ],
)
def test_no_window(pattern: str, reason: str) -> None:
    """A rule without a usable window has none, and the reason says why."""
    anchors = anchors_of(pattern)
    assert not anchors.anchors
    assert reason in anchors.reason


def test_nothing_to_find() -> None:
    """A pattern that can't match has no anchors and no reason."""
    assert anchors_of("token[^\\x00-\\xff]") == AnchorSet((), "")


def test_bounds_on_windows(gitleaks: object) -> None:
    """No window of a real pack stands for more grams than allowed, or has its pivot outside of
    it.
    """
    for program in gitleaks.compiled.rules:  # type: ignore[attr-defined]
        for anchor in program.anchors.anchors:
            assert 1 <= anchor.grams <= MAX_GRAMS
            assert 0 <= anchor.pivot_offset < 4


def cut_cost(edges: list[tuple[int, int, float]], chosen: set[int]) -> float:
    """What the chosen edges cost, infinity where a way from 0 to 1 is left without them."""
    seen, stack = {0}, [0]
    while stack:
        node = stack.pop()
        for number, (source, target, _) in enumerate(edges):
            if source == node and number not in chosen and target not in seen:
                seen.add(target)
                stack.append(target)
    return math.inf if 1 in seen else sum(edges[number][2] for number in chosen)


def test_min_cut_against_all_cuts() -> None:
    """On random small networks the cut is one, and no subset of edges is a cheaper one."""
    rng = random.Random(11)
    for _ in range(150):
        nodes = rng.randrange(2, 6)
        edges = [
            (rng.randrange(nodes), rng.randrange(nodes), rng.choice((1.0, 0.3, 2.5, math.inf)))
            for _ in range(rng.randrange(9))
        ]
        network = FlowNetwork(nodes)
        numbers = [network.add_edge(*edge) for edge in edges]
        best = min(
            cut_cost(edges, set(subset))
            for size in range(len(edges) + 1)
            for subset in itertools.combinations(range(len(edges)), size)
        )
        found = network.min_cut(0, 1, 1e9)
        if best == math.inf:
            assert found is None
        else:
            assert found is not None
            assert cut_cost(edges, {numbers.index(edge) for edge in found}) == pytest.approx(best)


def test_min_cut_above_the_limit() -> None:
    """A cut that costs more than the limit is no answer."""
    network = FlowNetwork(2)
    network.add_edge(0, 1, 2.0)
    assert network.min_cut(0, 1, 1.9) is None
