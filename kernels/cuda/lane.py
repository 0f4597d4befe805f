"""Lane: what one arena in flight takes of a GPU: its copy, its output and a stream."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.arena import Arena
from vyre_dist.errors import UsageError
from vyre_dist.kernels.cuda.arenas import DeviceArena
from vyre_dist.kernels.cuda.content import ContentSearch
from vyre_dist.kernels.cuda.errors import DeviceMemoryError
from vyre_dist.kernels.cuda.host_memory import landing_buffer
from vyre_dist.kernels.cuda.keywords import KeywordSight
from vyre_dist.kernels.cuda.lane_facts import LaneFacts
from vyre_dist.kernels.cuda.pending import DeviceRows, PendingRun
from vyre_dist.kernels.cuda.program_instances import ProgramInstances
from vyre_dist.kernels.cuda.programs import CudaPrograms
from vyre_dist.kernels.cuda.spans import SpanSearch
from vyre_dist.kernels.cuda.workspace import Workspace
from vyre_dist.kernels.tuned import READY
from vyre_dist.program.tunables import Tunables
from vyre_dist.rows.layout import CONTENT_DTYPE, MATCH_DTYPE

_Item = TypeVar("_Item", bound=np.generic)
_LOG = logging.getLogger(__name__)


class Lane:
    """Not thread-safe; one arena at a time."""

    def __init__(
        self,
        programs: CudaPrograms,
        reserve_bytes: int,
        span_search: SpanSearch | None = None,
        content: ContentSearch | None = None,
        keywords: KeywordSight | None = None,
        instances: ProgramInstances | None = None,
    ) -> None:
        """`reserve_bytes`: room for arenas of this size is made at once. `span_search`: to search
        for the rows' matches, too. `content`: to look at pieces of documents, too.
        `keywords`: to look for keywords, too. `instances`: what there is beside `programs`.
        """
        import cupy

        self._programs, self._span_search, self._content = programs, span_search, content
        self._keywords = keywords
        self._default = self._wanted = programs
        self._instances = instances
        self._arena = DeviceArena()
        if reserve_bytes:
            self._arena.reserve(reserve_bytes)
        self._spaces = {programs: Workspace()}
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._pending: PendingRun | None = None
        self._begun: Arena | None = None
        self._hits: npt.NDArray[np.void] | None = None
        self._rooms: dict[str, npt.NDArray[np.uint8]] = {}

    @property
    def tunables(self) -> Tunables:
        """See ArenaLane."""
        return self._wanted.tunables

    @property
    def runs(self) -> LaneFacts:
        """See ArenaLane."""
        device = self._default.device
        return LaneFacts(self._default.tunables, device.adapter_id, device.limits)

    def prepare(self, tunables: Tunables) -> str:
        """See ArenaLane."""
        if tunables == self._default.tunables:
            return READY
        if self._instances is None:
            raise UsageError("this lane has programs with its own tunables only")
        return self._instances.prepare(tunables)

    def use(self, tunables: Tunables) -> None:
        """See ArenaLane. Raises KeyError for what is not READY."""
        if tunables == self._default.tunables or self._instances is None:
            self._wanted = self._default
        else:
            self._wanted = self._instances.get(tunables)

    @property
    def _space(self) -> Workspace:
        """The buffers of the programs that run: lists are as many as these have blocks."""
        return self._spaces[self._programs]

    def _take_up(self) -> None:
        """Run what is wanted from here on. Of the programs before, the latest keep their buffers:
        two that are compared take turns.
        """
        self._programs = self._wanted
        own = self._spaces.pop(self._programs, None) or Workspace()
        self._spaces = dict([*list(self._spaces.items())[-1:], (self._programs, own)])

    def room(self, size: int, name: str) -> npt.NDArray[np.uint8]:
        """See ArenaLane. Pinned: copies from other memory go at a fraction of the bus's rate."""
        room = self._rooms.get(name)
        if room is None or room.size < size:
            # a power of two: what it had before stays in CuPy's pool
            room = self._rooms[name] = landing_buffer(1 << max(0, size - 1).bit_length())
        return room

    def fused(self, arena: Arena) -> DeviceRows:
        """`start` and `finish`."""
        self.start(arena)
        return self.finish()

    def list_hits(self, arena: Arena) -> None:
        """Copy `arena` and list its hits on the device, for `confirm`; waits."""
        import cupy

        self._take_up()
        self._begun, self._hits = arena, None
        try:
            self._arena.upload(arena, self._stream)
            self._hits = self._programs.list_hits(self._arena, 0, self._space, self._stream)
        except cupy.cuda.memory.OutOfMemoryError:
            self._begun = None
            self._forget()
            self._begun = arena

    def confirm(self) -> DeviceRows:
        """The rows of what `list_hits` was given. If memory runs out: as in `finish`."""
        import cupy

        arena, self._begun = self._taken(), None
        hits, self._hits = self._hits, None
        try:
            if hits is None:
                return self._run(arena)
            rows = self._programs.confirm_hits(self._arena, self._space, self._stream, hits)
            return self._searched(rows)
        except cupy.cuda.memory.OutOfMemoryError:
            return self._run_halves(arena)

    def start(self, arena: Arena) -> None:
        """Queue the copy of `arena` and the fused programs on it. Its data must stay as it is until
        `finish`.

        Nothing is waited for if the data is registered with CUDA (host_memory.py).
        """
        import cupy

        self._take_up()
        self._begun = arena
        try:
            self._arena.upload(arena, self._stream)
            self._pending = self._programs.launch_fused(self._arena, self._space, self._stream)
            self._search()
        except cupy.cuda.memory.OutOfMemoryError:
            self._pending = None  # finish takes smaller pieces

    def finish(self) -> DeviceRows:
        """Wait for what was started. Where there was too little room the programs run again, with
        enough.

        Where the device has too little memory for that, the arena goes in halves, and these in
        halves, and so on. Raises DeviceMemoryError when a single document is too much.
        """
        import cupy

        arena, self._begun = self._taken(), None
        pending, self._pending = self._pending, None
        try:
            if pending is None:
                return self._run(arena)
            rows = pending.collect()
            if rows is not None:
                return self._with_matches(rows)
            return self._searched(self._programs.run_fused(self._arena, self._space, self._stream))
        except cupy.cuda.memory.OutOfMemoryError:
            return self._run_halves(arena)

    def _run(self, arena: Arena) -> DeviceRows:
        """Everything on `arena`, waited for."""
        self._arena.upload(arena, self._stream)
        return self._searched(self._programs.run_fused(self._arena, self._space, self._stream))

    def _taken(self) -> Arena:
        if self._begun is None:
            raise RuntimeError(
                "a lane was asked for what it was not given: call start or list_hits first"
            )
        return self._begun

    def _searched(self, rows: DeviceRows) -> DeviceRows:
        """The rows just found, with their matches; all open if the search has no room."""
        import cupy

        try:
            self._search()
        except cupy.cuda.memory.OutOfMemoryError:
            _LOG.warning(
                "the search for spans does not fit into the %d MiB of device memory that are free: "
                "the host searches",
                self._programs.device.free_bytes() >> 20,
            )
            return replace(rows, matches=np.zeros(rows.rows.size, MATCH_DTYPE))  # all open
        return self._with_matches(rows)

    def _run_halves(self, arena: Arena) -> DeviceRows:
        import cupy

        parts: list[DeviceRows] = []
        waiting = [(0, arena.documents)]
        self._forget()
        while waiting:
            low, high = waiting.pop()
            own = arena.part(low, high)
            try:
                found = self._run(own)
            except cupy.cuda.memory.OutOfMemoryError as error:
                self._forget()
                if high - low < 2:
                    raise DeviceMemoryError(
                        own.data.size, self._programs.device.free_bytes()
                    ) from error
                middle = (low + high) // 2
                waiting += [(middle, high), (low, middle)]
                continue
            found.rows["document"] += low
            found.rows["position"] += np.uint64(arena.starts[low])
            parts.append(found)
        return DeviceRows(
            np.concatenate([part.rows for part in parts]),
            sum(part.attempted_tiles for part in parts),
            sum(part.committed_tiles for part in parts),
            None if self._span_search is None else np.concatenate([part.matches for part in parts]),
            contents=_joined([part.contents for part in parts]),
            keywords=_joined([part.keywords for part in parts]),
        )

    def release(self) -> None:
        """Give this lane's device memory to others. What was started begins anew in `finish`."""
        import cupy

        self._stream.synchronize()
        self._pending, self._hits = None, None
        self._arena, self._spaces = DeviceArena(), {self._programs: Workspace()}
        cupy.get_default_memory_pool().free_all_blocks()

    def _forget(self) -> None:
        """The same for this lane itself: what comes is smaller."""
        import cupy

        self.release()
        if self._span_search is not None:
            # first what does not shrink with the arena; where even that does not fit the host
            # searches
            with contextlib.suppress(cupy.cuda.memory.OutOfMemoryError):
                self._span_search.reserve(self._space)

    def _search(self) -> None:
        if self._span_search is not None:
            self._span_search.launch(self._arena, self._space, self._stream)
        if self._content is not None and self._arena.pieces:
            self._content.launch(self._arena, self._space, self._stream)
        if self._keywords is not None and self._arena.watched:
            self._keywords.launch(self._arena, self._space, self._stream)

    def _with_matches(self, rows: DeviceRows) -> DeviceRows:
        """The rows with what `_search` finds."""
        matches = contents = keywords = None
        if self._span_search is not None:
            matches = self._span_search.collect(self._space, rows.rows.size, self._stream)
        if self._content is not None:
            contents = np.empty(0, CONTENT_DTYPE)
            if self._arena.pieces:
                contents = self._content.collect(self._arena, self._space, self._stream)
        if self._keywords is not None:
            keywords = np.empty(0, np.uint32)
            if self._arena.watched:
                keywords = self._keywords.collect(self._arena, self._space, self._stream)
        return replace(rows, matches=matches, contents=contents, keywords=keywords)

    def wait(self) -> None:
        """Return when nothing is queued any more."""
        self._stream.synchronize()


def _joined(parts: Sequence[npt.NDArray[_Item] | None]) -> npt.NDArray[_Item] | None:
    """All of them behind each other; None where one is missing."""
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None
