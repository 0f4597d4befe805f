"""How many matches a rule's cap changes: google-re2's in the whole document that are longer.

Known are the chain of the document's matches that fit, and `marks`, ranges [from, to) in which
another match may begin. Up to the first mark, google-re2's chain is the same. From there on it is
followed to the mark's end, and further until neither chain is in the middle of a match: then both
go on alike. So the answer depends neither on the marks, if no longer match begins outside of them,
nor on the pieces in which a document is scanned.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vyre_dist.extract.matcher import RuleMatcher
from vyre_dist.extract.overrun import overrun_of

if TYPE_CHECKING:
    from vyre_dist.extract.automaton import Automaton

_FIRST_STEP = 4 << 10
_LAST_STEP = 1 << 20
# shown after each step, so that what begins in it and is short is seen whole
_AHEAD = 256


class UncappedChain:
    """google-re2's matches of one rule of unbounded width in one document.

    `read(low, high)`: its bytes, of which there are `size`.
    """

    def __init__(self, matcher: RuleMatcher, read: Callable[[int, int], bytes], size: int) -> None:
        self._matcher = matcher
        self._read = read
        self._size = size
        self._cut = overrun_of(matcher).cut
        self._automaton = matcher.automaton
        self.end = (0, -1)
        """Where the latest search has come to, and where its last match has ended."""
        if self._automaton is not None:
            self._automaton.forget()

    def too_long(
        self,
        found: Sequence[tuple[int, int]],
        marks: Sequence[tuple[int, int]],
        reach: int = -1,
        begun: tuple[int, int] | None = None,
    ) -> int:
        """How many matches exceed the cap. `found`: those that fit; both arguments in order.

        They may be those of a stretch of the document. `reach`: where the last match before it has
        ended. `begun`: the `end` of the search there, where it has gone beyond.
        """
        starts = [start for start, _ in found]
        count, pos, last_end = 0, 0, -1
        if begun is not None:
            pos, last_end = begun
            marks = [(pos - 1, pos), *marks]
        for low, high in marks:
            if pos <= low:
                before = bisect_left(starts, low)
                last_end = found[before - 1][1] if before else reach
                pos = max(low, last_end)
            while True:
                inside = bisect_left(starts, pos)
                upto = max(high, found[inside - 1][1] if inside else 0)
                if pos >= upto:
                    break
                match = self._next(pos, upto)
                if match is None:
                    pos = upto
                    continue
                end, is_long = match
                if end == last_end:  # an empty match there is not another one
                    pos = end + 1
                    continue
                count += is_long
                pos = last_end = end
        self.end = (pos, last_end)
        return count

    def _next(self, pos: int, stop: int) -> tuple[int, bool] | None:
        """(end, whether it exceeds the cap) of the first match that starts in [pos, stop)."""
        cap, automaton = self._matcher.cap, self._automaton
        if automaton is None:
            return self._next_in_memory(pos, stop)
        if self._cut is None:
            return self._first_of(automaton, pos, stop)
        step = _FIRST_STEP
        while pos < stop:
            base, upto = max(0, pos - 1), min(pos + step, stop)
            shown = min(self._size, upto + _AHEAD)
            data = self._read(base, shown)
            match = self._cut.search(data, pos - base, len(data))
            if match is None or match[0][0] + base >= upto:
                pos, step = upto, min(2 * step, _LAST_STEP)
                continue
            start, end = match[0][0] + base, match[0][1] + base
            if end < shown:
                return end, end - start > cap
            # these bytes end in the middle of it, or of what is preferred to it: no match starts
            # before `start`
            return self._first_of(automaton, start, stop)
        return None

    def _first_of(self, automaton: Automaton, pos: int, stop: int) -> tuple[int, bool] | None:
        """The same, however far it goes on."""
        found = automaton.end_of_first(self._read, self._size, pos, stop)
        if found is None:
            return None
        # is it one of those that start more than the cap before its end?
        early = automaton.end_of_first(
            self._read, self._size, pos, min(stop, found - self._matcher.cap)
        )
        return found, early == found

    def _next_in_memory(self, pos: int, stop: int) -> tuple[int, bool] | None:
        """The same for expressions too large for the automaton: all of the rest at once."""
        base = max(0, pos - 1)
        found = self._matcher.search(self._read(base, self._size), pos - base)
        if found is None or found[0] + base >= stop:
            return None
        return found[1] + base, found[1] - found[0] > self._matcher.cap
