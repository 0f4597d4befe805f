"""Real rules and other people's test data: what they say about a pattern holds for ours."""

from __future__ import annotations

import collections
import itertools
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from vyre_dist.regex import Regex, RegexSyntaxError, factors, parse, to_pcre, to_re2

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
    """On text made of noseyparker's examples, gitleaks' patterns and their canonical forms find the
    same.
    """
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
            (rule["id"], text)
            for text, hit in wanted
            if (compiled.search(text.encode()) is not None) != hit
        ]
    assert examples > 400
    assert verbose > 100
    assert not wrong


def test_hyperscan_takes_every_rule(lab: SimpleNamespace, shared_data: Finder) -> None:
    """Hyperscan compiles the PCRE form of every real rule and agrees with RE2 on which texts have a
    match.
    """
    rules = noseyparker(shared_data)
    texts = [text.encode() for rule in rules[::4] for text in (rule.get("examples") or ())[:1]]
    for pattern in [rule["pattern"] for rule in rules[::3]] + gitleaks(shared_data)[::5]:
        regex = parse(pattern)
        database = lab.hyperscan_database(to_pcre(regex))
        compiled = lab.re2_compile(to_re2(regex))
        for text in texts:
            assert bool(lab.hyperscan_ends(database, text)) == (
                compiled.search(text) is not None
            ), pattern


@dataclass(frozen=True)
class Case:
    name: str
    pattern: str
    haystack: bytes
    matches: list[Any]
    limit: int | None
    left_out: str | None


def cases(shared_data: Finder) -> Iterator[Case]:
    root = shared_data("regex-testdata")
    for file in sorted(root.rglob("*.toml")):
        for test in tomllib.loads(file.read_text())["test"]:
            haystack = test["haystack"].encode()
            if test.get("unescape"):
                haystack = haystack.decode("unicode_escape").encode("latin-1", "replace")
            pattern = test["regex"] if isinstance(test["regex"], str) else ""
            # Bytes instead of code points: what ours does everywhere.
            pattern, switched = re.subn(r"\(\?-u([:)])", r"(?\1", pattern)
            reason = why_left_out(test, pattern, haystack, file.stem == "regex-lite", switched > 0)
            if test.get("case-insensitive"):
                pattern = f"(?i:{pattern})"
            if test.get("anchored"):
                pattern = rf"\A(?:{pattern})"
            limit = test.get("match-limit")
            yield Case(
                f"{file.stem}/{test['name']}", pattern, haystack, test["matches"], limit, reason
            )


# Rust's syntax for what RE2 has not, or reads in another way.
RUST_ONLY = re.compile(r"&&|--|~~|\[[^]]*\[[^:]|\\b\{|\\[<>]|\(\?[a-zA-Z-]*[Ru]")


def why_left_out(
    test: dict[str, Any], pattern: str, haystack: bytes, regex_lite: bool, switched: bool
) -> str | None:
    """Why a case asks for something that our semantics do not have, if it does."""
    options = {"match-kind": "leftmost-first", "search-kind": "leftmost", "line-terminator": "\n"}
    for option, ours in options.items():
        if test.get(option, ours) != ours:
            return option
    if test.get("bounds"):
        return "bounds"
    if test.get("anchored") and test.get("match-limit") != 1:
        return "every match anchored"
    if not isinstance(test["regex"], str):
        return "several patterns"
    if test.get("compiles") is False:
        return "does not compile in Rust"
    if RUST_ONLY.search(pattern):
        return "Rust-only syntax"
    by_code_point = regex_lite or (test.get("unicode", True) and not switched)
    ascii_only = (
        pattern.isascii() and haystack.isascii() and not re.search(r"\\[xuU]\{?[89a-fA-F]", pattern)
    )
    return "code points" if by_code_point and not ascii_only else None


def test_rust_test_data(lab: SimpleNamespace, shared_data: Finder) -> None:
    """The Rust regex crate's leftmost-first cases over bytes have the matches that its test data
    lists.
    """
    left_out: collections.Counter[str] = collections.Counter()
    failed, ran = [], 0
    for case in cases(shared_data):
        regex = None if case.left_out else parse_or_none(case.pattern)
        if regex is None:
            left_out[case.left_out or "RE2 refuses it too"] += 1
            assert case.left_out or lab.re2_compile(case.pattern.encode()) is None, case.name
            continue
        ran += 1
        if not same_matches(lab.re2_compile(to_re2(regex)), case):
            failed.append(case.name)
    print(f"ran {ran}; left out {dict(left_out)}")  # noqa: T201
    assert not failed
    assert ran > 600


def parse_or_none(pattern: str) -> Regex | None:
    try:
        return parse(pattern)
    except RegexSyntaxError:
        return None


def same_matches(compiled: Any, case: Case) -> bool:
    """Whether the matches are those listed: each a span, a list of groups' spans, or a table with
    either.
    """
    expected = []
    for entry in case.matches:
        spans = entry.get("spans", entry.get("span")) if isinstance(entry, dict) else entry
        expected.append(spans if isinstance(spans[0], list) else [spans])
    found = [
        [
            [] if span == (-1, -1) else list(span)
            for span in map(match.span, range(compiled.groups + 1))
        ]
        for match in itertools.islice(all_matches(compiled, case.haystack), case.limit)
    ]
    if all(len(spans) == 1 for spans in expected):
        found = [spans[:1] for spans in found]
    return found == expected


def all_matches(compiled: Any, haystack: bytes) -> Iterator[Any]:
    """Non-overlapping matches; an empty one right after another match does not count."""
    at, last_end = 0, -1
    while at <= len(haystack) and (match := compiled.search(haystack, at)):
        if match.end() == match.start() == last_end:
            at = match.end() + 1
            continue
        yield match
        at = last_end = match.end()
