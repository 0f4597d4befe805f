"""Real packs: Nosey Parker's examples, and gitleaks' rules over a corpus made of them, on both
backends.
"""

from __future__ import annotations

import os
import random
import re
from functools import cache

import pytest
from oracle import chain
from regex_testdata import shared
from split_scans import split_at

from vyre_dist import Finding, RulePack, Scanner
from vyre_dist.rules.model import PackData

# Examples that their own rule does not match, by (rule, number): none, with the rules as they are
# loaded here.
UNMATCHED_EXAMPLES: set[tuple[str, int]] = set()
MATCHED_NEGATIVES: set[tuple[str, int]] = set()


@cache
def noseyparker() -> RulePack:
    return RulePack.load(shared("noseyparker"))


@cache
def gitleaks() -> RulePack:
    return RulePack.load(shared("gitleaks.toml"))


@cache
def plain_gitleaks() -> PackData:
    """Gitleaks' regexes without any filter, so that every raw match is a finding."""
    regexes = [(rule.id, rule.regex) for rule in gitleaks() if rule.regex is not None]
    return RulePack.from_patterns(dict(regexes)).data


@cache
def corpus() -> tuple[bytes, ...]:
    """Documents made of Nosey Parker's examples, one to twenty in each, with code-like text, noise
    and newlines between.
    """
    rng = random.Random(7)
    examples = [text.encode() for rule in noseyparker() for text in rule.examples]
    words = [
        b"token",
        b"secret_key = ",
        b'"',
        b"'",
        b"=",
        b":",
        b"\n",
        b" ",
        b"api-key",
        b"password",
        b"://",
        b"@",
        b"\xe9",
    ]

    def between() -> bytes:
        if rng.random() < 0.3:
            return rng.randbytes(rng.randrange(60))
        return b"".join(rng.choice(words) for _ in range(rng.randrange(8)))

    return tuple(
        b"".join(
            between() + rng.choice(examples) + b"\n" * rng.randrange(3)
            for _ in range(rng.randrange(1, 20))
        )
        for _ in range(120)
    )


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_noseyparker_examples(backend: str) -> None:
    """Every example is found by its rule, and no counter-example is."""
    pack = noseyparker()
    wanted = [(rule.id, i, text, True) for rule in pack for i, text in enumerate(rule.examples)]
    wanted += [
        (rule.id, i, text, False) for rule in pack for i, text in enumerate(rule.negative_examples)
    ]
    assert sum(hit for *_, hit in wanted) == 430
    scanner = Scanner(pack, backend, cache_dir=os.environ["XDG_CACHE_HOME"])
    found = scanner.scan_batch([text.encode() for _, _, text, _ in wanted])
    missed, matched = set(), set()
    for (rule, i, _, hit), findings in zip(wanted, found, strict=True):
        if any(f.rule_id == rule for f in findings) != hit:
            (missed if hit else matched).add((rule, i))
    assert missed == UNMATCHED_EXAMPLES
    assert matched == MATCHED_NEGATIVES


def test_noseyparker_pack_in_pieces() -> None:
    """Both backends give the same findings for the whole pack, in shards of any size."""
    same_everywhere(noseyparker().data, corpus()[::12], [1 << 20, 1000, 61])


def test_gitleaks_pack_in_pieces() -> None:
    """Both backends give the same findings for the whole pack, filters included, in shards of any
    size.
    """
    found = same_everywhere(gitleaks().data, corpus()[::4], [1 << 20, 4096, 307])
    assert len(found) > 100


def test_gitleaks_regexes_are_the_oracles() -> None:
    """What the cpu backend finds for every regex is what google-re2 finds in the whole document."""
    pack = plain_gitleaks()
    documents = corpus()[::5]
    hits = 0
    scanner = Scanner(pack, "cpu")
    for shard_bytes in (1 << 20, 512):
        split_at(scanner, shard_bytes)
        found = scanner.scan_batch(documents)
        for document, findings in zip(documents, found, strict=True):
            for rule in pack.rules:
                assert rule.regex is not None
                mine = [(f.start, f.end, f.groups) for f in findings if f.rule_id == rule.id]
                assert mine == [
                    (m.start(), m.end(), m.groups())
                    for m in chain(as_ascii(rule.regex), document, 1 << 16)
                ]
                hits += len(mine)
    assert hits > 300


def as_ascii(pattern: str) -> str:
    """As written: gitleaks' patterns name no byte above 0x7F, so google-re2's folding of those
    can't matter.
    """
    assert pattern.isascii()
    assert not re.search(r"\\x\{?[89a-fA-F]", pattern)
    return pattern


def same_everywhere(
    pack: PackData, documents: tuple[bytes, ...], shards: list[int]
) -> list[Finding]:
    whole: list[list[Finding]] = []
    for backend in ("reference", "cpu"):
        scanner = Scanner(pack, backend, cache_dir=os.environ["XDG_CACHE_HOME"])
        for shard_bytes in shards:
            split_at(scanner, shard_bytes)
            found = scanner.scan_batch(documents)
            whole = whole or found
            assert found == whole, (backend, shard_bytes)
    return [f for findings in whole for f in findings]
