"""Re2Candidates: which rules may match in a text, by the literals that each match must hold.

google-re2 works out, for a set of regexes, which strings a text must have for one to match, and
looks for all of them in one pass. That is a superset of the rules that do match; where they do is
the matchers' business.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import re2

from vyre_dist.program import CompiledRule
from vyre_dist.rules.search import MAX_MEM_STEPS, options

# It stands behind every text. The automaton that looks for the literals says "none" when it runs
# out of memory; but then it does not find this one either.
_CANARY = b"\0vyre-dist canary\0"

# The filter takes literals for UTF-8 text, and so refuses all rules together for one with a byte
# that is none.
_OUTSIDE_ASCII = re.compile(rb"\\x[89a-f]")


class Re2Candidates:
    """The rules of a pack that may match in a text. Not thread-safe."""

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        filtered = [rule for rule in rules if not _OUTSIDE_ASCII.search(rule.pattern)]
        self._all = [rule.index for rule in rules]
        self._filtered = [rule.index for rule in filtered]
        self._unfiltered = sorted(set(self._all).difference(self._filtered))
        self._canary = len(filtered)
        self._filter = _filter(filtered)
        self.always = frozenset(self.rules_for(b""))
        """Rules without a literal that all their matches hold: candidates in every text."""

    def rules_for(self, text: bytes | memoryview) -> list[int]:
        """The numbers of the rules that may match, ascending; all where the filter fails."""
        if self._filter is None:
            return self._all
        found = self._filter.Match(b"".join((text, _CANARY)), True) or []
        if self._canary not in found:
            return self._all
        return sorted([*self._unfiltered, *[self._filtered[i] for i in found if i != self._canary]])


def _filter(rules: Sequence[CompiledRule]) -> Any:
    """google-re2's filter over the rules and the canary; None if it refuses them."""
    made = re2.Filter()
    limit = options(MAX_MEM_STEPS[-1])  # of a regex; memory is taken as it is needed
    try:
        for rule in rules:
            made.Add(rule.pattern, limit)
        made.Add(re2.escape(_CANARY), limit)
        made.Compile()
    except re2.error:
        return None
    return made
