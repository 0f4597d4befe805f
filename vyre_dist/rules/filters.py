r"""CompiledFilters: what a pack's filters do with a match, in gitleaks' terms and order.

Here: the keyword filter, secret, entropy, and the order of all. What allowlists find in a match is
in content_filters.py, paths are in path_filters.py; matches are found in extract/.

gitleaks asks in this order, and so must the engine. May anything be reported for this path
(`document_skipped`)? Is one of the rule's keywords in the document (`has_keyword`)? Does the rule
apply to the path (`rule_applies_to_path`)? Then, for every match: `pick_secret`, `entropy`,
`allowed`; `judge` does these three, and `judge_all` for many matches at once.

Known differences, on purpose: entropy counts bytes (gitleaks: characters, over the length in
bytes); the groups are those of the match in its document (gitleaks matches again within the matched
text, where `\b` and `$` may see something else); a line has no line break at its start (gitleaks'
has one, except the first, so that `^` fails there).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from vyre_dist.rules.content_filters import (
    ContentCheck,
    ContentFilter,
    JudgedLine,
    Line,
    content_filters,
)
from vyre_dist.rules.entropies import LONG, Entropies, entropy
from vyre_dist.rules.finder import Groups
from vyre_dist.rules.keyword_table import keywords_of
from vyre_dist.rules.model import Allowlist, Rule
from vyre_dist.rules.path_filters import PathDecision, PathFilters, allowlists_of
from vyre_dist.rules.search import Renderings

if TYPE_CHECKING:
    from vyre_dist.rules.many_keywords import ManyKeywords

_MANY = 256
"""Keywords of a rule from which on it is faster to look for all of them at once."""

Verdict: TypeAlias = tuple[bytes, float] | None
"""The secret of a match that is reported, and its entropy; None for a match that is dropped."""


class HasRules(Protocol):
    """What filters are compiled from: PackData or RulePack."""

    @property
    def rules(self) -> tuple[Rule, ...]: ...
    @property
    def allowlists(self) -> tuple[Allowlist, ...]: ...


class Matched(NamedTuple):
    """A match of rule number `rule`, document[start:end], with its groups."""

    start: int
    rule: int
    end: int
    match: bytes
    groups: Groups


def pick_secret(rule: Rule, match: bytes, groups: Sequence[bytes | None]) -> bytes:
    """The part of a match that is the secret.

    The rule's secret group (empty when it took no part); without one the first group that is not
    empty; without such a group the match, line breaks at its ends cut off.
    """
    if rule.secret_group:
        return groups[rule.secret_group - 1] or b""
    return next((group for group in groups if group), None) or match.strip(b"\n")


class CompiledFilters:
    """A pack's filters, compiled. Rules are named by their index in the pack."""

    def __init__(self, pack: HasRules, renderings: Renderings | None = None) -> None:
        """Compile. Raises RegexSyntaxError or re2.error for allowlists that came through no loader.

        `renderings`: what is known of the pack's patterns; it learns the others.
        """
        renderings = renderings or Renderings()
        self.rules = pack.rules
        self.keywords = tuple(map(keywords_of, pack.rules))
        scoped = allowlists_of(pack.rules, pack.allowlists)
        self.paths = PathFilters(pack.rules, scoped, renderings)
        self.contents = content_filters(scoped, renderings)
        self._needs_line = tuple(
            any(check.target == "line" for check in content.others) for content in self.contents
        )
        self._entropies = Entropies()
        self._searches: dict[int, ManyKeywords] = {}
        self._too_few = tuple(too_few_bytes(rule.entropy) for rule in pack.rules)

    def path_decision(self, path: str) -> PathDecision:
        """Everything that the path decides, for all rules at once."""
        return self.paths.decision(path)

    def folder_decision(self, prefix: str, names: Sequence[str]) -> PathDecision | None:
        """The decision on every `prefix` + name, if they share one; None: ask for each."""
        return self.paths.folder_decision(prefix, names)

    def lines_decision(self, lines: bytes, count: int) -> PathDecision | None:
        """The same of `count` paths, with a newline between two."""
        return self.paths.lines_decision(lines, count)

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
        if self.has_many_keywords(rule_index):
            return self._search(rule_index).any_in(lowered_haystack)
        return not keywords or any(word in lowered_haystack for word in keywords)

    def has_many_keywords(self, rule_index: int) -> bool:
        """Whether the rule has so many that none of them is looked for by itself."""
        return len(self.keywords[rule_index]) >= _MANY

    def _search(self, rule_index: int) -> ManyKeywords:
        if rule_index not in self._searches:
            # few packs have such rules, and NumPy takes long to import
            from vyre_dist.rules.many_keywords import ManyKeywords

            self._searches[rule_index] = ManyKeywords(self.keywords[rule_index])
        return self._searches[rule_index]

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
        content = self.contents[rule_index]
        return content.covers(secret, match) or self._others_cover(
            content, decision, secret, match, line
        )

    def _others_cover(
        self,
        content: ContentFilter,
        decision: PathDecision,
        secret: bytes,
        match: bytes,
        line: Line,
    ) -> bool:
        for check in content.others:
            if self._may_cover(check, decision) and check.covers(secret, match, line):
                return True
        return False

    def _may_cover(self, check: ContentCheck, decision: PathDecision) -> bool:
        """Whether an allowlist may cover matches in a document, as far as its path decides."""
        return not (check.both and check.paths) or self.paths.matched(decision, check.paths)

    def judge(
        self,
        rule_index: int,
        path: str,
        match: bytes,
        groups: Sequence[bytes | None],
        line: Line,
    ) -> Verdict:
        """The verdict on one match."""
        matched = Matched(0, rule_index, 0, match, tuple(groups))
        return self.judge_all(path, [matched], lambda _start, _end: line)[0]

    def judge_all(
        self,
        path: str,
        matches: Sequence[Matched],
        line_of: Callable[[int, int], Line],
    ) -> list[Verdict]:
        """The verdicts on `matches`, all of one document; many together take less time.

        `line_of(start, end)`: the line of a match. It is asked in the order of the matches, and
        only where an allowlist asks.
        """
        rules = self.rules
        decision = self.paths.decision(path)
        secrets: dict[int, bytes] = {}
        by_rule: dict[int, list[int]] = {}
        for number, matched in enumerate(matches):
            by_rule.setdefault(matched[1], []).append(number)
        for index, numbers in by_rule.items():
            if not decision.applies[index]:
                continue
            picked = self._secrets_of(index, [matches[number] for number in numbers])
            # of a long secret the entropy is known as soon as that it is dull
            if (too_few := self._too_few[index]) >= 0:
                kept = [
                    number
                    for number, secret in enumerate(picked)
                    if len(secret) >= LONG or len(set(secret)) > too_few
                ]
                if len(kept) < len(picked):
                    numbers = [numbers[number] for number in kept]
                    picked = [picked[number] for number in kept]
            # to search many texts at once takes less time than their entropies; a match is reported
            # if all agree, whoever is asked first
            texts = [matches[number][3] for number in numbers]
            covered = self.contents[index].covered(picked, texts)
            secrets.update(zip(numbers, picked, strict=True))
            for number in covered:
                del secrets[numbers[number]]
        verdicts: list[Verdict] = [None] * len(matches)
        asked: list[int] = []
        bits_of = self._entropies.of(list(secrets.values()))
        for (number, secret), bits in zip(secrets.items(), bits_of, strict=True):
            index = matches[number].rule
            least = rules[index].entropy
            if not least or bits > least:
                verdicts[number] = secret, bits
                if self.contents[index].others:
                    asked.append(number)
        asked.sort()
        lines: dict[int, Line] = {}
        judged: dict[int, list[JudgedLine]] = {}
        for number in asked:
            start, index, end, _, _ = matches[number]
            if self._needs_line[index]:
                line = lines[number] = line_of(start, end)
                if isinstance(line, JudgedLine):
                    judged.setdefault(index, []).append(line)
        for index, some in judged.items():
            for check in self.contents[index].others:
                if self._may_cover(check, decision):
                    check.look_at(some)
        for number in asked:
            verdict, (_, index, _, match, _) = verdicts[number], matches[number]
            if verdict is None:
                continue
            line = lines.get(number, _no_line)
            if self._others_cover(self.contents[index], decision, verdict[0], match, line):
                verdicts[number] = None
        return verdicts

    def _secrets_of(self, index: int, matches: Sequence[Matched]) -> list[bytes]:
        """What pick_secret picks of a rule's matches."""
        rule = self.rules[index]
        if group := rule.secret_group:
            return [groups[group - 1] or b"" for _, _, _, _, groups in matches]
        return [
            (groups and groups[0]) or pick_secret(rule, match, groups)
            for _, _, _, match, groups in matches
        ]

    def _is_dull(self, rule_index: int, secret: bytes) -> bool:
        """Whether a secret has too few different bytes for its rule's entropy. True is sure."""
        too_few = self._too_few[rule_index]
        return too_few >= 0 and (len(secret) <= too_few or len(set(secret)) <= too_few)

    def has_too_few_bytes(
        self, rule_index: int, match: bytes, groups: Sequence[bytes | None]
    ) -> bool:
        """Whether `judge` would drop a match, for no more than a look at its secret. True is sure.

        A loose rule's matches are thousands a gigabyte, and most of them go here.
        """
        return self._is_dull(rule_index, pick_secret(self.rules[rule_index], match, groups))

    entropy = staticmethod(entropy)
    pick_secret = staticmethod(pick_secret)


def too_few_bytes(least: float | None) -> int:
    """How many different bytes never have more than `least` bits of entropy; -1 for no `least`.

    n different bytes have at most log2(n) bits. To count them takes a third of the time that the
    entropy takes, and most matches of a loose rule have too few.
    """
    # less than that by more than entropy's rounding could make up for
    return int(2 ** (min(least, 8) - 1e-9)) if least and least > 0 else -1


def _no_line() -> bytes:
    raise AssertionError("no allowlist of the rule asks for a line")
