"""AuditFilters: what a pack's filters mean, asked of one match after the other.

The scan asks many at once, by sets, joined patterns and tables (rules/filters.py, path_filters.py,
content_filters.py). Here each pattern is searched for by itself, as it was written, so that an
audit finds out where that goes wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import re2

from vyre_dist.rules.entropies import entropy
from vyre_dist.rules.model import Allowlist, PackData, Rule
from vyre_dist.rules.search import Re2Pattern, compile_pattern

_AUTOMATON_MEMORY = 32 << 20


def as_written(pattern: str, rendered: bytes | None = None) -> Re2Pattern:
    """The pattern's google-re2 object, with its groups.

    `rendered`: what the scan makes of it, if that is at hand; used where google-re2 does not take
    it as it was written (repeats of more than a thousand), or folds the case of other bytes than
    those of ASCII.
    """
    if pattern.isascii():
        try:
            return compile_pattern(pattern.encode(), captures=True, least=_AUTOMATON_MEMORY).regexp
        except re2.error:
            pass
    if rendered is None:
        from vyre_dist import regex as rx  # hardly any pattern needs it

        rendered = rx.to_re2(rx.parse(pattern))
    return compile_pattern(rendered, captures=True, least=_AUTOMATON_MEMORY).regexp


class AuditFilters:
    """The filters of a pack's rules, which are named by their index."""

    def __init__(self, pack: PackData) -> None:
        self._rules = pack.rules
        self._patterns: dict[str, Re2Pattern] = {}
        self._path = b""
        self._in_path: dict[tuple[str, ...], bool] = {}
        self._scoped = [
            [a for a in pack.allowlists if not a.target_rules or rule.id in a.target_rules]
            + list(rule.allowlists)
            for rule in pack.rules
        ]

    def applies(self, index: int, path: str) -> bool:
        """Whether the path lets the rule report."""
        rule, name = self._rules[index], path.encode("utf-8", "surrogateescape")
        if rule.path is not None and not self._is_in_path((rule.path,), name):
            return False
        # what has no path is on no allowlist
        return not path or not any(
            self._is_in_path(allowlist.paths, name)
            for allowlist in self._scoped[index]
            if allowlist.condition == "OR"
            or not (allowlist.commits or allowlist.regexes or allowlist.stopwords)
        )

    def secret(
        self,
        index: int,
        path: str,
        match: bytes,
        groups: Sequence[bytes | None],
        line: Callable[[], bytes],
    ) -> bytes | None:
        """The secret of a match that is reported; None for one that is not.

        `line`: gives the lines that the match is on.
        """
        rule = self._rules[index]
        secret = _secret(rule, match, groups)
        if rule.entropy and entropy(secret) <= rule.entropy:
            return None
        for allowlist in self._scoped[index]:
            if self._covers(allowlist, path, secret, match, line):
                return None
        return secret

    def _covers(
        self,
        allowlist: Allowlist,
        path: str,
        secret: bytes,
        match: bytes,
        line: Callable[[], bytes],
    ) -> bool:
        """Whether a match is on an allowlist, as far as its path alone does not decide that."""
        holds: list[bool] = []
        if allowlist.regexes:
            target = allowlist.regex_target
            text = secret if target == "secret" else match.strip(b"\n")
            if target == "line":
                text = line()
            # no pattern covers nothing
            holds.append(bool(text) and any(self._is_in(p, text) for p in allowlist.regexes))
        if allowlist.stopwords:
            lowered = secret.lower()
            holds.append(any(word.encode().lower() in lowered for word in allowlist.stopwords))
        if not holds:
            return False
        if allowlist.condition == "OR":
            return any(holds)
        if allowlist.paths:
            name = path.encode("utf-8", "surrogateescape")
            holds.append(bool(path) and self._is_in_path(allowlist.paths, name))
        # documents have no commit
        return all(holds) and not allowlist.commits

    def _is_in_path(self, patterns: tuple[str, ...], name: bytes) -> bool:
        """Whether one of `patterns` is. All rules ask for the global allowlists'."""
        if name != self._path:
            self._path = name
            self._in_path.clear()
        if patterns not in self._in_path:
            self._in_path[patterns] = any(self._is_in(pattern, name) for pattern in patterns)
        return self._in_path[patterns]

    def _is_in(self, pattern: str, text: bytes) -> bool:
        if pattern not in self._patterns:
            self._patterns[pattern] = as_written(pattern)
        return self._patterns[pattern].search(text) is not None


def _secret(rule: Rule, match: bytes, groups: Sequence[bytes | None]) -> bytes:
    if rule.secret_group:
        return groups[rule.secret_group - 1] or b""
    for group in groups:
        if group:
            return group
    return match.strip(b"\n")
