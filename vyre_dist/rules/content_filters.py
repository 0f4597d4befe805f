"""ContentFilter: what a rule's allowlists find in its matches, one by one or many at once.

Most matches are on no allowlist. So all of a rule's patterns for secrets are one search, and those
for matches another; and of many matches the texts are searched together, a line each. What that
finds is a superset, which is asked about one by one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

from vyre_dist.rules.finder import Finder
from vyre_dist.rules.model import Allowlist, RegexTarget
from vyre_dist.rules.search import Renderings, compile_pattern, literal_alternation

# fewer texts are searched one by one: patterns for lines take their time to be made
_MANY = 64
_FEW_HITS = 16
# longer lines are searched one by one, as there are not many of them
_LONGEST_LINE = 1 << 10

Line: TypeAlias = Callable[[], bytes | memoryview]
"""Gives the line, or lines, that a match is on."""


class Search:
    """A pattern that is compiled when it is first searched for: most allowlists never are."""

    __slots__ = ("_finder", "_pattern")

    def __init__(self, pattern: Callable[[], bytes]) -> None:
        """`pattern`: gives the latin-1 pattern."""
        self._pattern = pattern
        self._finder: Finder | None = None

    @property
    def finder(self) -> Finder:
        """The pattern's matches, as offsets."""
        if self._finder is None:
            self._finder = Finder(compile_pattern(self._pattern()).regexp)
        return self._finder

    def is_in(self, text: bytes | memoryview) -> bool:
        """Whether the pattern matches in `text`; no allowlist covers an empty one, as in
        gitleaks.
        """
        return len(text) > 0 and self.finder.search(text, 0, len(text)) is not None


class JudgedLine:
    """A line with what allowlists found in it: each searches it once, for all matches on it.

    `text`: gives the line; it is not kept, since a line may be a whole document. `size`: its bytes.
    """

    __slots__ = ("_known", "_text", "size")

    def __init__(self, text: Line, size: int) -> None:
        self._text, self.size = text, size
        self._known: dict[Search, bool] = {}

    def __call__(self) -> bytes | memoryview:
        return self._text()

    def matches(self, search: Search) -> bool:
        """Whether `search` finds something in the line."""
        known = self._known.get(search)
        if known is None:
            known = self._known[search] = search.is_in(self._text())
        return known

    def knows(self, search: Search) -> bool:
        """Whether `search` has been here."""
        return search in self._known

    def learn(self, search: Search, matches: bool) -> None:
        """Know what `search` finds."""
        self._known[search] = matches


@dataclass(frozen=True, slots=True)
class ContentCheck:
    """An allowlist that has to see the match. `paths`: its path patterns, if all must hold.
    `lines`: its regexes for many lines at once, if it looks at lines.
    """

    allowlist: Allowlist
    both: bool
    target: RegexTarget
    regexes: Search | None
    stopwords: Search | None
    paths: tuple[str, ...]
    lines: _Joined | None

    @classmethod
    def of(cls, allowlist: Allowlist, renderings: Renderings) -> ContentCheck | None:
        """That of an allowlist; None if it does not look at matches. Raises as CompiledFilters."""
        both = allowlist.condition == "AND"
        if not allowlist.regexes and not allowlist.stopwords:
            return None
        if both and allowlist.commits:
            # documents have no commit, so not all of its checks can hold
            return None
        regexes = stopwords = lines = None
        if allowlist.regexes and allowlist.regex_target == "line":
            lines = _Joined([allowlist], (), renderings)
            regexes = lines.search
        elif allowlist.regexes:
            pattern = renderings.alternation(allowlist.regexes)
            regexes = Search(lambda: pattern)
        if words := _lowered(allowlist.stopwords):
            stopwords = Search(lambda: literal_alternation(words))
        paths = allowlist.paths if both else ()
        return cls(allowlist, both, allowlist.regex_target, regexes, stopwords, paths, lines)

    def look_at(self, lines: Sequence[JudgedLine]) -> None:
        """Search many lines at once, to know what `covers` will ask of them."""
        if self.lines is None or (search := self.lines.search) is None or len(lines) < _MANY:
            return
        some, texts = [], []
        for line in dict.fromkeys(lines):
            if line.size <= _LONGEST_LINE and not line.knows(search):
                some.append(line)
                texts.append(bytes(line()))
        covered = self.lines.covered(texts)
        for number, line in enumerate(some):
            line.learn(search, number in covered)

    def covers(self, secret: bytes, match: bytes, line: Line) -> bool:
        """Whether the match is on the allowlist, as far as its content decides."""
        hits = []
        if self.regexes is not None:
            if self.target == "secret":
                hits.append(self.regexes.is_in(secret))
            elif self.target == "match":
                hits.append(self.regexes.is_in(match.strip(b"\n")))
            elif isinstance(line, JudgedLine):
                hits.append(line.matches(self.regexes))
            else:
                hits.append(self.regexes.is_in(line()))
        if self.stopwords is not None:
            lowered = secret.lower()
            hits.append(self.stopwords.finder.search(lowered, 0, len(lowered)) is not None)
        return (all if self.both else any)(hits)


class ContentFilter:
    """The allowlists of a rule that have to see its matches.

    `others`: the checks that `covers` does not settle: those that ask for a line or for a path.
    """

    def __init__(self, checks: Sequence[ContentCheck], renderings: Renderings) -> None:
        simple = [check.allowlist for check in checks if _is_simple(check)]
        words = [word for a in simple for word in _lowered(a.stopwords)]
        self._secrets = _Joined(
            [a for a in simple if a.regex_target == "secret"], words, renderings
        )
        self._matches = _Joined([a for a in simple if a.regex_target == "match"], (), renderings)
        self.others = tuple(check for check in checks if not _is_simple(check))

    @property
    def secrets(self) -> Search | None:
        """Finds something in secrets that are on an allowlist: in no others, but not in all."""
        return self._secrets.search

    def covers(self, secret: bytes, match: bytes) -> bool:
        """Whether one of the allowlists of secrets and matches covers a match."""
        secrets, matches = self._secrets, self._matches
        return (secrets.search is not None and secrets.search.is_in(secret)) or (
            matches.search is not None and matches.search.is_in(match.strip(b"\n"))
        )

    def covered(self, secrets: Sequence[bytes], matches: Sequence[bytes]) -> set[int]:
        """The numbers of those that `covers` covers."""
        found = self._secrets.covered(secrets)
        if self._matches.search is not None:
            found |= self._matches.covered([match.strip(b"\n") for match in matches])
        return found


class _Joined:
    """The patterns and stop words of several allowlists, in one search."""

    def __init__(
        self, allowlists: Iterable[Allowlist], words: Iterable[bytes], renderings: Renderings
    ) -> None:
        patterns = [pattern for allowlist in allowlists for pattern in allowlist.regexes]
        folded = _in_any_case(words)
        self.search: Search | None = None
        if not patterns and not folded:
            return

        def joined(rendered: bytes) -> bytes:
            return b"|".join(filter(None, (rendered, folded)))

        self.search = Search(lambda: joined(renderings.alternation(patterns)))
        self._in_lines = Search(lambda: joined(renderings.in_lines(patterns)))

    def covered(self, texts: Sequence[bytes]) -> set[int]:
        """The numbers of the texts that the search finds something in."""
        if self.search is None:
            return set()
        is_in = self.search.is_in
        if len(texts) < _MANY:
            return {number for number, text in enumerate(texts) if is_in(text)}
        found: set[int] = set()
        lines = b"\n".join(texts)
        search, size, number, hits = self._in_lines.finder.search, len(lines), 0, 0
        begins = list(accumulate(map(len, texts), lambda at, size: at + size + 1, initial=0))
        while number < len(texts) and (hit := search(lines, begins[number], size)) is not None:
            # a hit that goes over several lines may hide one in each
            first, last = (bisect_right(begins, offset) - 1 for offset in hit[0])
            hits += 1
            if hits > _FEW_HITS and 4 * hits > last:
                last = len(texts) - 1  # to search twice for each takes longer
            found.update(n for n in range(first, last + 1) if is_in(texts[n]))
            number = last + 1
        return found


def content_filters(
    scoped: Sequence[tuple[Allowlist, ...]], renderings: Renderings
) -> tuple[ContentFilter, ...]:
    """A filter for each rule's allowlists. Raises as CompiledFilters does."""
    checks: dict[Allowlist, ContentCheck | None] = {}
    made: dict[tuple[Allowlist, ...], ContentFilter] = {}  # most rules have the global ones only
    for allowlists in scoped:
        if allowlists not in made:
            for allowlist in allowlists:
                if allowlist not in checks:
                    checks[allowlist] = ContentCheck.of(allowlist, renderings)
            own = [check for check in map(checks.__getitem__, allowlists) if check is not None]
            made[allowlists] = ContentFilter(own, renderings)
    return tuple(made[allowlists] for allowlists in scoped)


def _is_simple(check: ContentCheck) -> bool:
    """Whether one of a check's patterns in the secret or the match is enough."""
    # a stop word that is empty is found in empty secrets, too
    return not check.both and check.target != "line" and "" not in check.allowlist.stopwords


def _lowered(words: Iterable[str]) -> list[bytes]:
    return [word.encode().lower() for word in words]


def _in_any_case(words: Iterable[bytes]) -> bytes:
    """A latin-1 pattern that matches where one of the lower-case `words` is, in any letter case of
    ASCII.
    """

    def either(byte: int) -> bytes:
        small = bytes((byte,))
        big = small.upper()
        return b"[%b%b]" % (small, big) if big != small else b"\\x%02x" % byte

    return b"|".join([b"".join(map(either, word)) for word in words])
