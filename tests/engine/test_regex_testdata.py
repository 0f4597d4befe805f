"""The Rust regex crate's own test data, through Scanner: every applicable case, on both backends,
in pieces too.
"""

from __future__ import annotations

from collections import Counter

import pytest
import re2
from long_runs import nightly
from oracle import compiled
from regex_testdata import Case, Spans, cases
from split_scans import split_at

from vyre_dist import Finding, Scanner

# How many cases there are of each kind. A case that stops running changes a number here.
RUN = 796
LEFT_OUT = {
    "code points instead of bytes": 133,
    "RE2 refuses the pattern": 115,  # the flags R and u, nearly all of them
    r"\b{start} and the like": 81,
    "match-kind = all": 38,
    "search within bounds": 29,
    "all matches anchored": 16,
    "another regex of its set hides it": 14,
    "another line terminator": 11,
    "search-kind = earliest": 9,
    "search-kind = overlapping": 7,
    "does not compile in Rust": 5,
}


def test_what_is_left_out() -> None:
    """The cases that ours has no meaning for are these, by reason; all others run."""
    reasons = Counter(case.left_out for case in cases())
    assert reasons.pop(None) == RUN
    assert dict(reasons) == LEFT_OUT


def test_patterns_refused_here_are_refused_by_re2() -> None:
    """Whatever pattern is left out for its syntax alone, google-re2 refuses too."""
    refused = [case for case in cases() if case.left_out == "RE2 refuses the pattern"]
    for case in refused:
        with pytest.raises(re2.error):
            compiled.__wrapped__(case.pattern)


@pytest.mark.parametrize("shards", [(1 << 20, 3), *nightly((2, 1))])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_every_applicable_case(backend: str, shards: tuple[int, ...]) -> None:
    """Spans and groups of all matches are those listed, whole and in shards of a few bytes."""
    failed = []
    for case in cases():
        if case.left_out is None:
            scanner = Scanner({"r": case.pattern}, backend)
            for shard_bytes in shards:
                split_at(scanner, shard_bytes)
                if not is_as_listed(case, scanner.scan(case.haystack)):
                    failed.append((case.name, shard_bytes))
    assert not failed


def is_as_listed(case: Case, findings: list[Finding]) -> bool:
    if case.expected is None:
        return bool(findings) == case.hit
    if len(findings) < len(case.expected) or (
        case.limit is None and len(findings) > len(case.expected)
    ):
        return False
    return all(is_match(case, spans, f) for spans, f in zip(case.expected, findings, strict=False))


def is_match(case: Case, spans: Spans, finding: Finding) -> bool:
    if (finding.start, finding.end) != spans[0] or finding.match != case.haystack[
        finding.start : finding.end
    ]:
        return False
    groups = tuple(None if span is None else case.haystack[slice(*span)] for span in spans[1:])
    # where only the whole match is listed, the groups are not
    return len(spans) == 1 or finding.groups == groups
