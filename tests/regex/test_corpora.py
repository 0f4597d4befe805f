"""Real rules and other people's test data: what they say about a pattern holds for ours."""

from __future__ import annotations

import collections
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from vyre_dist.regex import RegexSyntaxError, factors, parse, strip_captures, to_pcre, to_re2

Finder = Callable[[str], Path]


def gitleaks(shared_data: Finder) -> list[str]:
    rules = tomllib.loads(shared_data("gitleaks.toml").read_text())["rules"]
    return [rule["regex"] for rule in rules if "regex" in rule]


def noseyparker(shared_data: Finder) -> list[dict[str, Any]]:
    files = sorted(shared_data("noseyparker").glob("*.yml"))
    return [rule for file in files for rule in yaml.safe_load(file.read_text())["rules"]]


def test_gitleaks_patterns(lab: SimpleNamespace, shared_data: Finder) -> None:
    """All of gitleaks' patterns parse as plain RE2, print to the same groups, and have factors."""
    patterns = gitleaks(shared_data)
    assert len(patterns) > 200
    for pattern in patterns:
        regex = parse(pattern)
        original, canonical = lab.re2_compile(pattern.encode()), lab.re2_compile(to_re2(regex))
        assert not regex.extended
        assert canonical.groups == original.groups == regex.groups
        assert canonical.groupindex == original.groupindex
        assert parse(to_re2(regex)).root == regex.root
        found = factors(regex.root, width=4)
        assert found is not None
        assert found.cost < 0.01


def test_gitleaks_matches(lab: SimpleNamespace, shared_data: Finder) -> None:
    """On text made of noseyparker's examples, gitleaks' patterns and their canonical forms find the same."""
    rules = noseyparker(shared_data)
    text = "\n".join(example for rule in rules for example in rule.get("examples") or ()).encode()
    text = bytes(b for b in text if b < 0x80)
    hits = 0
    for pattern in gitleaks(shared_data):
        found = lab.spans(lab.re2_compile(pattern.encode()), text)
        assert lab.spans(lab.re2_compile(to_re2(parse(pattern))), text) == found
        hits += len(found)
    assert hits > 100


def test_noseyparker_examples(lab: SimpleNamespace, shared_data: Finder) -> None:
    """Noseyparker's verbose patterns match their examples and none of their counter-examples."""
    wrong, examples, verbose = [], 0, 0
    for rule in noseyparker(shared_data):
        regex = parse(rule["pattern"])
        verbose += regex.extended
        compiled = lab.re2_compile(to_re2(regex))
        wanted = [(text, True) for text in rule.get("examples") or ()]
        wanted += [(text, False) for text in rule.get("negative_examples") or ()]
        examples += len(wanted)
        wrong += [
            (rule["id"], text) for text, hit in wanted if (compiled.search(text.encode()) is not None) != hit
        ]
    assert examples > 400
    assert verbose > 100
    # Two examples are known not to be decided by their regex alone.
    assert len(wrong) <= 2, wrong


def test_hyperscan_takes_every_rule(lab: SimpleNamespace, shared_data: Finder) -> None:
    """Hyperscan compiles the PCRE form of every real rule and agrees with RE2 on which texts have a match."""
    rules = noseyparker(shared_data)
    texts = [text.encode() for rule in rules[::4] for text in (rule.get("examples") or ())[:1]]
    for pattern in [rule["pattern"] for rule in rules[::3]] + gitleaks(shared_data)[::5]:
        regex = parse(pattern)
        database = lab.hyperscan_database(to_pcre(regex))
        compiled = lab.re2_compile(to_re2(regex))
        for text in texts:
            assert bool(lab.hyperscan_ends(database, text)) == (compiled.search(text) is not None), pattern


def cases(shared_data: Finder) -> Iterator[tuple[str, dict[str, Any]]]:
    root = shared_data("regex-testdata")
    for file in sorted(root.rglob("*.toml")):
        for test in tomllib.loads(file.read_text())["test"]:
            yield f"{file.stem}/{test['name']}", test


def why_left_out(test: dict[str, Any]) -> str | None:
    """Why a case of the Rust test data asks for something that our semantics do not have, if it does."""
    options = {"match-kind": "leftmost-first", "search-kind": "leftmost", "line-terminator": "\n"}
    for option, ours in options.items():
        if test.get(option, ours) != ours:
            return option
    for option in ("anchored", "bounds", "match-limit", "case-insensitive"):
        if test.get(option):
            return option
    if isinstance(test["regex"], list):
        return "several patterns"
    if test.get("compiles") is False:
        return "does not compile in Rust"
    if test.get("unicode", True) and not (test["regex"].isascii() and test["haystack"].isascii()):
        return "Unicode semantics"
    if test.get("unicode", True) and re.search(r"\\[xuU]\{?[89a-fA-F]|\\u|\\x\{", test["regex"]):
        return "Unicode escape"
    if test.get("unescape") and not test["haystack"].isascii():
        return "Unicode semantics"
    return None


# Rust's syntax that RE2 does not have.
RUST_ONLY = re.compile(
    r"&&|--|~~|\[[^]]*\[[^:]|\\b\{|\\[<>]|\(\?[a-zA-Z-]*[uR]|\\u|\\p\{|(?:[*+?}])[*+]|\(\?\^|\{,"
)


def test_rust_test_data(lab: SimpleNamespace, shared_data: Finder) -> None:
    """The Rust regex crate's leftmost-first cases over bytes have the matches that its test data lists."""
    left_out: collections.Counter[str] = collections.Counter()
    failed, ran = [], 0
    for name, test in cases(shared_data):
        reason = why_left_out(test)
        if reason is None and RUST_ONLY.search(test["regex"]):
            reason = "Rust-only syntax"
        if reason is None:
            haystack = test["haystack"].encode()
            if test.get("unescape"):
                haystack = haystack.decode("unicode_escape").encode("latin-1")
            ran += 1
            if not same_matches(lab, test, haystack):
                failed.append(name)
        else:
            left_out[reason] += 1
    print(f"ran {ran}, left out {dict(left_out)}, failed {failed}")  # noqa: T201
    assert not failed, (ran, left_out)
    assert ran > 500


def same_matches(lab: SimpleNamespace, test: dict[str, Any], haystack: bytes) -> bool:
    try:
        compiled = lab.re2_compile(to_re2(parse(test["regex"])))
    except RegexSyntaxError:
        return False
    expected = [
        entry.get("spans", [entry.get("span")]) if isinstance(entry, dict) else entry
        for entry in test["matches"]
    ]
    expected = [spans if spans and isinstance(spans[0], list) else [spans] for spans in expected]
    found = [
        [list(span) if span != (-1, -1) else [] for span in spans] for spans in lab.spans(compiled, haystack)
    ]
    if all(len(spans) == 1 for spans in expected):
        found = [spans[:1] for spans in found]
    return found == expected
