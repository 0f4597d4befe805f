"""PathFilters: which rules apply to a path, by path patterns and by allowlists of paths.

A tree has many more paths than findings. So all patterns run as one set, once a path, and what
follows from the set's answer is remembered. With gitleaks' pack a path costs 1 to 2 µs (140 000
paths of 80 bytes on average, one core). What a match decides is in filters.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import re2

from vyre_dist.rules.model import Allowlist, Rule
from vyre_dist.rules.search import Re2Pattern, Re2Set, Renderings, compile_pattern, options

# for the set's automaton, which is built as paths need it
_SET_MEMORY = 64 << 20
# distinct answers of a set are few in practice; this only bounds a pathological pack
_MAX_DECISIONS = 4096


@dataclass(frozen=True, slots=True)
class PathDecision:
    """What a document's path decides.

    `applies[i]`: whether rule i can report there. `skipped`: no rule can. `matched`: the numbers of
    path patterns that matched, for `PathFilters.matched`.
    """

    skipped: bool
    applies: tuple[bool, ...]
    matched: frozenset[int]


class PathFilters:
    """All path patterns of a pack. `scoped[i]`: rule i's allowlists (allowlists_of)."""

    def __init__(
        self,
        rules: tuple[Rule, ...],
        scoped: tuple[tuple[Allowlist, ...], ...],
        renderings: Renderings | None = None,
    ) -> None:
        renderings = renderings or Renderings()
        self._numbers: dict[tuple[str, ...], int] = {}
        self._rule_numbers = tuple(
            None if r.path is None else self._number_of((r.path,)) for r in rules
        )
        self._deciding = tuple(
            frozenset(self._number_of(a.paths) for a in allowlists if decided_by_path(a))
            for allowlists in scoped
        )
        for allowlists in scoped:
            for allowlist in allowlists:
                if allowlist.paths:
                    self._number_of(allowlist.paths)
        self._patterns = tuple(map(renderings.alternation, self._numbers))
        # A set that runs out of memory answers "nothing matched", without a word. The canary always
        # matches.
        self._canary = len(self._patterns)
        self._set: Re2Set | None = None
        self._set_made = not self._patterns
        self._single: tuple[Re2Pattern, ...] | None = None
        self._decisions: dict[tuple[int, ...], PathDecision] = {}
        self._anywhere = _compile_lines(renderings, self._numbers)
        self._unmatched = self._decide(frozenset())
        self._without_path = self._decide_without_path()
        self._last: tuple[str, PathDecision] = ("", self._without_path)

    def decision(self, path: str) -> PathDecision:
        """The decision on a path with `/` between its parts."""
        last = self._last
        if last[0] == path:
            return last[1]
        if path and self._patterns:
            decision = self._decision(path.encode("utf-8", "surrogateescape"))
        else:
            decision = self._without_path
        self._last = (path, decision)
        return decision

    def folder_decision(self, prefix: str, names: Sequence[str]) -> PathDecision | None:
        """The decision on every `prefix` + name, if they share one; None: ask for each.

        One search over all the paths, a line each, tells whether any pattern can match any of them.
        In most folders none does.
        """
        if not self._patterns:
            return self._without_path
        if self._anywhere is None or "\n" in prefix:
            return None
        separator = "\n" + prefix
        lines = (prefix + separator.join(names)).encode("utf-8", "surrogateescape")
        return self.lines_decision(lines, len(names))

    def lines_decision(self, lines: bytes, count: int) -> PathDecision | None:
        """The same of `count` paths, with a newline between two."""
        if not self._patterns:
            return self._without_path
        if self._anywhere is None:
            return None
        # a name with a line break in it is two lines to the search; such are rare
        if lines.count(b"\n") != count - 1 or self._anywhere.search(lines) is not None:
            return None
        return self._unmatched

    def matched(self, decision: PathDecision, paths: tuple[str, ...]) -> bool:
        """Whether one of an allowlist's `paths` matched the path that `decision` is about."""
        return self._numbers[paths] in decision.matched

    def _number_of(self, paths: tuple[str, ...]) -> int:
        return self._numbers.setdefault(paths, len(self._numbers))

    def _decision(self, path: bytes) -> PathDecision:
        key = self._matching(path)
        known = self._decisions.get(key)
        if known is not None:
            return known
        if len(self._decisions) >= _MAX_DECISIONS:
            self._decisions.clear()
        decision = self._decisions[key] = self._decide(frozenset(key))
        return decision

    def _matching(self, path: bytes) -> tuple[int, ...]:
        """The patterns that match, the canary among them where a set answered."""
        if not self._set_made:
            self._set, self._set_made = _compile_set((*self._patterns, b"")), True
        if self._set is not None:
            found = self._set.Match(path)
            if found and self._canary in found:
                return tuple(found)
        if self._single is None:
            self._single = tuple(compile_pattern(pattern).regexp for pattern in self._patterns)
        return tuple(
            number for number, regexp in enumerate(self._single) if regexp.search(path) is not None
        )

    def _decide_without_path(self) -> PathDecision:
        # gitleaks: what has no path is on no allowlist; a rule's own path pattern sees the empty
        # text
        return self._decide(frozenset(self._matching(b"")), allowlists=False)

    def _decide(self, matched: frozenset[int], *, allowlists: bool = True) -> PathDecision:
        applies = tuple(
            (number is None or number in matched) and not (allowlists and deciding & matched)
            for number, deciding in zip(self._rule_numbers, self._deciding, strict=True)
        )
        return PathDecision(not any(applies), applies, matched if allowlists else frozenset())


def _compile_set(patterns: Iterable[bytes]) -> Re2Set | None:
    """A google-re2 set; None if it does not fit in its memory: then each pattern runs alone."""
    made = re2.Set.SearchSet(options(_SET_MEMORY))
    for pattern in patterns:
        made.Add(pattern)
    try:
        made.Compile()
    except re2.error:
        return None
    return made  # type: ignore[no-any-return]


def _compile_lines(
    renderings: Renderings, numbered: Iterable[tuple[str, ...]]
) -> Re2Pattern | None:
    """A regex that matches lines if one of the patterns matches one of them; None: too large."""
    text = renderings.in_lines([path for paths in numbered for path in paths])
    try:
        return compile_pattern(text).regexp if text else None
    except re2.error:
        return None


def decided_by_path(allowlist: Allowlist) -> bool:
    """Whether a matching path alone puts a document on the allowlist."""
    if not allowlist.paths:
        return False
    return allowlist.condition == "OR" or not (
        allowlist.commits or allowlist.regexes or allowlist.stopwords
    )


def allowlists_of(
    rules: Iterable[Rule], global_allowlists: tuple[Allowlist, ...]
) -> tuple[tuple[Allowlist, ...], ...]:
    """Each rule's allowlists: the global ones that cover it, then its own.

    An inline suppression comment goes here: one more allowlist for each rule, whose `regexes` find
    the comment and whose `regex_target` is "line".
    """
    return tuple(
        (
            *(a for a in global_allowlists if not a.target_rules or rule.id in a.target_rules),
            *rule.allowlists,
        )
        for rule in rules
    )
