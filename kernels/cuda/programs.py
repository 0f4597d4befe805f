"""The programs on the device: `fused` is scan and walk, launched right behind each other; the
conservative path is prefilter and compact, a look at how much they found, probe and walk. Where a
pack has rules without windows, everywhere goes between: it adds to the lists of pivots that scan or
probe began.

Outputs have room for so many hits, pivots and rows; whoever wants more is counted and not written,
and the run is repeated with room for all of them. Nothing is lost, whatever the density.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler import PackTables
from vyre_dist.kernels.cuda import prefilter, scan
from vyre_dist.kernels.cuda.arenas import STRETCH_BYTES, DeviceArena
from vyre_dist.kernels.cuda.compact import Compact
from vyre_dist.kernels.cuda.device import Device
from vyre_dist.kernels.cuda.device_tables import DeviceTables
from vyre_dist.kernels.cuda.everywhere import Everywhere
from vyre_dist.kernels.cuda.instances import Instance
from vyre_dist.kernels.cuda.pending import DeviceRows, PendingRun
from vyre_dist.kernels.cuda.probe import Probe
from vyre_dist.kernels.cuda.structs import PIVOT_BYTES
from vyre_dist.kernels.cuda.walk import Walk
from vyre_dist.kernels.cuda.workspace import Workspace
from vyre_dist.program.tunables import Tunables

_BYTES_PER_HIT = 64
_BYTES_PER_PIVOT = 512
# Rules without windows may list every tenth position; a stretch's pivots should not fill the
# device.
_ALWAYS_STRETCH_BYTES = 64 << 20


class CudaPrograms:
    """One pack's programs, instantiated from `tunables`, on one device."""

    def __init__(
        self,
        device: Device,
        tables: PackTables,
        tunables: Tunables,
        max_steps: int,
        stretch_bytes: int = STRETCH_BYTES,
        there: DeviceTables | None = None,
    ) -> None:
        """`there`: the tables, where they are on the device already."""
        self.device = device
        self.tunables = tunables
        self.tables = DeviceTables(tables, max_steps) if there is None else there
        always = tables.always_entries.size > 0
        self._stretch_bytes = min(stretch_bytes, _ALWAYS_STRETCH_BYTES) if always else stretch_bytes
        struct = self.tables.arguments(tunables.bitmap_bits)
        self._scan = scan.Scan(device, tunables, struct)
        self._prefilter = prefilter.Prefilter(device, tunables, struct)
        self._compact = Compact(device, tunables, tables.runs.size > 0)
        self._probe = Probe(device, tunables, struct)
        self._everywhere = Everywhere(device, tunables, struct) if always else None
        self._walk = Walk(device, tunables, struct)

    @staticmethod
    def tuned_instances(tunables: Tunables) -> tuple[Instance, ...]:
        """The kernels that are another one's for other tunables."""
        return scan.instance(tunables), prefilter.instance(tunables)

    def run_fused(self, arena: DeviceArena, space: Workspace, stream: Any) -> DeviceRows:
        """Launch scan and walk, again until there is room for all, and fetch the rows."""
        while True:
            pending = self.launch_fused(arena, space, stream)
            if (rows := pending.collect()) is not None:
                return rows

    def launch_fused(self, arena: DeviceArena, space: Workspace, stream: Any) -> PendingRun:
        """Queue all launches; nothing is waited for."""
        stretches = arena.stretches(self._stretch_bytes)
        run = self._begin(arena, len(stretches), self._scan.lists, space, stream)
        for stretch in stretches:
            pivots = run.next_lists(stretch)
            self._scan.launch(stream, stretch, pivots, run.output)
            self._finish(run, stretch, pivots, stream)
        return PendingRun(space, run.lengths, stream)

    def run_serial(self, arena: DeviceArena, space: Workspace, stream: Any) -> DeviceRows:
        """List hits, then confirm them: prefilter and compact, a read-back, probe and walk."""
        return self.confirm_hits(arena, space, stream, self.list_hits(arena, 0, space, stream))

    def list_hits(
        self, arena: DeviceArena, number: int, space: Workspace, stream: Any
    ) -> npt.NDArray[np.void] | None:
        """The hits of stretch `number`, on the device; None without such a stretch. Waits."""
        stretches = arena.stretches(self._stretch_bytes)
        if number >= len(stretches):
            return None
        found = space.reserve("found", np.uint32, 1)[:1]
        return self.launch_prefilter(stretches[number], space, found, stream)

    def confirm_hits(
        self, arena: DeviceArena, space: Workspace, stream: Any, hits: npt.NDArray[np.void] | None
    ) -> DeviceRows:
        """Probe and walk: the first stretch's `hits`, then each other stretch's, listed in turn."""
        while True:
            stretches = arena.stretches(self._stretch_bytes)
            run = self._begin(arena, len(stretches), self._probe.lists, space, stream)
            for i, stretch in enumerate(stretches):
                found = space.reserve("found", np.uint32, 1)[:1]
                own = (
                    hits
                    if i == 0 and hits is not None
                    else self.launch_prefilter(stretch, space, found, stream)
                )
                self._probe_hits(run, stretch, own, stream)
            if (rows := PendingRun(space, run.lengths, stream).collect()) is not None:
                return rows
            hits = None  # another stretch's have taken their place

    def launch_prefilter(
        self, stretch: npt.NDArray[np.void], space: Workspace, found: Any, stream: Any
    ) -> npt.NDArray[np.void]:
        """The hits of one stretch, with room for all of them. Waits for their count in `found`."""
        self.launch_masks(stretch, space, stream)
        space.hit_capacity = max(space.hit_capacity, int(stretch["bytes"]) // _BYTES_PER_HIT)
        while True:
            lists = space.lists("hits", 4, 1, space.hit_capacity, found)
            self._compact.launch(stream, stretch, space, lists, found)
            if (count := int(found.get(stream=stream)[0])) <= space.hit_capacity:
                return lists
            space.hit_capacity = count + count // 4

    def launch_masks(self, stretch: npt.NDArray[np.void], space: Workspace, stream: Any) -> None:
        """Queue the bitmap's answers for one stretch, as bits."""
        self._prefilter.launch(stream, stretch, space)

    def _begin(
        self, arena: DeviceArena, stretches: int, count: int, space: Workspace, stream: Any
    ) -> _Run:
        output = space.output(arena.size, self.tunables.tile_bytes, stream)
        return _Run(self._walk, output, count, stretches, space)

    def _probe_hits(
        self, run: _Run, stretch: npt.NDArray[np.void], hits: npt.NDArray[np.void], stream: Any
    ) -> None:
        """Queue what is left to do of the run's next stretch once its hits are listed."""
        pivots = run.next_lists(stretch)
        self._probe.launch(stream, stretch, hits, pivots, run.output)
        self._finish(run, stretch, pivots, stream)

    def _finish(
        self, run: _Run, stretch: npt.NDArray[np.void], pivots: npt.NDArray[np.void], stream: Any
    ) -> None:
        """Queue what follows scan and probe: rules without windows, and the automata."""
        if self._everywhere is not None:
            self._everywhere.launch(stream, stretch, pivots, run.output, run.count)
        self._walk.launch(stream, stretch, pivots, run.output, run.count)


class _Run:
    """One run's output, and its lists of pivots: `count` of them for each stretch in turn."""

    def __init__(
        self, walk: Walk, output: npt.NDArray[np.void], count: int, stretches: int, space: Workspace
    ) -> None:
        self._walk, self._space = walk, space
        self.count, self.output = count, output
        self.lengths = space.reserve("lengths", np.uint32, stretches * count)[: stretches * count]
        self._next = 0

    def next_lists(self, stretch: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
        """The next stretch's lists."""
        space, count = self._space, self.count
        space.pivot_capacity = max(
            space.pivot_capacity, int(stretch["bytes"]) // _BYTES_PER_PIVOT // count
        )
        lengths = self.lengths[self._next :]
        self._next += count
        return space.lists(
            "pivots", PIVOT_BYTES, count, space.pivot_capacity, lengths, self._walk.parts(count)
        )
