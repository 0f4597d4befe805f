"""RuleMatcher: the exact matches of one rule in a window, by google-re2.

This module defines what a match is: non-overlapping, leftmost-first, at most `cap` bytes long.
Where to look is for the backends to find; they may pass the ends of possible matches as a hint.

Whether a match starts at s, and which, depends on the bytes from s - 1 to s + cap only. So every
window that shows these bytes gives the same answer. (google-re2 looks beyond `endpos` for `\\b`
and `$`, but never lets a match go beyond it.)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from vyre_dist.extract.lookbehind import Lookbehind, bytes_of
from vyre_dist.extract.spans import CAPPED, DROPPED
from vyre_dist.extract.stepwise import step_by_step
from vyre_dist.extract.window import Window
from vyre_dist.rules.finder import CountedFinder, Finder, Groups, Offsets, groups_of
from vyre_dist.rules.search import Re2Pattern, compile_pattern

if TYPE_CHECKING:
    from vyre_dist.extract.automaton import Automaton
    from vyre_dist.extract.overrun import Overrun

MOST_WASTED = 8 << 20
"""So many bytes searches of one window may read behind the ends of matches. Then the window is
searched step by step, if the rule may search in vain.
"""

# google-re2 builds its automata as it goes and throws them away when they are full. With its own 8
# MiB the dearest of gitleaks' rules does so again and again over source code, and takes twice as
# long.
_AUTOMATON_MEMORY = 32 << 20


class RuleMatcher:
    """The matches of one canonical pattern (latin-1 RE2 syntax, flags resolved).

    `max_width`: the widest match in bytes, None when unbounded. Only unbounded rules are cut, to
    `max_match_bytes`: where the match is longer, the best match that fits is taken, flagged CAPPED,
    and where none fits there is none.
    """

    __slots__ = (
        "_alike",
        "_automaton",
        "_core",
        "_group_count",
        "_grouped",
        "_groupless",
        "_in_vain",
        "_loose_pattern",
        "_regexp",
        "_starters",
        "cap",
        "captures_matter",
        "ends_in",
        "lookbehind",
        "max_width",
        "overrun",
        "pattern",
    )

    def __init__(
        self,
        pattern: bytes,
        max_width: int | None,
        max_match_bytes: int,
        *,
        captures_matter: bool = False,
        loose_pattern: bytes | None = None,
    ) -> None:
        """See CompiledRule."""
        self._loose_pattern = loose_pattern
        self.pattern = pattern
        self.captures_matter = captures_matter
        self._regexp: Re2Pattern | None = None
        self._group_count: int | None = None
        self._grouped: Finder | None = None
        self._groupless: Finder | None = None
        self._core: Finder | None = None
        self.max_width = max_width
        self.cap = max_match_bytes if max_width is None else max_width
        self.lookbehind: Lookbehind | None = None
        """Of a pattern of unbounded width, for matches_at_ends; set by whoever worked it out."""
        self.overrun: Overrun | None = None
        """Of a pattern of unbounded width (see overrun.py); set by whoever has worked it out."""
        self.ends_in: Callable[[bytes | memoryview], Sequence[int] | None] | None = None
        """Gives the ends for matches_at_ends, or None; set by whoever has what finds them."""
        self._in_vain: bool | None = None
        self._alike = b""
        self._starters: bytes | None = None
        self._automaton: Automaton | bool | None = False

    @property
    def regexp(self) -> Re2Pattern:
        """The google-re2 object, compiled when first asked for; for most rules nobody does.

        compile_pack has made sure that it compiles.
        """
        if self._regexp is None:
            pattern = compile_pattern(self.pattern, captures=True, least=_AUTOMATON_MEMORY)
            self._regexp = pattern.regexp
        return self._regexp

    @property
    def group_count(self) -> int:
        """How many groups a match has."""
        if self._group_count is None:
            self._group_count = self.regexp.groups
        return self._group_count

    @property
    def automaton(self) -> Automaton | None:
        """The pattern's automaton; made when first asked for, None where there is none."""
        if isinstance(self._automaton, bool):
            from vyre_dist.extract.automaton import Automaton

            self._automaton = Automaton.of(self.pattern)
        return self._automaton

    @property
    def with_groups(self) -> Finder:
        """`regexp`'s matches, as offsets."""
        if self._grouped is None:
            self._grouped = self._finder(self.regexp)
        return self._grouped

    @property
    def alike(self) -> bytes:
        """A table for bytes.translate: see regex/alike.py."""
        if not self._alike:
            from vyre_dist import regex as rx
            from vyre_dist.regex.alike import representatives

            self._alike = representatives(rx.parse(self.pattern.decode("latin-1")).root)
        return self._alike

    @property
    def groupless(self) -> Finder:
        """The same without groups: to work these out takes longer than to find the match."""
        if self._groupless is None and self.captures_matter:
            self._groupless = self.with_groups
        elif self._groupless is None:
            self._groupless = self._finder(
                compile_pattern(self.pattern, least=_AUTOMATON_MEMORY).regexp
            )
        return self._groupless

    def occurs(self, data: bytes | memoryview) -> bool:
        """Whether the pattern matches anywhere in `data`, however long and whoever owns it."""
        return self.groupless.search(data, 0, len(data)) is not None

    def _finder(self, regexp: Re2Pattern) -> Finder:
        if self._loose_pattern is None:
            return Finder(regexp)
        return CountedFinder(
            regexp, Finder(compile_pattern(self._loose_pattern).regexp), self.max_width
        )

    def iter_matches(
        self, window: Window, pos: int | None = None, last_end: int = -1
    ) -> Iterator[tuple[int, int, int]]:
        """The chain of matches (start, end, flags), in window coordinates, from `pos` on.

        `pos`: None for window.lo. `last_end`: where the previous match ended; an empty match there
        is not another one, as in Go's and Rust's iterators. Rows flagged DROPPED are no matches.
        """
        pos = window.lo if pos is None else pos
        if self.max_width is None:
            yield from self.capped_chain(window, pos, last_end, None)
            return
        data, last_start = window.data, window.last_start
        search, size = self.groupless.search, len(data)
        while pos <= last_start:
            found = search(data, pos, size)
            if found is None:
                return
            start, end = found[0]
            if start > last_start:
                return
            if start == end == last_end:
                pos = start + 1
                continue
            yield start, end, 0
            pos = last_end = end

    def matches(self, window: Window) -> Iterable[tuple[int, int, int]]:
        """What iter_matches gives, the faster way if there is one."""
        ends = None if self.ends_in is None else self.ends_in(window.data)
        return self.iter_matches(window) if ends is None else self.matches_at_ends(window, ends)

    def capped_chain(
        self,
        window: Window,
        pos: int,
        last_end: int,
        ends: Sequence[int] | None,
        seen_groups: dict[int, Groups] | None = None,
        stretches: Sequence[tuple[int, int]] = (),
    ) -> Iterator[tuple[int, int, int]]:
        """iter_matches for a rule of unbounded width.

        `ends`, `seen_groups`, `stretches`: see matches_at_ends.

        A match that is too long has shown all there is up to its end, `seen`. Searching all of that
        again from each later start would be quadratic. So until then searches end at pos + cap +
        step: all that fits and starts within `step` bytes is in there. `step` halves whenever
        something too long turns up and nothing that fits, and doubles otherwise: a long stretch of
        such starts costs a logarithm.
        """
        search, match = (
            self.groupless.search if ends is None else self._search,
            self.groupless.match,
        )
        data, last_start, cap = window.data, window.last_start, self.cap
        size = len(data)
        # Is that where the document ends? Unless it is known to be, nothing that ends there is
        # known to be a match: `\z` and `\b` hold there for want of a next byte. And all that ends
        # there is too long.
        if not window.at_end and size > window.hi + cap:
            size -= 1
        if ends:
            size = min(size, ends[-1])  # no match goes beyond the last end
        seen, step = pos, self.cap
        lookbehind = self.lookbehind
        # what _search found by way of the core has its groups, if nothing too long could be found
        grouped = seen_groups if lookbehind is not None and lookbehind.core else None
        wasted = stretch = 0
        while pos <= last_start:
            while stretches and pos > stretches[stretch][0] and stretch + 1 < len(stretches):
                stretch, wasted = stretch + 1, 0
            if (
                wasted > MOST_WASTED
                and self.may_search_in_vain
                and (automaton := self.automaton) is not None
            ):
                until = min(last_start, stretches[stretch][0]) if stretches else last_start
                stepped = step_by_step(self, automaton, window, pos, last_end, until, ends)
                pos, wasted = until + 1, 0
                for start, end, flags in stepped:
                    yield start, end, flags
                    if not flags & DROPPED:
                        pos, last_end = max(pos, end), end
                continue
            if ends is not None:
                # what starts at pos or later ends at the next of the ends, or beyond
                i = bisect_right(ends, pos)
                if i == len(ends):
                    return
                if lookbehind is not None:
                    pos = lookbehind.earliest(data, pos, ends[i])
            limit, sure = size, last_start
            if stretches:
                while pos > stretches[stretch][0] and stretch + 1 < len(stretches):
                    stretch += 1  # the lookbehind has passed it over
                sure, limit = map(min, (sure, limit), stretches[stretch])
            if pos < seen and pos + cap + step < limit:
                limit, sure = pos + cap + step, min(pos + step, sure, seen - 1)
            found = search(data, pos, limit)
            if found is None or found[0][0] > sure:
                pos, step = sure + 1, min(2 * step, cap)
                continue
            start, end = found[0]
            flags = 0
            if end - start > cap:
                is_news, seen = end > seen, max(end, seen)
                if is_news:
                    yield start, end, DROPPED
                found = match(data, start, start + cap)
                if found is None:
                    pos, step = start + 1, max(1, step // 2)
                    continue
                end, flags = found[0][1], CAPPED
            step = cap
            wasted += limit - end
            if start == end == last_end:
                pos = start + 1
                continue
            if grouped is not None and limit - start <= cap:
                grouped[start] = groups_of(data, found)
            yield start, end, flags
            pos = last_end = end

    @property
    def starters(self) -> bytes:
        """The bytes that a match can begin with, if it has one at least."""
        if self._starters is None:
            from vyre_dist import regex as rx

            self._starters = bytes_of(rx.first_bytes(rx.parse(self.pattern.decode("latin-1")).root))
        return self._starters

    @property
    def may_search_in_vain(self) -> bool:
        """Whether google-re2 may search all of the text for a match's optional tail."""
        if self._in_vain is None:
            from vyre_dist import regex as rx

            self._in_vain = self.max_width is None and rx.has_optional_loop(
                rx.parse(self.pattern.decode("latin-1")).root
            )
        return self._in_vain

    def search_within(
        self, data: bytes | memoryview, pos: int, limit: int
    ) -> tuple[int, int] | None:
        """google-re2's first match in `data` that starts at `pos` or later and ends up to `limit`,
        whatever its length.
        """
        found = self.groupless.search(data, pos, limit)
        return None if found is None else found[0]

    def end_at(self, data: bytes | memoryview, start: int, limit: int) -> int | None:
        """Where google-re2's match that starts at `start` ends, if it does so up to `limit`."""
        found = self.groupless.match(data, start, limit)
        return None if found is None else found[0][1]

    def search(self, data: bytes | memoryview, pos: int) -> tuple[int, int] | None:
        """google-re2's first match in `data` from `pos` on, whatever its length."""
        found = self.groupless.search(data, pos, len(data))
        return None if found is None else found[0]

    def _search(self, data: bytes | memoryview, pos: int, limit: int) -> Offsets | None:
        """As groupless.search, by the core if there is one; then with groups, if they fit a cap."""
        lookbehind = self.lookbehind
        if lookbehind is None or not lookbehind.core:
            return self.groupless.search(data, pos, limit)
        if self._core is None:
            self._core = Finder(compile_pattern(lookbehind.core).regexp)
        found = self._core.search(data, pos, limit)
        if found is None:
            return None
        start = lookbehind.start_before(data, pos, found[0][0])
        # to work out a short match's groups as well costs less than to match once more for them; a
        # long one's cost more than all of the search
        finder = self.with_groups if limit - start <= self.cap else self.groupless
        return finder.match(data, start, limit)

    def matches_at_ends(
        self,
        window: Window,
        ends: Sequence[int],
        seen: dict[int, Groups] | None = None,
        stretches: Sequence[tuple[int, int]] = (),
    ) -> list[tuple[int, int, int]]:
        """What iter_matches gives, faster, from sorted `ends` that hold the end of every match.

        For rules without empty matches. Each search is confined to the neighbourhood of one end:
        with the widest match w, no match ends before end e and starts before e - w. If data[e-w :
        e+w] holds a match that starts at or before e, the first such is the next match (an earlier
        one would end before e and so be in `ends`); if not, e belongs to a match that overlaps an
        earlier one, and the next end is tried. For a rule without a width Lookbehind says how far
        back the match that goes to an end can start. `seen`: is given matches' groups by start,
        where they were worked out on the way. `stretches`: (last start, limit) in order, where it
        is known that what starts up to there, and behind the one before, ends at the limit or
        before, however long it is; none, or up to the window's end.
        """
        if self.max_width is None:
            return list(self.capped_chain(window, window.lo, -1, ends, seen, stretches))
        data, last_start = window.data, window.last_start
        out: list[tuple[int, int, int]] = []
        pos, width, size, search = window.lo, self.max_width, len(data), self.groupless.search
        i, n = bisect_right(ends, pos), len(ends)
        while i < n:
            e = ends[i]
            low, high = max(pos, e - width), min(last_start, e)
            if low > high:
                break
            found = search(data, low, min(size, high + width))
            if found is None or found[0][0] > high:
                i += 1
                continue
            start, pos = found[0]
            out.append((start, pos, 0))
            i = bisect_right(ends, pos, i)
        return out

    def groups_at(self, data: bytes, start: int, end: int) -> Groups | None:
        """The groups of the match data[start:end], found by a method above; None: it is no match.

        `data` must hold a byte before `start` and one after `end`, where the document has them:
        what is preferred of all matches that fit is so of those that end at `end` or before.
        """
        finder = self.with_groups if self.group_count else self.groupless
        found = finder.match(data, start, min(end, start + self.cap))
        if found is None or found[0][1] != end:
            return None
        return groups_of(data, found)
