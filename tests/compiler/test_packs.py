"""Real packs: what share of them the tables decide, how large those are, and that they decide as
google-re2 does.
"""

from __future__ import annotations

import random
import sysconfig
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from text_execution import execute

from vyre_dist.compiler import Arena, Route, compile_tables
from vyre_dist.compiler.arena_executor import bitmap_positions, candidates


def test_nearly_all_rules_are_decided_by_tables(
    gitleaks: SimpleNamespace, noseyparker: SimpleNamespace
) -> None:
    """At least 97 % of both packs' rules need no host, in less than 4 MB of tables together."""
    size = 0
    for pack in (gitleaks, noseyparker):
        programs = pack.compiled.rules
        by_tables = sum(program.route in (Route.AUTOMATA, Route.ALWAYS_ON) for program in programs)
        assert by_tables >= 0.97 * len(programs)
        found = sum(
            bool(program.anchors.anchors) or program.run is not None for program in programs
        )
        assert found >= 0.99 * len(programs)
        size += pack.compiled.tables.nbytes
    assert size < 4 << 20


def test_whoever_takes_another_route_says_why(
    gitleaks: SimpleNamespace, noseyparker: SimpleNamespace
) -> None:
    """A rule on the host, always on, or bit-parallel has a reason in words."""
    for pack in (gitleaks, noseyparker):
        for program in pack.compiled.rules:
            if program.route in (Route.HOST, Route.ALWAYS_ON):
                assert len(program.reason) > 20


def test_windows_are_few(gitleaks: SimpleNamespace) -> None:
    """gitleaks' anchors are at most 30 000 grams, expected at less than 1 % of positions with
    chance hits included.
    """
    tables = gitleaks.compiled.tables
    assert tables.grams.size < 30_000
    assert tables.expected_hits / tables.stride < 0.01


def library_text(megabytes: int) -> list[bytes]:
    """Whole files of this Python's library in a fixed random order."""
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py"))
    paths = [
        path
        for path in paths
        if "site-packages" not in path.parts and "dist-packages" not in path.parts
    ]
    random.Random(7).shuffle(paths)
    documents, size = [], 0
    for path in paths:
        documents.append(path.read_bytes())
        size += len(documents[-1])
        if size > megabytes << 20:
            break
    return documents


@pytest.mark.parametrize("name", ["gitleaks", "noseyparker"])
def test_few_positions_are_looked_at_twice(name: str, request: pytest.FixtureRequest) -> None:
    """In this Python's library less than 1 % of positions hit the bitmap, and less than 0.1 % are
    exact candidates.

    Figures for whole trees are benchmarks/anchor_rates.py's (0.07 % for gitleaks in all of 3.11's
    library).
    """
    tables = request.getfixturevalue(name).compiled.tables
    arena = Arena.lay_out(library_text(6))
    assert arena.data.size > 2 << 20
    hits = bitmap_positions(tables, arena.data)
    assert hits.size < 0.01 * arena.data.size
    assert np.unique(candidates(tables, arena).positions).size < 0.001 * arena.data.size


@pytest.mark.nightly  # tests/program/test_pack_tables.py asks for more, and of a process of its own
def test_compile_time(gitleaks: SimpleNamespace) -> None:
    """gitleaks' pack compiles in seconds: well under 10 s of processor time even on a slow
    machine.
    """
    began = time.process_time()
    compile_tables([regex.root for regex in gitleaks.regexes])
    assert time.process_time() - began < 10


@pytest.mark.parametrize("name", ["gitleaks", "noseyparker"])
def test_examples_and_mutations(
    name: str, lab: SimpleNamespace, example_texts: list[bytes], request: pytest.FixtureRequest
) -> None:
    """Every rule on every example, and on mutations of it: confirmed exactly when google-re2 finds
    a match.
    """
    pack = request.getfixturevalue(name)
    rng = random.Random(name)
    texts = example_texts + [lab.mutated(rng, text) for text in example_texts]
    oracles = [lab.re2_of(regex) for regex in pack.regexes]
    wrong, hits = [], 0
    for text in texts:
        sure, for_host = lab.rules_found(pack.compiled.tables, text)
        for rule, oracle in enumerate(oracles):
            expected = oracle.search(text) is not None
            hits += expected
            ours = rule in sure
            if ours != expected and not (expected and rule in for_host):
                wrong.append((pack.ids[rule], text))
    assert not wrong
    assert hits > 500


def test_joined_examples(
    gitleaks: SimpleNamespace, lab: SimpleNamespace, example_texts: list[bytes]
) -> None:
    """In one long text every confirmed position lies in the neighbourhood of a match of google-re2,
    and all rules agree.
    """
    text = b"\n".join(example_texts)
    result = execute(gitleaks.compiled.tables, text)
    for_host = {rule for rule, _ in result.for_host}
    for rule, regex in enumerate(gitleaks.regexes):
        spans = [match.span() for match in lab.re2_of(regex).finditer(text)]
        positions = [position for other, position in result.confirmed if other == rule]
        assert bool(spans) == bool(positions) or (spans and rule in for_host), gitleaks.ids[rule]


def test_shifts(
    gitleaks: SimpleNamespace, lab: SimpleNamespace, example_texts: list[bytes]
) -> None:
    """A match is found at each of 261 offsets, with and without text after it, next to word bytes
    or not.
    """
    cases: dict[int, bytes] = {}
    oracles = [lab.re2_of(regex) for regex in gitleaks.regexes]
    for text in example_texts:
        if len(text) < 120:
            for rule in lab.rules_found(gitleaks.compiled.tables, text)[0]:
                cases.setdefault(rule, text)
    assert len(cases) > 15
    for number, (rule, text) in enumerate(cases.items()):
        for shift in range(number % 9, 261, 9 if number > 3 else 1):
            for filler, tail in ((b" ", b""), (b"x", b"x"), (b"\n", b"\n")):
                moved = filler * shift + text + tail
                sure = lab.rules_found(gitleaks.compiled.tables, moved)[0]
                assert (rule in sure) == (oracles[rule].search(moved) is not None), (
                    gitleaks.ids[rule],
                    moved,
                )
