"""CpuBackend, the default without a GPU: Hyperscan finds candidates, google-re2 confirms.

Fused: a window is confirmed right after it was scanned, while it is in the processor's cache.
Serial: all windows are scanned first, and confirmed afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from vyre_dist.extract import Span, Window
from vyre_dist.extract.file_windows import FileWindows
from vyre_dist.extract.overrun import Overrun
from vyre_dist.extract.row_arena import RowArena
from vyre_dist.kernels.host_backend import MANY, HostBackend
from vyre_dist.kernels.hyperscan_db import (
    candidate_databases,
    ends_database,
    interrupted_unless,
    library_version,
    search,
)
from vyre_dist.kernels.hyperscan_rows import HyperscanRows
from vyre_dist.kernels.overruns import load_overruns
from vyre_dist.program import ArtifactCache, CompiledPack
from vyre_dist.rules.finder import Groups

if TYPE_CHECKING:
    from vyre_dist.kernels.backends import BackendOptions

# A rule that matches more densely than this is searched by google-re2 from match to match: a call
# back into Python for each end (some 0.2 µs) would cost more than it saves, and a big document's
# ends would fill the memory.
_FEW_ENDS = 4096
_BYTES_PER_END = 64

_NO_END = -1

# however long matches may be, few bytes are searched twice
_OVERLAPS_IN_BLOCK = 8

# Hyperscan gets more than this in blocks, so that google-re2, which looks for a rule without a
# widest match, need not look beyond a block where no match goes on. Smaller blocks have more ends,
# each of which is looked at for every such rule: of 2 MiB, they cost Linux's source, a fifth of
# which is larger, 8 % more.
_BLOCK_BYTES = 1 << 23

# Until google-re2 has searched this much for a rule, a database of the rule's own (some
# milliseconds to compile) would not pay for itself: a small scan with findings of many rules is
# over before.
_BYTES_BEFORE_ENDS = 1 << 20

# An arena of rows with too many hits is cut into so many parts, unless they would have fewer rows:
# those are searched one by one.
_PARTS = 16


def stretches_of(size: int, overlap: int) -> list[tuple[int, int]]:
    """(last start, end) of the blocks of so many bytes: each shows what starts in it.

    There are `overlap` bytes from the last start on. None where one block is enough.
    """
    step = max(_BLOCK_BYTES, _OVERLAPS_IN_BLOCK * overlap)
    ends = range(step, size - overlap, step)
    return [(end - 1, end + overlap) for end in ends] + [(size, size)] if ends else []


def blocks_of(
    data: bytes | memoryview, overlap: int
) -> Iterator[tuple[int, bytes | memoryview, Window | None]]:
    """(offset, bytes, the starts that it owns) of the blocks of `data`, see stretches_of.

    A block shows the byte before its first start, too. None of the last one: it shows all that
    there is.
    """
    size, first = len(data), 0
    view = memoryview(data)
    for last, end in stretches_of(size, overlap):
        low = max(0, first - 1)
        text = view[low:end]
        yield (
            low,
            text,
            Window(text, low, first - low, last + 1 - low, False) if end < size else None,
        )
        first = last + 1
    if not first:
        yield 0, data, None


def most_ends(size: int) -> int:
    """How many ends of matches in `size` bytes are worth to hear of."""
    return _FEW_ENDS + size // _BYTES_PER_END


class CpuBackend(HostBackend):
    """One pack on one core. Not thread-safe: Hyperscan's scratch space is for one scan."""

    engine = f"hyperscan {library_version()}"

    def __init__(
        self,
        compiled: CompiledPack,
        cache: ArtifactCache,
        options: BackendOptions | None = None,
    ) -> None:
        """`options`: which matches need not be found."""
        super().__init__(compiled, options)
        self._cache = cache
        self._rules = {r.index: r for r in compiled.rules}
        self._candidates = candidate_databases(compiled, cache)
        for rule, lookbehind in self._candidates.lookbehinds.items():
            self.matchers[rule].lookbehind = lookbehind
        self._every_end = bool(self._candidates.every)
        self._ends_databases: dict[int, Any] = {}
        self._searched: dict[int, int] = {}
        self._hits: list[tuple[int, int]] = []
        self._most_hits = 0
        self._overlap = compiled.overlap
        for rule in self._candidates.by_keyword:
            self.matchers[rule].ends_in = partial(self._match_ends, rule)

    def _candidate_windows(
        self, windows: Sequence[Window]
    ) -> Iterator[tuple[int, dict[int, list[int] | None]]]:
        if not isinstance(windows, FileWindows) or not self._every_end or self._inexact:
            yield from self._candidates_one_by_one(windows, range(len(windows)))
            return
        # small files are searched together: a call for each takes a fifth as long as its search
        after = 0
        for files in windows.arenas():
            yield from self._candidates_one_by_one(windows, range(after, files.first))
            found = self._row_candidates.search(files)
            after = files.last
            if found is None:
                yield from self._candidates_one_by_one(windows, range(files.first, after))
            else:
                yield from [(files.first + row, rules) for row, rules in found.items()]
        yield from self._candidates_one_by_one(windows, range(after, len(windows)))

    @property
    def _inexact(self) -> bool:
        """Whether a search of all files together can't tell which of them some rules may match."""
        return bool(self._candidates.always or self._candidates.approximate)

    def _candidates_one_by_one(
        self, windows: Sequence[Window], numbers: Iterable[int]
    ) -> Iterator[tuple[int, dict[int, list[int] | None]]]:
        """_candidate_windows of those with these numbers."""
        hits, candidates = self._hits, self._candidates
        hits.clear()  # a dispatch that failed has left there what it had found
        by_keyword, always = candidates.by_keyword, candidates.always
        for w in numbers:
            window = windows[w]
            if window.data:
                if self._every_end and not self._scan(window.data, candidates.every, self._on_hit):
                    interrupted_unless(len(hits) > self._most_hits)
                    # a rule that is everywhere: to hear of each of its ends would take longer than
                    # to search
                    self._every_end = False
                    hits.clear()
                if not self._every_end:
                    self._scan(window.data, candidates.once.loaded, self._on_candidate)
            if by_keyword and not window.is_whole:
                unseen = by_keyword.difference([rule for rule, _ in hits])
                if unseen:
                    self._unsearched[w] = unseen
            if hits or always:
                yield w, self._grouped(candidates.single)
                hits.clear()

    @cached_property
    def _overruns(self) -> dict[int, Overrun]:
        """Of the rules whose matches may go on where a block ends: they are not all seen in it."""
        return load_overruns(self.compiled, self._cache)

    def _scan(
        self, data: bytes | memoryview, databases: Sequence[Any], on_hit: Callable[..., object]
    ) -> bool:
        """Add to the hits what `databases` find; whether all was searched (see `search`)."""
        if len(data) <= _BLOCK_BYTES:
            # nearly all files: what blocks need takes as long as the search of a small one
            self._most_hits = most_ends(len(data))
            return all(search(database, data, on_hit) for database in databases)
        hits = self._hits
        opened: set[int] = set()
        elsewhere = self._candidates.by_keyword.union(self._candidates.always)
        for low, text, owned in blocks_of(data, self._overlap):
            before = len(hits)
            self._most_hits = most_ends(low + len(text))
            for database in databases:
                if not search(database, text, on_hit):
                    return False
            if low:
                hits[before:] = [
                    (rule, end if end == _NO_END else low + end) for rule, end in hits[before:]
                ]
            if owned is not None:
                opened.update(
                    rule
                    for rule, overrun in self._overruns.items()
                    if rule not in opened
                    and rule not in elsewhere
                    and overrun.open_from(owned, ()) is not None
                )
        hits += [(rule, _NO_END) for rule in opened]
        return True

    @cached_property
    def _row_candidates(self) -> HyperscanRows:
        return HyperscanRows(self.compiled, self._cache, self._candidates.by_keyword)

    def _candidate_rows(self, rows: RowArena) -> Iterable[tuple[int, dict[int, list[int] | None]]]:
        found = self._row_candidates.search(rows)
        return self._candidates_of_parts(rows) if found is None else found.items()

    def _candidates_of_parts(
        self, rows: RowArena
    ) -> Iterator[tuple[int, dict[int, list[int] | None]]]:
        """The candidates of an arena where a rule is nearly everywhere, somewhere."""
        step = len(rows) // _PARTS
        if step < _PARTS:
            yield from self._candidate_windows(rows)
            return
        for first in range(0, len(rows), step):
            for row, rules in self._candidate_rows(rows[first : first + step]):
                yield first + row, rules

    def _on_hit(self, rule: int, _start: int, end: int, _flags: int, _context: object) -> bool:
        hits = self._hits
        hits.append((rule, end))
        return len(hits) > self._most_hits

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
                ends.sort()  # the same one twice where blocks overlap, which does no harm
        return dict(sorted(found.items())) if len(found) > 1 else found

    def _confirm(
        self,
        window: Window,
        rule: int,
        ends: list[int] | None,
        spans: list[Span],
        groups: dict[int, dict[int, Groups]],
        stretches: Sequence[tuple[int, int]] = (),
    ) -> bool:
        """See HostBackend. After a while, Hyperscan is asked for a rule's ends."""
        if ends is None and self.dense.get(rule, 0) < MANY:
            searched = self._searched[rule] = self._searched.get(rule, 0) + len(window.data)
            ends = self._match_ends(rule, window.data) if searched > _BYTES_BEFORE_ENDS else None
        # none of the rule's matches goes on behind a block, or there would be no ends
        stretches = stretches_of(len(window.data), self._overlap) if ends is not None else ()
        return super()._confirm(window, rule, ends, spans, groups, stretches)

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
        low = most = 0

        def on_end(_rule: int, _start: int, end: int, _flags: int, _context: object) -> bool:
            ends.append(low + end)
            return len(ends) > most

        overrun = self._overruns.get(rule) if len(data) > _BLOCK_BYTES else None
        for low, text, owned in blocks_of(data, self._overlap):
            most = most_ends(low + len(text))
            if not search(database, text, on_end):
                interrupted_unless(len(ends) > most)
                return None
            if owned and overrun and overrun.open_from(owned, ()) is not None:
                return None
        return sorted(set(ends)) if low else sorted(ends)
