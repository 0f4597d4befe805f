"""ByteFilter: what a rule's filters say of a secret by its bytes alone, so that a device drops it.

A byte filter drops only what CompiledFilters.judge would drop: it saves work, and decides nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from vyre_dist.regex import RegexSyntaxError, parse
from vyre_dist.regex.nodes import Assertion, AssertionKind, CharClass, Concat, Repeat
from vyre_dist.rules.filters import too_few_bytes
from vyre_dist.rules.model import Allowlist, PackData
from vyre_dist.rules.path_filters import allowlists_of


@dataclass(frozen=True, slots=True)
class ByteFilter:
    """Drops a match by its secret, which pick_secret takes from `secret_group`.

    `too_few`: a secret of at most so many different bytes is dropped; -1: none is. `dull`: so is a
    secret made of bytes of this class only, a 256-bit mask, unless it is empty.
    """

    secret_group: int
    too_few: int
    dull: int

    def drops(self, secret: bytes) -> bool:
        """Whether a match with this secret is dropped."""
        if len(set(secret)) <= self.too_few:
            return True
        return bool(secret) and all(self.dull >> byte & 1 for byte in secret)


NO_BYTE_FILTER = ByteFilter(0, -1, 0)
"""Drops nothing."""


def byte_filters_of(pack: PackData) -> tuple[ByteFilter, ...]:
    """Each rule's byte_filter, in the pack's order."""
    scoped = allowlists_of(pack.rules, pack.allowlists)
    return tuple(
        ByteFilter(rule.secret_group, too_few_bytes(rule.entropy), dull_class(allowlists))
        for rule, allowlists in zip(pack.rules, scoped, strict=True)
    )


def dull_class(allowlists: Iterable[Allowlist]) -> int:
    """The largest class C such that one allowlist covers every secret `^C+$`; 0: none.

    A class is a 256-bit mask.
    """
    patterns = {
        pattern
        for allowlist in allowlists
        if allowlist.condition == "OR" and allowlist.regex_target == "secret"
        for pattern in allowlist.regexes
    }
    return max(map(_only_class, patterns), key=int.bit_count, default=0)


@functools.lru_cache(4096)  # a pack's own allowlists are every rule's
def _only_class(pattern: str) -> int:
    """The class C of a pattern that is `^C+$` or `^C*$`; else 0."""
    try:
        root = parse(pattern).root
    except RegexSyntaxError:
        return 0  # whoever compiles the filters says so
    match root:
        case Concat(
            nodes=(
                Assertion(kind=AssertionKind.BEGIN_TEXT),
                Repeat(node=CharClass(mask=mask), min=0 | 1, max=None),
                Assertion(kind=AssertionKind.END_TEXT),
            )
        ):
            return mask
    return 0
