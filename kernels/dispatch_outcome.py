"""DispatchOutcome: what one dispatch of a scan backend gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from vyre_dist.dispatch.report import SpeculationReport
from vyre_dist.extract import Span
from vyre_dist.rules.finder import Groups

MatchGroups: TypeAlias = Mapping[int, Mapping[int, Groups]]
"""Groups of one window's matches, by the rule's number and the match's start."""


class PieceContent(NamedTuple):
    """What a window that is a piece holds, where the host need not look itself.

    `newlines`: in what it owns, for each CONTENT_BLOCK of it. `block_digests`: see
    engine/content.py. `open_lows`: by rule, as far as that is known, an offset in the window before
    which no match starts that depends on bytes after the window.
    """

    newlines: tuple[int, ...]
    block_digests: bytes
    open_lows: Mapping[int, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DispatchOutcome:
    """The matches in a dispatch's windows, by the window's number in the dispatch.

    `backend`: the name of the one that did it. `spans`: of the windows that have any, in ascending
    order of window; those of one rule in order of start. `groups`: of the matches whose groups were
    worked out on the way. `report`: the tiles of a fused dispatch; None after the serial path,
    which attempts none. `contents`: of the windows that are pieces, if the device looked.
    `keywords`: flags of the windows in which a device looked for keywords (KeywordTable.has).
    `unsearched`: of windows that are not whole, the rules that were not searched there since none
    of their keywords is in the window.
    """

    backend: str
    spans: Mapping[int, list[Span]]
    groups: Mapping[int, MatchGroups] = field(default_factory=dict)
    report: SpeculationReport | None = None
    contents: Mapping[int, PieceContent] = field(default_factory=dict)
    keywords: Mapping[int, bytes] = field(default_factory=dict)
    unsearched: Mapping[int, frozenset[int]] = field(default_factory=dict)


def joined(parts: Sequence[tuple[int, DispatchOutcome]]) -> DispatchOutcome:
    """The outcome of several dispatches as that of one: each with its first window's number there.

    All are of one backend, and of one path.
    """
    if len(parts) == 1:
        return parts[0][1]
    reports = [own.report for _, own in parts if own.report is not None]
    return DispatchOutcome(
        parts[0][1].backend,
        {first + w: each for first, own in parts for w, each in own.spans.items()},
        {first + w: each for first, own in parts for w, each in own.groups.items()},
        SpeculationReport.from_counts(
            sum(report.committed_tiles for report in reports),
            sum(report.rolled_back_tiles for report in reports),
        )
        if reports
        else None,
        {first + w: each for first, own in parts for w, each in own.contents.items()},
        {first + w: each for first, own in parts for w, each in own.keywords.items()},
        {first + w: each for first, own in parts for w, each in own.unsearched.items()},
    )


StartedDispatch: TypeAlias = DispatchOutcome | Callable[[], DispatchOutcome]
"""A dispatch that is over, or what waits for its outcome."""
