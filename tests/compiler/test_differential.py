"""Random patterns and haystacks: a rule is confirmed exactly where google-re2 finds a match."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples
from text_execution import execute

from vyre_dist.compiler import GramModel, Route, compile_tables, default_model
from vyre_dist.compiler import routed_rule as routed_rule_module
from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import candidates

randoms = st.randoms(use_true_random=False)


def check(lab: SimpleNamespace, rng: random.Random, model: GramModel, cases: int = 8) -> set[Route]:
    """Compare a small pack of random rules with google-re2 over some haystacks; the routes that
    they took.
    """
    regexes = [r for _ in range(3) if (r := lab.parse_or_none(lab.random_pattern(rng))) is not None]
    compiled = compile_tables([regex.root for regex in regexes], model)
    oracles = [lab.re2_of(regex) for regex in regexes]
    for _ in range(cases):
        text = lab.random_haystack(rng)
        sure, for_host = lab.rules_found(compiled.tables, text)
        for rule, oracle in enumerate(oracles):
            expected = oracle.search(text) is not None
            if rule in for_host:
                # left open, which is always right; which rules may do so is tested elsewhere
                continue
            assert (rule in sure) == expected, (
                regexes[rule].pattern,
                text,
                compiled.rules[rule].route,
            )
    return {program.route for program in compiled.rules}


@settings(max_examples=examples(400), deadline=None)
@given(rng=randoms)
def test_every_window_is_used(
    lab: SimpleNamespace, flat_model: GramModel, rng: random.Random
) -> None:
    """With a model that finds every window cheap, result are google-re2's."""
    check(lab, rng, flat_model)


@settings(max_examples=examples(150), deadline=None)
@given(rng=randoms)
def test_shipped_model(lab: SimpleNamespace, rng: random.Random) -> None:
    """With the shipped model, so mostly without windows, result are google-re2's."""
    check(lab, rng, default_model())


@settings(max_examples=examples(150), deadline=None)
@given(rng=randoms)
def test_bit_parallel(lab: SimpleNamespace, flat_model: GramModel, rng: random.Random) -> None:
    """With tables forbidden, bit-parallel automata give google-re2's result as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routed_rule_module, "MAX_TABLE_BYTES", 0)
        check(lab, rng, flat_model)


def test_routes_occur(lab: SimpleNamespace, flat_model: GramModel) -> None:
    """The random patterns exercise anchors and always-on automata, not the host alone."""
    seen: set[Route] = set()
    for seed in range(40):
        seen |= check(lab, random.Random(seed), flat_model, cases=1)
    assert {Route.AUTOMATA, Route.ALWAYS_ON} <= seen


@settings(max_examples=examples(300), deadline=None)
@given(rng=randoms)
def test_matches_contain_candidates(
    lab: SimpleNamespace, flat_model: GramModel, rng: random.Random
) -> None:
    """Every match of an anchored rule has a candidate of that rule that passes its probes, at its
    very position.
    """
    regex = lab.parse_or_none(lab.random_pattern(rng))
    if regex is None:
        return
    tables = compile_tables([regex.root], flat_model).tables
    if not tables.anchored()[0]:
        return
    text = lab.random_haystack(rng, 24)
    pivots = candidates(tables, Arena.lay_out([text])).pivots(tables)
    for match in lab.re2_of(regex).finditer(text):
        start, end = match.span()
        assert np.any((pivots >= start) & (pivots < end)), (regex.pattern, text, (start, end))


@settings(max_examples=examples(100), deadline=None)
@given(rng=randoms)
def test_confirmed_places_are_matches(
    lab: SimpleNamespace, flat_model: GramModel, rng: random.Random
) -> None:
    """Around every confirmed position there is a match, overlapped by another or not: it covers the
    pivot's byte.
    """
    regex = lab.parse_or_none(lab.random_pattern(rng, 1))
    if regex is None:
        return
    compiled = compile_tables([regex.root], flat_model)
    if compiled.rules[0].route is not Route.AUTOMATA:
        return
    text = lab.random_haystack(rng, 20)
    covered = {
        byte
        for start in range(len(text))
        for end in lab.match_ends(regex.root, text, {start})
        for byte in range(start, end)
    }
    for _, position in execute(compiled.tables, text).confirmed:
        assert position in covered, (regex.pattern, text, position)


@settings(max_examples=examples(200), deadline=None)
@given(rng=randoms)
def test_pieces_of_documents(
    lab: SimpleNamespace, flat_model: GramModel, rng: random.Random
) -> None:
    """In a piece of a document nothing is confirmed that the document lacks, and no inner match is
    overlooked.
    """
    regex = lab.parse_or_none(lab.random_pattern(rng, 1))
    if regex is None:
        return
    tables = compile_tables([regex.root], flat_model).tables
    text = lab.random_haystack(rng, 20)
    low, high = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
    result = execute(tables, text[low:high], at_start=low == 0, at_end=high == len(text))
    matches = {
        (start, end)
        for start in range(len(text) + 1)
        for end in lab.match_ends(regex.root, text, {start})
    }
    if result.confirmed:
        assert matches, (regex.pattern, text, low, high)
    first, last = low + (low > 0), high - (high < len(text))
    if any(first <= start and end <= last for start, end in matches):
        assert result.confirmed or result.for_host, (regex.pattern, text, low, high)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(8))
def test_many_cases(lab: SimpleNamespace, flat_model: GramModel, seed: int) -> None:
    """Over a hundred thousand (pattern, haystack) pairs a run: no differences."""
    rng = random.Random(seed)
    for _ in range(700):
        check(lab, rng, flat_model, cases=8)
