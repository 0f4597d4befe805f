"""CudaBackend: the tables' programs and the search for spans on a GPU, google-re2 for the rest.

Fused: scan and walk behind each other. Serial: the prefilter lists on the device where the bitmap
hits, and `confirm` has what is listed probed and walked. What comes out is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vyre_dist.autotune.choice import Choice
from vyre_dist.compiler.arena import Arena, arena_size
from vyre_dist.compiler.codec import tables_digest
from vyre_dist.errors import UsageError
from vyre_dist.extract import REJECTED, Span, Window
from vyre_dist.extract.file_windows import bounds_of, perhaps_pieces
from vyre_dist.extract.pivots import matches_near_pivots
from vyre_dist.kernels.cuda.device_pack import MAX_STEPS, DevicePack
from vyre_dist.kernels.cuda.device_tables import check_supported
from vyre_dist.kernels.cuda.lane_facts import LaneFacts
from vyre_dist.kernels.cuda.nvrtc import sources_digest
from vyre_dist.kernels.cuda.pending import DeviceRows
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome, PieceContent
from vyre_dist.kernels.reference import arena_of
from vyre_dist.kernels.scan_backend import (
    PrefilterOutput,
    ScanPrograms,
    checked_output,
    rule_matchers,
)
from vyre_dist.kernels.tuned import READY, setting_of
from vyre_dist.program import ArtifactCache, CompiledPack
from vyre_dist.program.pack_tables import load_tables
from vyre_dist.program.program_facts import ProgramFacts
from vyre_dist.program.tunables import Tunables
from vyre_dist.rows.layout import CONTENT_BLOCK, HOST, OPEN
from vyre_dist.rows.reading import RowReading
from vyre_dist.rows.settling import UNKNOWN_BACK, HostSearch, groups_in, settle
from vyre_dist.rules.finder import Groups

DISPATCH_BYTES = 64 << 20
"""Of one dispatch: launches and read-backs take half a millisecond together, in which the GPU scans
a gigabyte.
"""


_WINDOW_REACH = 8
"""Bytes from an anchor's pivot that its window reaches, and more."""


@dataclass(frozen=True, slots=True)
class DeviceHits(PrefilterOutput):
    """What dispatch number `dispatch` listed. It stays on the device until the next dispatch."""

    dispatch: int


class ArenaLane(Protocol):
    """The way to a device: this process's own (Lane), or another's."""

    @property
    def tunables(self) -> Tunables:
        """Those of the programs that the next arena is for; waits until they are known."""

    @property
    def runs(self) -> LaneFacts:
        """What the device runs by default; waits until that is known."""

    def prepare(self, tunables: Tunables) -> str:
        """READY if there are programs with these, else COMPILING: they are compiled beside those
        that run. Nothing may be on its way. Raises UsageError: why there are none and will be none.
        """

    def use(self, tunables: Tunables) -> None:
        """Run the programs with these, which are READY, on the next arena and those after it."""

    def room(self, size: int, name: str) -> npt.NDArray[np.uint8]:
        """Memory of `size` bytes or more for arenas: the one called `name`, if it is large enough.

        All arenas that the lane is given lie in one of these.
        """

    def fused(self, arena: Arena) -> DeviceRows:
        """Its rows, with matches where the lane searches: `start` and `finish`."""

    def start(self, arena: Arena) -> None:
        """Begin with an arena, whose data must stay as it is until `finish`."""

    def finish(self) -> DeviceRows:
        """The rows of the arena that was begun with; waits for them."""

    def list_hits(self, arena: Arena) -> None:
        """The serial path's first half."""

    def confirm(self) -> DeviceRows:
        """Its second half, for the arena that list_hits was given."""


class CudaBackend:
    """One pack on one GPU. Not thread-safe: one arena in flight at a time."""

    name = "cuda"
    supports_speculation = True
    warm = True
    dispatch_windows = 1 << 16

    def __init__(
        self,
        compiled: CompiledPack,
        cache: ArtifactCache,
        lane: ArenaLane | None = None,
        dispatch_bytes: int = DISPATCH_BYTES,
    ) -> None:
        """`lane`: the way to the device; None: one to this process's current device, with
        DevicePack's errors.

        Raises UsageError for a pack that the kernels can't run.
        """
        self.compiled = compiled
        self.dispatch_bytes = self.most_bytes = dispatch_bytes
        self.matchers = rule_matchers(compiled)
        tables = load_tables(compiled, cache)
        check_supported(tables, MAX_STEPS)
        self._digest = tables_digest(tables)
        self.reading = RowReading.of(tables)
        self.lane: ArenaLane = DevicePack(compiled, cache).lane() if lane is None else lane
        self._dispatches = 0
        self._read = np.empty(0, np.uint8)

    @property
    def programs(self) -> ScanPrograms:
        """See ScanBackend. Waits until the device is ready."""
        return self._programs_with(self.lane.tunables)

    def _programs_with(self, tunables: Tunables) -> ScanPrograms:
        sources = sources_digest()
        return ScanPrograms.of(self.compiled, tunables, tables=self._digest, sources=sources)

    @cached_property
    def facts(self) -> ProgramFacts:
        """See ScanBackend. Waits until the device is ready."""
        runs = self.lane.runs
        limits = {**runs.limits, "dispatch_bytes": self.most_bytes}
        return self._programs_with(runs.tunables).facts(runs.adapter, limits)

    def prepare(self, choice: Choice) -> str:
        """See ScanBackend."""
        if choice.is_default:
            return READY
        setting_of(choice, self.most_bytes)
        return self.lane.prepare(self.lane.runs.tunables.with_choice(choice))

    def choose(self, choice: Choice) -> None:
        """See ScanBackend."""
        self.lane.use(self.lane.runs.tunables.with_choice(choice))

    @contextmanager
    def alone(self) -> Iterator[CudaBackend]:
        """See ScanBackend."""
        yield self

    def run_fused(self, windows: Sequence[Window]) -> DispatchOutcome:
        """See ScanBackend. Raises DeviceMemoryError when a single window is too much."""
        return self.start_fused(windows)()

    def start_fused(self, windows: Sequence[Window]) -> Callable[[], DispatchOutcome]:
        """See ScanBackend. What is returned raises DeviceMemoryError as run_fused does."""
        arena = self._begin(windows)
        self.lane.start(arena)
        return lambda: self._outcome(windows, arena, self.lane.finish(), counted=True)

    def run_prefilter(self, windows: Sequence[Window]) -> DeviceHits:
        """See ScanBackend. What is listed stays on the device. Raises DeviceMemoryError when a
        single window is too much.
        """
        self.lane.list_hits(self._begin(windows))
        return DeviceHits(self._dispatches)

    def confirm(self, windows: Sequence[Window], output: PrefilterOutput) -> DispatchOutcome:
        """See ScanBackend. Raises DeviceMemoryError when a single window is too much, UsageError
        for what was listed before another dispatch.
        """
        if checked_output(DeviceHits, output).dispatch != self._dispatches:
            raise UsageError(
                "the cuda backend confirms what its latest run_prefilter listed; there was another "
                "dispatch since"
            )
        self._dispatches += 1
        return self._outcome(windows, self._arena, self.lane.confirm(), counted=False)

    def read_memory(self, size: int) -> memoryview:
        """See ScanBackend."""
        self._read = self.lane.room(size, "read")
        return self._read.data

    def _begin(self, windows: Sequence[Window]) -> Arena:
        """The windows' arena; what an earlier dispatch has listed is gone."""
        arena = self._arena_of(windows)
        self._dispatches += 1
        return arena

    def _arena_of(self, windows: Sequence[Window]) -> Arena:
        starts, ends = (np.array(bounds, np.int64) for bounds in bounds_of(windows))
        if starts.size and starts.min() >= 0:
            at_start, at_end = np.ones((2, starts.size), np.bool_)
            for w, window in perhaps_pieces(windows):
                at_start[w], at_end[w] = window.base == 0, window.at_end
            first = int(starts[0])
            data, starts, ends = self._read[first : int(ends[-1])], starts - first, ends - first
            owned = owned_by(windows, starts, ends)
            self._arena = Arena(data, starts, ends, at_start, at_end, owned)
            return self._arena
        size = arena_size((ends - starts).tolist())
        arena = arena_of(windows, self.lane.room(size, "copied"))
        self._arena = replace(arena, owned=owned_by(windows, arena.starts, arena.ends))
        return self._arena

    def _outcome(
        self, windows: Sequence[Window], arena: Arena, found: DeviceRows, *, counted: bool
    ) -> DispatchOutcome:
        """What the rows in `found` come to on the host; `counted`: with a report."""
        rules, rows = self.compiled.rules, found.rows
        spans: dict[int, list[Span]] = {}
        groups: dict[int, dict[int, dict[int, Groups]]] = {}
        if found.matches is not None:
            rows, settled, near = settle(
                rows,
                found.matches,
                None if arena.owned is None else arena.pieces,
                HostSearch(
                    self.reading.stretch_backs,
                    lambda document, rule, positions: self._search_near(
                        windows[document], int(arena.starts[document]), rule, positions
                    ),
                ),
            )
            for document, number, start, end in near:
                base = int(arena.starts[document])
                span = Span(start - base, rules[number].index, end - base, 0)
                spans.setdefault(document, []).append(span)
            offsets = settled["start"] - arena.starts[settled["document"]]
            for (w, number, _, length, rejected, group_offsets), start in zip(
                settled.tolist(), offsets.tolist(), strict=True
            ):
                index = rules[number].index
                flags = REJECTED if rejected else 0
                spans.setdefault(w, []).append(Span(start, index, start + length, flags))
                if not rejected:
                    seen = groups.setdefault(w, {}).setdefault(index, {})
                    seen[start] = groups_in(windows[w].data, start, group_offsets)
        for w, number, offsets in self.reading.searches(rows, arena.starts):
            index = rules[number].index
            matches = self.reading.matches(self.matchers[index], windows[w], number, offsets)
            if matches:
                own = spans.setdefault(w, [])
                own += [Span(start, index, end, flags) for start, end, flags in matches]
        for own in spans.values():
            own.sort()
        report = found.report if counted else None
        return DispatchOutcome(
            self.name,
            dict(sorted(spans.items())),
            groups,
            report,
            self._contents(windows, arena, found),
            keywords_of(arena, found.keywords),
        )

    def _contents(
        self, windows: Sequence[Window], arena: Arena, found: DeviceRows
    ) -> dict[int, PieceContent]:
        """By window, what the device has seen in those that are pieces."""
        contents = contents_of(windows, arena, found.contents)
        rows = found.rows
        if found.matches is not None:
            rows = rows[found.matches["status"] == OPEN]
        documents = rows["document"].astype(np.int64)
        offsets = rows["position"].astype(np.int64) - arena.starts[documents]
        numbers = rows["rule"] & np.uint32(~HOST & 0xFFFF_FFFF)
        return {
            w: content._replace(
                open_lows=self._open_lows(
                    len(windows[w].data), numbers[documents == w], offsets[documents == w]
                )
            )
            for w, content in contents.items()
        }

    def _open_lows(
        self, size: int, numbers: npt.NDArray[np.uint32], offsets: npt.NDArray[np.int64]
    ) -> dict[int, int]:
        """PieceContent's, of a window of `size` bytes; `numbers`, `offsets`: of its open rows.

        A match that goes on after the window has a row that was left open, or its anchor lies where
        the window ends, or beyond.
        """
        lows = {}
        for number, rule in enumerate(self.compiled.rules):
            back = int(self.reading.stretch_backs[number])
            if rule.max_width is None and back != UNKNOWN_BACK:
                own = offsets[numbers == number]
                low = min(size - _WINDOW_REACH, int(own.min(initial=size)))
                lows[rule.index] = max(0, low - back)
        return lows

    def _search_near(
        self, window: Window, base: int, rule: int, positions: list[int]
    ) -> list[tuple[int, int]] | None:
        """See HostSearch; `base`: where the window lies in the arena."""
        back = int(self.reading.stretch_backs[rule])
        matcher = self.matchers[self.compiled.rules[rule].index]
        found = matches_near_pivots(matcher, window, [p - base for p in positions], back)
        return found and [(start + base, end + base) for start, end in found]


def owned_by(
    windows: Sequence[Window], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64] | None:
    """Arena.owned: where windows that lie at `starts` own match starts; None: all are whole."""
    pieces = [(w, window) for w, window in perhaps_pieces(windows) if not window.is_whole]
    if not pieces:
        return None
    owned = np.stack([starts, ends], axis=1)
    for w, window in pieces:
        owned[w] = starts[w] + window.lo, starts[w] + window.hi
    return owned


def keywords_of(arena: Arena, keywords: npt.NDArray[np.uint32] | None) -> dict[int, bytes]:
    """DispatchOutcome's; `keywords`: see DeviceRows."""
    if keywords is None or not keywords.size:
        return {}
    watched = np.flatnonzero(arena.watched)
    flags = keywords.astype("<u4").reshape(watched.size, -1)
    return {w: own.tobytes() for w, own in zip(watched.tolist(), flags, strict=True)}


def contents_of(
    windows: Sequence[Window], arena: Arena, contents: npt.NDArray[np.void] | None
) -> dict[int, PieceContent]:
    """By window, what a device has seen in those that are pieces; `contents`: see DeviceRows."""
    found: dict[int, PieceContent] = {}
    if contents is None or arena.owned is None:
        return found
    at = 0
    for w in np.flatnonzero(arena.pieces).tolist():
        window = windows[w]
        own = contents[at : at + -(-len(window.data) // CONTENT_BLOCK)]
        at += own.size
        blocks = -(-(window.hi - window.lo) // CONTENT_BLOCK)
        found[w] = PieceContent(tuple(own["newlines"][:blocks].tolist()), own["digest"].tobytes())
    return found
