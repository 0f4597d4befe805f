"""CompiledPack: a rule pack after parsing and analysis, ready for every backend, in any process.

Parsing a large pack takes tenths of a second, so the result is cached by the pack's content hash.
What single backends need, Hyperscan databases and tables, they make of `CompiledRule.pattern` and
cache on their own.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import msgpack
import re2

from vyre_dist import regex as rx
from vyre_dist.errors import UsageError
from vyre_dist.program.cache import ArtifactCache
from vyre_dist.rules.model import PackData, Rule
from vyre_dist.rules.records import RecordError, read_rows, row_of
from vyre_dist.rules.search import MAX_MEM_STEPS, compile_pattern

DEFAULT_MAX_MATCH_BYTES = 64 << 10

# A window holds a shard and, after it, the longest match. Hyperscan counts its bytes in 32 bits.
MAX_MATCH_BYTES_LIMIT = 1 << 30

# bump when the analysis or the rendering changes what is stored
_SCHEMA = 5

# Multi-pattern engines find a rule by its literals: a run of bytes, up to letter case, that every
# match contains. A rule without one of two bytes or more costs as much as all the others together,
# unless its keywords can stand in for it. With gitleaks' pack over source code, two such rules of
# 221 take Hyperscan from 1.6 to 0.7 GB/s.
_WEAK_RUN = 1

MOST_COUNTED = 4096
"""Repeats of more positions are loops in what Hyperscan gets; google-re2 refutes what it then finds
too much. Its compiler takes seconds for counts above a few thousand, its scan of
`x(?s:.){0,28000}zz` ends in a segmentation fault, and it refuses 32 768.
"""

MOST_SEARCHED = rx.MOST_SEARCHED
"""The same for google-re2."""

_SHORTEST_KEYWORD = 4


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """One rule with a regex.

    Rules with a path only have none, nor have those whose regex no text can match. `index` counts
    the pack's rules. `pattern`: latin-1 RE2 syntax, flags resolved, long repeats rewritten.
    `candidate_pattern`: the same language in PCRE syntax without captures; repeats beyond
    MOST_COUNTED are loops in it. `min_width`, `max_width`: in bytes, None for no bound.
    `max_match_bytes`: the cap of a rule without a `max_width`. `keyword_pattern`: of a rule that
    is dear to search for, its keywords in PCRE syntax; a whole document without them holds no
    finding of the rule. `captures_matter`: google-re2 finds the right spans only if it captures
    groups. `loose_pattern`: of a rule with repeats beyond MOST_SEARCHED, a superset for google-re2
    that counts less.
    """

    index: int
    pattern: bytes
    candidate_pattern: bytes
    min_width: int
    max_width: int | None
    max_match_bytes: int
    keyword_pattern: bytes | None = None
    captures_matter: bool = False
    loose_pattern: bytes | None = None

    @property
    def cap(self) -> int:
        """The longest match that is reported, in bytes; rules with a `max_width` are not cut."""
        return self.max_match_bytes if self.max_width is None else self.max_width

    @property
    def longest_keyword(self) -> int:
        """In bytes, of the keyword_pattern; 0 without one."""
        keywords = (self.keyword_pattern or b"").split(b"|")
        return max(map(len, keywords)) // _BYTES_PER_BYTE


_RULE_FIELDS = tuple(each.name for each in fields(CompiledRule))


@dataclass(frozen=True, slots=True)
class CompiledPack:
    """All rules with a regex that can match, in pack order.

    `key` names the pack's content and everything that shaped the compilation. `overlap`: how many
    bytes after a window's last owned start decide its matches, context included; they also show
    each keyword that begins there.
    """

    key: str
    rules: tuple[CompiledRule, ...]
    overlap: int = field(init=False)

    def __post_init__(self) -> None:
        # a field, since it is asked for with every document
        widest = max((max(rule.cap, rule.longest_keyword) for rule in self.rules), default=0)
        object.__setattr__(self, "overlap", widest + 1)

    @property
    def rules_digest(self) -> str:
        """A hash of what the rules match: packs that differ in filters and texts share it."""
        # astuple and row_of would take 5 ms for a pack of 250 rules, for which each scan waits
        rows = [tuple([getattr(rule, name) for name in _RULE_FIELDS]) for rule in self.rules]
        return hashlib.sha256(msgpack.packb(rows)).hexdigest()


class RulesRefusedError(UsageError):
    """Rules that cannot be used. `refused`: (rule id, reason) of each."""

    def __init__(self, refused: Sequence[tuple[str, str]]) -> None:
        self.refused = tuple(refused)
        lines = [f"rule {rule_id!r}: {reason}" for rule_id, reason in self.refused]
        super().__init__(
            "\n".join([*lines, "Correct or leave out what is named here; nothing was scanned."])
        )

    def __reduce__(self) -> tuple[type[RulesRefusedError], tuple[tuple[tuple[str, str], ...]]]:
        return type(self), (self.refused,)


def compile_pack(
    pack: PackData,
    *,
    max_match_bytes: int = DEFAULT_MAX_MATCH_BYTES,
    cache: ArtifactCache | None = None,
) -> CompiledPack:
    """Compile `pack`, or take the result from `cache`.

    Every pattern in the result compiles in google-re2. Raises RulesRefusedError, naming all rules
    that do not parse, have a repeat without an equivalent, are too large for google-re2 with 1 GiB
    of memory, or ask for more than MAX_MATCH_BYTES_LIMIT.
    """
    key = f"{_SCHEMA}:{pack.content_hash()}:{max_match_bytes}"
    if cache is not None and (stored := cache.get("pack", key)) is not None:
        # Of another version that called itself the same: compile anew, and overwrite it.
        with contextlib.suppress(RecordError, ValueError, msgpack.UnpackException):
            return CompiledPack(key, read_rows(CompiledRule, msgpack.unpackb(stored), "rules"))
    rules, refused = [], []
    for index, rule in enumerate(pack.rules):
        if rule.regex is None:
            continue
        try:
            compiled = _compile_rule(index, rule, rule.regex, max_match_bytes)
        except (rx.RegexSyntaxError, rx.RepeatRewriteError, UsageError) as error:
            refused.append((rule.id, str(error)))
        except re2.error as error:
            memory = MAX_MEM_STEPS[-1] >> 20
            refused.append(
                (
                    rule.id,
                    f"google-re2 refuses the regex, given {memory} MiB of memory: {_text(error)}",
                )
            )
        else:
            if compiled is not None:
                rules.append(compiled)
    if refused:
        raise RulesRefusedError(refused)
    if cache is not None:
        cache.put("pack", key, msgpack.packb([row_of(r) for r in rules]))
    return CompiledPack(key, tuple(rules))


def _compile_rule(index: int, rule: Rule, regex: str, max_match_bytes: int) -> CompiledRule | None:
    """None: no text can match it, so no backend has to look."""
    parsed = rx.parse(regex)
    pattern, widest = rx.to_re2(parsed), rx.max_width(parsed.root)
    cap = rule.max_match_bytes or max_match_bytes
    if (needed := cap if widest is None else widest) > MAX_MATCH_BYTES_LIMIT:
        raise UsageError(
            f"matches of {needed} bytes: at most {MAX_MATCH_BYTES_LIMIT} (1 GiB) are allowed"
        )
    # thrown away, but it takes 0.1 ms: better refused here than in the middle of a scan
    compile_pattern(pattern, captures=True)
    if rx.never_matches(parsed.root):
        return None
    return CompiledRule(
        index,
        pattern,
        rx.to_pcre(rx.loosen_repeats(parsed.root, MOST_COUNTED)),
        rx.min_width(parsed.root),
        widest,
        cap,
        _keyword_pattern(rule, parsed),
        rx.captures_matter(parsed.root),
        _loose_pattern(parsed.root),
    )


def _loose_pattern(root: rx.Node) -> bytes | None:
    plain = rx.strip_captures(root)
    loose = rx.loosen_repeats(plain, MOST_SEARCHED)
    return None if loose == plain else rx.to_re2(rx.lazy_loops(loose))


def _text(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode("latin-1") if isinstance(reason, bytes) else str(reason)


def _keyword_pattern(rule: Rule, parsed: rx.Regex) -> bytes | None:
    """The keywords as a pattern, if the regex has no good literal and they are long enough."""
    keywords = [keyword.encode().lower() for keyword in rule.keywords]
    if not keywords or min(map(len, keywords)) < _SHORTEST_KEYWORD:
        return None
    best = rx.factors(
        parsed.root, width=3, max_factors=16, cost=lambda factor: 256.0 ** -_literal_run(factor)
    )
    if best is not None and best.cost < 256.0**-_WEAK_RUN:
        return None
    return b"|".join(b"".join(map(_either_case, keyword)) for keyword in keywords)


def _literal_run(factor: rx.Factor) -> int:
    """The longest run of classes in `factor` that are one byte, or a letter in both cases."""
    longest = run = 0
    for mask in factor:
        run = run + 1 if mask.bit_count() <= 2 else 0
        longest = max(longest, run)
    return longest


_BYTES_PER_BYTE = 4
"""What _either_case makes of one byte."""


def _either_case(byte: int) -> bytes:
    lower = bytes([byte])
    return b"[%b%b]" % (lower, lower.upper()) if lower.isalpha() else b"\\x%02x" % byte
