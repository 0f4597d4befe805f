"""CompiledPack: a rule pack after parsing and analysis, ready for every backend, in any process.

Parsing a large pack takes tenths of a second in Python, so the result is cached by the pack's content hash.
Backends derive what they need (Hyperscan databases, tables) from `CompiledRule.pattern` and cache that on their own.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import msgpack

from vyre_dist import regex as rx
from vyre_dist.program.cache import ArtifactCache
from vyre_dist.rules.model import PackData, Rule

DEFAULT_MAX_MATCH_BYTES = 64 << 10

# bump when the analysis or the rendering changes what is stored
_SCHEMA = 2

# Multi-pattern engines find a rule by its literals: a run of bytes, up to letter case, that every match contains. A
# rule without one of two bytes or more costs as much as all the others together (measured with gitleaks' pack over source
# code: two such rules of 221 take Hyperscan from 1.6 to 0.7 GB/s), unless its keywords can stand in for it.
_WEAK_RUN = 1
_SHORTEST_GATE = 4


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """One rule with a regex. `index` counts the pack's rules; rules with a path only have no CompiledRule.

    `pattern`: latin-1 RE2 syntax with flags resolved and long repeats rewritten; `candidate_pattern`: the
    same language in PCRE syntax without captures. Widths in bytes; `max_width` None: unbounded.
    `max_match_bytes`: the cap. `gate_pattern`: for a rule that is dear to search for and that needs one of
    its keywords, those keywords in PCRE syntax; a whole document without them holds no finding of the rule.
    """

    index: int
    pattern: bytes
    candidate_pattern: bytes
    min_width: int
    max_width: int | None
    max_match_bytes: int
    gate_pattern: bytes | None = None

    @property
    def cap(self) -> int:
        """The longest match that is reported, in bytes."""
        return self.max_match_bytes if self.max_width is None else min(self.max_width, self.max_match_bytes)


@dataclass(frozen=True, slots=True)
class CompiledPack:
    """All rules with a regex, in pack order. `key` names the pack's content and everything that shaped the compilation."""

    key: str
    rules: tuple[CompiledRule, ...]

    @property
    def overlap(self) -> int:
        """How many bytes after a window's last owned start its matches may need, one byte of context included."""
        return max((rule.cap for rule in self.rules), default=0) + 1


def compile_pack(
    pack: PackData, *, max_match_bytes: int = DEFAULT_MAX_MATCH_BYTES, cache: ArtifactCache | None = None
) -> CompiledPack:
    """Compile `pack`, or take the result from `cache`.

    Raises vyre_dist.regex.RegexSyntaxError for the first pattern that does not parse; packs that came
    through a loader have been checked already.
    """
    key = f"{_SCHEMA}:{pack.content_hash()}:{max_match_bytes}"
    if cache is not None and (stored := cache.get("pack", key)) is not None:
        rows = msgpack.unpackb(stored, strict_map_key=True)
        return CompiledPack(key, tuple(CompiledRule(*row) for row in rows))
    rules = []
    for index, rule in enumerate(pack.rules):
        if rule.regex is None:
            continue
        parsed = rx.parse(rule.regex)
        rules.append(
            CompiledRule(
                index,
                rx.to_re2(parsed),
                rx.to_pcre(parsed),
                rx.min_width(parsed.root),
                rx.max_width(parsed.root),
                rule.max_match_bytes or max_match_bytes,
                _gate_pattern(rule, parsed),
            )
        )
    if cache is not None:
        cache.put("pack", key, msgpack.packb([astuple(r) for r in rules]))
    return CompiledPack(key, tuple(rules))


def _gate_pattern(rule: Rule, parsed: rx.Regex) -> bytes | None:
    """The rule's keywords as a pattern, if its regex has no literal worth searching for and they are long enough."""
    keywords = [keyword.encode().lower() for keyword in rule.keywords]
    if not keywords or min(map(len, keywords)) < _SHORTEST_GATE:
        return None
    best = rx.factors(
        parsed.root, width=3, max_factors=16, cost=lambda factor: 256.0 ** -_literal_run(factor)
    )
    if best is not None and best.cost < 256.0**-_WEAK_RUN:
        return None
    return b"|".join(b"".join(map(_either_case, keyword)) for keyword in keywords)


def _literal_run(factor: rx.Factor) -> int:
    """The longest run of classes in `factor` that are one byte, or one letter in both cases."""
    longest = run = 0
    for mask in factor:
        run = run + 1 if mask.bit_count() <= 2 else 0
        longest = max(longest, run)
    return longest


def _either_case(byte: int) -> bytes:
    lower = bytes([byte])
    return b"[%b%b]" % (lower, lower.upper()) if lower.isalpha() else b"\\x%02x" % byte
