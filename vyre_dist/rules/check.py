"""check_pack: what each rule of a pack is like, and whether it does what its examples say.

Serves `vyre-dist rules check`. How a backend searches for a rule is not known here; the caller
passes it as `route`. What makes a pack invalid is in finish.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import re2

from vyre_dist import regex as rx
from vyre_dist.rules.filters import CompiledFilters
from vyre_dist.rules.model import PackData, Rule
from vyre_dist.rules.pack import RulePack
from vyre_dist.rules.search import Re2Pattern, compile_pattern

DescribeRoute = Callable[[int, Rule, rx.Regex], str]
"""(rule's index, rule, its regex) -> how a backend searches for it; "": nothing to say"""


@dataclass(frozen=True, slots=True)
class RuleReport:
    """One rule. Widths are in bytes; `max_width` None: unbounded.

    A rule with a path only has no widths and no groups. `re2_memory`: google-re2's max_mem, in
    bytes, at which the regex compiles; None: it does not, or there is none. `missed_examples` and
    `matched_negatives`: numbers, from 0, of examples that the whole rule, keywords and filters
    included, decides otherwise than the pack says. `problems`: make the rule unfit. `notes`: are
    worth knowing.
    """

    rule_id: str
    groups: int
    min_width: int
    max_width: int | None
    nullable: bool
    keywords: tuple[str, ...]
    re2_memory: int | None
    examples: int
    negative_examples: int
    missed_examples: tuple[int, ...]
    matched_negatives: tuple[int, ...]
    route: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the rule can be used and does what its examples say."""
        return not (self.problems or self.missed_examples or self.matched_negatives)


def check_pack(pack: RulePack, *, route: DescribeRoute | None = None) -> list[RuleReport]:
    """A report for each rule, in pack order. Examples are searched as documents without a path."""
    # an example stands for a document at a fitting path
    pathless = [rule if rule.regex is None else replace(rule, path=None) for rule in pack]
    filters = CompiledFilters(PackData(pack.name, tuple(pathless), pack.allowlists))
    return [
        _check(index, rule, regex, filters, route)
        for index, (rule, regex) in enumerate(zip(pack, pack.regexes, strict=True))
    ]


def _check(
    index: int,
    rule: Rule,
    regex: rx.Regex | None,
    filters: CompiledFilters,
    route: DescribeRoute | None,
) -> RuleReport:
    problems: list[str] = []
    notes: list[str] = []
    missed: tuple[int, ...] = ()
    matched: tuple[int, ...] = ()
    memory: int | None = None
    groups = low = 0
    high: int | None = 0
    nullable, described = False, ""
    if regex is None:
        notes.append("has only a path pattern: it reports files, not matches")
        if rule.examples or rule.negative_examples:
            notes.append("its examples are not judged: they are texts, and it looks at paths only")
    else:
        groups, low, high = regex.groups, rx.min_width(regex.root), rx.max_width(regex.root)
        nullable = rx.nullable(regex.root)
        if nullable:
            notes.append("matches the empty string, at nearly every position")
        if high is None:
            notes.append("matches have no longest length: they are cut at max_match_bytes")
        if never := rx.never_matches(regex.root):
            notes.append(
                "no text can match the regex: the rule finds nothing, and no backend looks for it"
            )
        if not rule.keywords and not never:
            notes.append("has no keywords: every document is searched for it")
        try:
            regexp, memory = compile_pattern(rx.to_re2(regex), captures=True)
        except re2.error as error:
            problems.append(f"google-re2 refuses the regex: {_text(error)}")
        else:
            hits = [_reports(index, regexp, text, filters) for text in rule.examples]
            missed = tuple(i for i, hit in enumerate(hits) if not hit)
            matched = tuple(
                i
                for i, text in enumerate(rule.negative_examples)
                if _reports(index, regexp, text, filters)
            )
        described = "" if route is None else route(index, rule, regex)
    return RuleReport(
        rule_id=rule.id,
        groups=groups,
        min_width=low,
        max_width=high,
        nullable=nullable,
        keywords=rule.keywords,
        re2_memory=memory,
        examples=len(rule.examples),
        negative_examples=len(rule.negative_examples),
        missed_examples=missed,
        matched_negatives=matched,
        route=described,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _reports(index: int, regexp: Re2Pattern, text: str, filters: CompiledFilters) -> bool:
    """Whether the rule reports anything in `text`."""
    data = text.encode()
    if not filters.has_keyword(index, data.lower()):
        return False
    return any(
        filters.judge(index, "", found.group(), found.groups(), partial(_line, data, *found.span()))
        is not None
        for found in regexp.finditer(data)
    )


def _line(data: bytes, start: int, end: int) -> bytes:
    stop = data.find(b"\n", end)
    return data[data.rfind(b"\n", 0, start) + 1 : len(data) if stop < 0 else stop]


def _text(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode("latin-1") if isinstance(reason, bytes) else str(reason)
