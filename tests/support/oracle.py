"""The oracle: what must be found, by google-re2 over the whole document with the pattern as it was
written.

Nothing here knows of windows, shards, prefilters or our own parser, except that `rx.max_width`
tells which rules have no longest match, and so a cap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import re2

from vyre_dist import regex as rx
from vyre_dist.finding import Finding
from vyre_dist.rules.model import Rule


class Hit(NamedTuple):
    """What a finding must say."""

    start: int
    end: int
    rule: str
    groups: tuple[bytes | None, ...]
    line: int
    column: int


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> Any:
    """The pattern, as it was written, in google-re2's Latin-1 mode."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = 1 << 30
    return re2._Regexp(pattern.encode(), options)


@lru_cache(maxsize=4096)
def is_unbounded(pattern: str) -> bool:
    """Whether the pattern's matches have no longest length."""
    return rx.max_width(rx.parse(pattern).root) is None


def chain(pattern: str, document: bytes, max_match_bytes: int) -> list[Any]:
    """The pattern's matches: leftmost-first, non-overlapping, no empty one at the end of the one
    before.

    For a rule of unbounded width, a match is the best of those that have at most `max_match_bytes`.
    """
    regexp, unbounded = compiled(pattern), is_unbounded(pattern)
    out: list[Any] = []
    pos, last_end = 0, -1
    while pos <= len(document):
        if unbounded:
            match = _first_that_fits(regexp, document, pos, max_match_bytes)
        else:
            match = regexp.search(document, pos)
        if match is None:
            break
        if match.start() == match.end() == last_end:
            pos = match.end() + 1
            continue
        out.append(match)
        pos = last_end = match.end()
    return out


def _first_that_fits(regexp: Any, document: bytes, pos: int, cap: int) -> Any:
    for start in range(pos, len(document) + 1):
        match = regexp.match(document, start, min(len(document), start + cap))
        if match is not None:
            return match
    return None


def line_and_column(document: bytes, offset: int) -> tuple[int, int]:
    """Both from 1; the column in bytes."""
    before = document[:offset].split(b"\n")
    return len(before), len(before[-1]) + 1


def hits(patterns: dict[str, str], document: bytes, max_match_bytes: int = 1 << 16) -> list[Hit]:
    """What a pack of plain patterns must find in `document`, in the order of reports."""
    numbers = {rule: number for number, rule in enumerate(patterns)}
    found = [
        Hit(m.start(), m.end(), rule, m.groups(), *line_and_column(document, m.start()))
        for rule, pattern in patterns.items()
        for m in chain(pattern, document, max_match_bytes)
    ]
    return sorted(found, key=lambda hit: (hit.start, numbers[hit.rule]))


def hits_of(findings: Iterable[Finding]) -> list[Hit]:
    """The same view of what was found; checks on the way that the bytes are those of the
    offsets.
    """
    return [Hit(f.start, f.end, f.rule_id, f.groups, f.line, f.column) for f in findings]


def filtered(
    rules: Sequence[Rule], document: bytes, path: str, max_match_bytes: int = 1 << 16
) -> list[Hit]:
    """What rules with filters must report: path pattern, keywords, secret group, entropy, line and
    stop word allowlists.

    Only what the tests that call it use: allowlists of condition OR.
    """
    out: list[tuple[int, Hit]] = []
    for number, rule in enumerate(rules):
        if rule.path is not None and compiled(rule.path).search(path.encode()) is None:
            continue
        if rule.regex is None:
            out.append((number, Hit(0, 0, rule.id, (), 0, 0)))
            continue
        if rule.keywords and not any(k.encode().lower() in document.lower() for k in rule.keywords):
            continue
        for m in chain(rule.regex, document, rule.max_match_bytes or max_match_bytes):
            secret = _secret(rule, m)
            if rule.entropy and _entropy(secret) <= rule.entropy:
                continue
            if not _is_allowed(rule, document, m, secret):
                hit = Hit(
                    m.start(), m.end(), rule.id, m.groups(), *line_and_column(document, m.start())
                )
                out.append((number, hit))
    return [hit for _, hit in sorted(out, key=_report_order)]


def _report_order(pair: tuple[int, Hit]) -> tuple[int, int]:
    number, hit = pair
    return hit.start if hit.line else -1, number  # what the path alone says comes first


def _secret(rule: Rule, match: Any) -> bytes:
    if rule.secret_group:
        return bytes(match.group(rule.secret_group) or b"")
    for group in match.groups():
        if group:
            return bytes(group)
    return bytes(match.group().strip(b"\n"))


def _entropy(secret: bytes) -> float:
    shares = [secret.count(byte) / len(secret) for byte in set(secret)]
    return -sum(share * math.log2(share) for share in shares)


def _is_allowed(rule: Rule, document: bytes, match: Any, secret: bytes) -> bool:
    first = document.rfind(b"\n", 0, match.start()) + 1
    last = document.find(b"\n", match.end())
    texts = {
        "secret": secret,
        "match": match.group().strip(b"\n"),
        "line": document[first : len(document) if last < 0 else last],
    }
    for allowlist in rule.allowlists:
        text = texts[allowlist.regex_target]
        if text and any(compiled(pattern).search(text) for pattern in allowlist.regexes):
            return True
        if any(word.encode().lower() in secret.lower() for word in allowlist.stopwords):
            return True
    return False
