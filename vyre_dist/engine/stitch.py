"""Stitching: the matches that neighbouring pieces found, joined into the document's own chain.

Each piece found its matches as if its first byte were free. Where an earlier piece's last match
reaches into the next, the true chain begins there only after that match; it is searched anew from
its end until it falls in step with what the piece found: from a common match on, two chains of the
same rule are the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from vyre_dist.engine.document import Document, window_of
from vyre_dist.engine.lines import NEWLINE_BLOCK, NewlineSums, unpack_counts
from vyre_dist.engine.spool import bytes_of
from vyre_dist.engine.tasks import PartResult, Stretch
from vyre_dist.extract import DROPPED, RuleMatcher

_FIRST_STEP = 4 << 10
ALL = Stretch()

Match = tuple[int, int, int]
"""(start, end, flags) in document coordinates; none is flagged DROPPED."""


def stitch(
    document: Document,
    matcher: RuleMatcher,
    parts: Sequence[tuple[int, int, Sequence[Match]]],
    searched: list[tuple[int, int]] | None = None,
    reach: int = 0,
) -> list[Match]:
    """The rule's matches in `document`, as far as `parts` go.

    `parts`: (start, end, matches that start in [start, end)) of pieces in order, without gaps.
    Reads the document only where a match crosses into the next piece and hits one found there.
    `searched`: is given [from, to) of where that was so. `reach`: where the last match before the
    parts has ended, 0 if they are the first ones.
    """
    chain: list[Match] = []
    pos, last_end = (reach, reach) if reach else (0, -1)
    for start, end, found in parts:
        i = 0
        if pos > start or last_end == start:
            i = _first_in_step(found, 0, pos, last_end)
            if i > 0:
                i = _catch_up(document, matcher, (start, end), found, chain, pos, last_end)
                if searched is not None:
                    searched.append((max(pos, start), found[i][0] if i < len(found) else end))
        chain.extend(found[i:])
        if chain:
            pos = last_end = chain[-1][1]
    return chain


def _first_in_step(found: Sequence[Match], low: int, pos: int, last_end: int) -> int:
    """The index of the first match that a chain at (pos, last_end) may take."""
    i = bisect_left(found, (pos, -1, 0), low)
    while i < len(found) and found[i][0] == found[i][1] == last_end:
        i += 1
    return i


def _catch_up(
    document: Document,
    matcher: RuleMatcher,
    bounds: tuple[int, int],
    found: Sequence[Match],
    chain: list[Match],
    pos: int,
    last_end: int,
) -> int:
    """Search from `pos` on, appending to `chain`, until a match is in `found`; its index.

    The index is the length of `found` if none is.
    """
    start, end = bounds
    pos, step = min(max(pos, start), end), _FIRST_STEP
    while pos < end or pos == end == document.size:
        # nearly always the first match is in step
        upto = min(pos + step, end)
        window = window_of(document, pos, upto, matcher.cap + 1)
        base = window.base
        for s, e, flags in matcher.iter_matches(window, pos - base, last_end - base):
            if flags & DROPPED:
                continue
            i = bisect_left(found, (s + base, e + base, 0))
            if i < len(found) and found[i][:2] == (s + base, e + base):
                return i
            chain.append((s + base, e + base, flags))
            pos = last_end = e + base
        if upto == end:
            break
        pos, step = max(pos, upto), 2 * step
    return len(found)


def newline_sums(parts: Sequence[PartResult], before: Stretch = ALL) -> NewlineSums:
    """Those of the document, from its parts.

    `before`: what is known of what comes before the parts.
    """
    starts: list[int] = []
    known: list[int] = []
    if parts[0].start:
        starts.append(0)
        known.append(before.newlines)
    for part in parts:
        starts += range(part.start, part.end, NEWLINE_BLOCK)
        known += unpack_counts(bytes_of(part.newlines))
    return NewlineSums(starts, known.__getitem__)
