"""CpuBackend, the default without a GPU: Hyperscan finds candidates, google-re2 confirms.

Fused: a window is confirmed right after it was scanned, while it is in the processor's cache.
Serial: all windows are scanned first, and confirmed afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import hyperscan

from vyre_dist.extract import Span, Window
from vyre_dist.kernels.host_backend import HostBackend
from vyre_dist.kernels.hyperscan_db import candidate_databases, ends_database
from vyre_dist.program import ArtifactCache, CompiledPack
from vyre_dist.rules.finder import Groups

# A rule that matches more densely than this is searched by google-re2 from match to match: a call
# back into Python for each end (some 0.2 µs) would cost more than it saves, and a big document's
# ends would fill the memory.
_FEW_ENDS = 4096
_BYTES_PER_END = 64

_NO_END = -1

# Until google-re2 has searched this much for a rule, a database of the rule's own (some
# milliseconds to compile) would not pay for itself: a small scan with findings of many rules is
# over before.
_BYTES_BEFORE_ENDS = 1 << 20


class CpuBackend(HostBackend):
    """One pack on one core. Not thread-safe: Hyperscan's scratch space is for one scan."""

    def __init__(self, compiled: CompiledPack, cache: ArtifactCache) -> None:
        super().__init__(compiled)
        self._cache = cache
        self._rules = {r.index: r for r in compiled.rules}
        self._candidates = candidate_databases(compiled, cache)
        for rule, lookbehind in self._candidates.lookbehinds.items():
            self.matchers[rule].lookbehind = lookbehind
        self._every_end = bool(self._candidates.every)
        self._ends_databases: dict[int, Any] = {}
        self._searched: dict[int, int] = {}
        self._hits: list[tuple[int, int]] = []
        self._scanned = b""

    def _candidate_windows(
        self, windows: Sequence[Window]
    ) -> Iterator[tuple[int, dict[int, list[int] | None]]]:
        hits, on_hit, candidates = self._hits, self._on_hit, self._candidates
        hits.clear()  # a dispatch that failed has left there what it had found
        by_keyword = candidates.by_keyword
        every = [database.scan for database in candidates.every]
        always = candidates.always
        for w, (data, base, lo, _, at_end, _) in enumerate(windows):
            single = candidates.single
            if data:
                # the binding takes nothing else
                data = data if isinstance(data, bytes) else bytes(data)
                if self._every_end:
                    self._scanned = data
                    try:
                        for scan in every:
                            scan(data, on_hit)
                    except hyperscan.ScanTerminated:
                        # a rule that is everywhere: to hear of each of its ends would take longer
                        # than to search
                        self._every_end = False
                        hits.clear()
                if not self._every_end:
                    for database in candidates.once.loaded:
                        database.scan(data, self._on_candidate)
                if by_keyword and (base or lo or not at_end):  # not all of its document
                    self._scan_for_regexes(data)
                    single = candidates.approximate
            if hits or always:
                yield w, self._grouped(single)
                hits.clear()

    def _scan_for_regexes(self, data: bytes) -> None:
        """Replace the hits of keywords by what their rules' own regexes find."""
        by_keyword, hits = self._candidates.by_keyword, self._hits
        hits[:] = [hit for hit in hits if hit[0] not in by_keyword]
        others, self._scanned = len(hits), data
        try:
            for database in self._candidates.partial.loaded:
                database.scan(data, self._on_hit)
        except hyperscan.ScanTerminated:
            # more ends than it would be worth to hear of
            hits[others:] = [(rule, _NO_END) for rule in by_keyword]

    def _on_hit(self, rule: int, _start: int, end: int, _flags: int, _context: object) -> bool:
        hits = self._hits
        hits.append((rule, end))
        return (
            len(hits) > _FEW_ENDS and len(hits) > _FEW_ENDS + len(self._scanned) // _BYTES_PER_END
        )

    def _on_candidate(
        self, rule: int, _start: int, _end: int, _flags: int, _context: object
    ) -> None:
        self._hits.append((rule, _NO_END))

    def _grouped(self, single: frozenset[int]) -> dict[int, list[int] | None]:
        """The hits by rule, both ascending. `single`: rules whose hits are not ends of matches."""
        found: dict[int, list[int] | None] = dict.fromkeys(self._candidates.always)
        for rule, end in self._hits:
            if end == _NO_END or rule in single:
                found[rule] = None
            elif (ends := found.setdefault(rule, [])) is not None:
                ends.append(end)
        for ends in found.values():
            if ends is not None:
                ends.sort()
        return dict(sorted(found.items())) if len(found) > 1 else found

    def _confirm(
        self,
        window: Window,
        rule: int,
        ends: list[int] | None,
        spans: list[Span],
        groups: dict[int, dict[int, Groups]],
    ) -> None:
        """See HostBackend. After a while, Hyperscan is asked for a rule's ends."""
        if ends is None:
            searched = self._searched[rule] = self._searched.get(rule, 0) + len(window.data)
            ends = self._match_ends(rule, window.data) if searched > _BYTES_BEFORE_ENDS else None
        super()._confirm(window, rule, ends, spans, groups)

    def _match_ends(self, rule: int, data: bytes | memoryview) -> list[int] | None:
        """The offsets where matches of `rule` end in `data`, ascending; None: not known."""
        if rule in self._candidates.approximate or rule in self._candidates.always:
            return None
        if rule not in self._ends_databases:
            self._ends_databases[rule] = ends_database(
                self._rules[rule], self.compiled, self._cache
            )
        database = self._ends_databases[rule]
        if database is None:
            return None
        ends: list[int] = []
        limit = _FEW_ENDS + len(data) // _BYTES_PER_END

        def on_end(_rule: int, _start: int, end: int, _flags: int, _context: object) -> bool:
            ends.append(end)
            return len(ends) > limit

        try:
            database.scan(bytes(data), match_event_handler=on_end)
        except hyperscan.ScanTerminated:
            return None
        ends.sort()
        return ends
