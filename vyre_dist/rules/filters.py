r"""CompiledFilters: what a pack's filters do with a match, in gitleaks' terms and order.

Here: the keyword filter, secret, entropy, allowlists and stop words. Paths are in path_filters.py;
matches are found in extract/.

gitleaks asks in this order, and so must the engine. May anything be reported for this path
(`document_skipped`)? Is one of the rule's keywords in the document (`has_keyword`)? Does the rule
apply to the path (`rule_applies_to_path`)? Then, for every match: `pick_secret`, `entropy`,
`allowed`; `judge` does these three.

Known differences, on purpose: entropy counts bytes (gitleaks: characters, over the length in
bytes); the groups are those of the match in its document (gitleaks matches again within the matched
text, where `\b` and `$` may see something else); a line has no line break at its start (gitleaks'
has one, except the first, so that `^` fails there).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from vyre_dist.rules.finder import Finder
from vyre_dist.rules.model import Allowlist, RegexTarget, Rule
from vyre_dist.rules.path_filters import PathDecision, PathFilters, allowlists_of
from vyre_dist.rules.search import Renderings, compile_pattern, literal_alternation

_TABLED_SIZE = 256

Line: TypeAlias = Callable[[], bytes | memoryview]
"""Gives the line, or lines, that a match is on."""


class HasRules(Protocol):
    """What filters are compiled from: PackData or RulePack."""

    @property
    def rules(self) -> tuple[Rule, ...]: ...
    @property
    def allowlists(self) -> tuple[Allowlist, ...]: ...


def entropy(secret: bytes) -> float:
    """Shannon's entropy in bits per byte, 0 to 8; 0 for nothing."""
    size = len(secret)
    counts = map(secret.count, set(secret))
    if size <= _TABLED_SIZE:
        return -math.fsum(map(_terms(size).__getitem__, counts)) + 0.0
    return -math.fsum(_term(count, size) for count in counts) + 0.0


def _term(count: int, size: int) -> float:
    # count/size is exact where it can be: eight different letters have 3.0 bits, not nearly so
    return count / size * math.log2(count / size)


@functools.cache
def _terms(size: int) -> list[float]:
    """The terms of all counts of a byte: thousands of secrets of a few lengths are asked for."""
    return [0.0, *(_term(count, size) for count in range(1, size + 1))]


def pick_secret(rule: Rule, match: bytes, groups: Sequence[bytes | None]) -> bytes:
    """The part of a match that is the secret.

    The rule's secret group (empty when it took no part); without one the first group that is not
    empty; without such a group the match, line breaks at its ends cut off.
    """
    if rule.secret_group:
        return groups[rule.secret_group - 1] or b""
    return next((group for group in groups if group), None) or match.strip(b"\n")


@dataclass(frozen=True, slots=True)
class _ContentCheck:
    """An allowlist that has to see the match. `paths`: its path patterns, if all must hold."""

    both: bool
    target: RegexTarget
    regexes: _Search | None
    stopwords: _Search | None
    paths: tuple[str, ...]


class _Search:
    """A pattern that is compiled when it is first searched for: most allowlists never are."""

    __slots__ = ("_finder", "_pattern")

    def __init__(self, pattern: bytes) -> None:
        self._pattern = pattern
        self._finder: Finder | None = None

    def matches(self, text: bytes | memoryview) -> bool:
        if self._finder is None:
            self._finder = Finder(compile_pattern(self._pattern).regexp)
        return self._finder.search(text, 0, len(text)) is not None


class JudgedLine:
    """A line with what allowlists found in it: each searches it once, for all matches on it.

    `text`: gives the line; it is not kept, since a line may be a whole document.
    """

    __slots__ = ("_known", "_text")

    def __init__(self, text: Callable[[], bytes | memoryview]) -> None:
        self._text = text
        self._known: dict[_Search, bool] = {}

    def __call__(self) -> bytes | memoryview:
        return self._text()

    def matches(self, search: _Search) -> bool:
        """Whether `search` finds something in the line."""
        known = self._known.get(search)
        if known is None:
            known = self._known[search] = _in_text(search, self._text())
        return known


class CompiledFilters:
    """A pack's filters, compiled. Rules are named by their index in the pack."""

    def __init__(self, pack: HasRules, renderings: Renderings | None = None) -> None:
        """Compile. Raises RegexSyntaxError or re2.error for allowlists that came through no loader.

        `renderings`: what is known of the pack's patterns; it learns the others.
        """
        renderings = renderings or Renderings()
        self.rules = pack.rules
        self.keywords = tuple(
            tuple(word.encode().lower() for word in rule.keywords) for rule in pack.rules
        )
        scoped = allowlists_of(pack.rules, pack.allowlists)
        self.paths = PathFilters(pack.rules, scoped, renderings)
        compiled: dict[Allowlist, _ContentCheck | None] = {}
        for allowlists in scoped:
            for allowlist in allowlists:
                if allowlist not in compiled:
                    compiled[allowlist] = _content_check(allowlist, renderings)
        self._checks = tuple(
            tuple(check for check in map(compiled.__getitem__, allowlists) if check is not None)
            for allowlists in scoped
        )
        self._needs_line = tuple(
            any(check.target == "line" for check in checks) for checks in self._checks
        )
        self._too_few = tuple(too_few_bytes(rule.entropy) for rule in pack.rules)

    def path_decision(self, path: str) -> PathDecision:
        """Everything that the path decides, for all rules at once."""
        return self.paths.decision(path)

    def folder_decision(self, prefix: str, names: Sequence[str]) -> PathDecision | None:
        """The decision on every `prefix` + name, if they share one; None: ask for each."""
        return self.paths.folder_decision(prefix, names)

    def document_skipped(self, path: str) -> bool:
        """Whether no rule can report for this path: the document need not be read."""
        return self.paths.decision(path).skipped

    def rule_applies_to_path(self, rule_index: int, path: str) -> bool:
        """Whether the rule's path pattern matches and no allowlist takes the path out."""
        return self.paths.decision(path).applies[rule_index]

    def has_path(self, rule_index: int) -> bool:
        """Whether the rule itself asks for a path."""
        return self.rules[rule_index].path is not None

    def has_keyword(self, rule_index: int, lowered_haystack: bytes) -> bool:
        """Whether one of the rule's keywords is in the document (bytes.lower has been applied)."""
        keywords = self.keywords[rule_index]
        return not keywords or any(word in lowered_haystack for word in keywords)

    def needs_line(self, rule_index: int) -> bool:
        """Whether `allowed` may ask for the line."""
        return self._needs_line[rule_index]

    def allowed(self, rule_index: int, path: str, secret: bytes, match: bytes, line: Line) -> bool:
        """Whether a match is dropped, by an allowlist or because of the path.

        `line()` is called only if an allowlist targets lines. It gives the lines that the match is
        on, without the last line break. Give all matches of a line the same JudgedLine, so that the
        line is searched once.
        """
        decision = self.paths.decision(path)
        if not decision.applies[rule_index]:
            return True
        for check in self._checks[rule_index]:
            if check.both and check.paths and not self.paths.matched(decision, check.paths):
                continue
            hits = []
            if check.regexes is not None:
                if check.target == "line" and isinstance(line, JudgedLine):
                    hits.append(line.matches(check.regexes))
                else:
                    hits.append(_in_text(check.regexes, _target(check.target, secret, match, line)))
            if check.stopwords is not None:
                hits.append(check.stopwords.matches(secret.lower()))
            if (all if check.both else any)(hits):
                return True
        return False

    def judge(
        self,
        rule_index: int,
        path: str,
        match: bytes,
        groups: Sequence[bytes | None],
        line: Line,
    ) -> tuple[bytes, float] | None:
        """(secret, its entropy) of a match that is reported, None of one that is dropped."""
        rule = self.rules[rule_index]
        secret = pick_secret(rule, match, groups)
        if len(set(secret)) <= self._too_few[rule_index]:
            return None
        bits = entropy(secret)
        if rule.entropy and bits <= rule.entropy:
            return None
        return None if self.allowed(rule_index, path, secret, match, line) else (secret, bits)

    def has_too_few_bytes(
        self, rule_index: int, match: bytes, groups: Sequence[bytes | None]
    ) -> bool:
        """Whether `judge` would drop a match, for no more than a look at its secret. True is sure.

        A loose rule's matches are thousands a gigabyte, and most of them go here.
        """
        too_few = self._too_few[rule_index]
        return len(set(pick_secret(self.rules[rule_index], match, groups))) <= too_few

    entropy = staticmethod(entropy)
    pick_secret = staticmethod(pick_secret)


def too_few_bytes(least: float | None) -> int:
    """How many different bytes never have more than `least` bits of entropy; -1 for no `least`.

    n different bytes have at most log2(n) bits. To count them takes a third of the time that the
    entropy takes, and most matches of a loose rule have too few.
    """
    # less than that by more than entropy's rounding could make up for
    return int(2 ** (min(least, 8) - 1e-9)) if least and least > 0 else -1


def _in_text(search: _Search, text: bytes | memoryview) -> bool:
    # as in gitleaks, no allowlist covers an empty text
    return len(text) > 0 and search.matches(text)


def _target(target: RegexTarget, secret: bytes, match: bytes, line: Line) -> bytes | memoryview:
    if target == "secret":
        return secret
    return match.strip(b"\n") if target == "match" else line()


def _content_check(allowlist: Allowlist, renderings: Renderings) -> _ContentCheck | None:
    both = allowlist.condition == "AND"
    if not allowlist.regexes and not allowlist.stopwords:
        return None
    if both and allowlist.commits:
        # documents have no commit, so not all of its checks can hold
        return None
    regexes = _Search(renderings.alternation(allowlist.regexes)) if allowlist.regexes else None
    words = [word.encode().lower() for word in allowlist.stopwords]
    stopwords = _Search(literal_alternation(words)) if words else None
    return _ContentCheck(
        both, allowlist.regex_target, regexes, stopwords, allowlist.paths if both else ()
    )
