"""DevicePack: a pack's tables and programs on the current device; it makes lanes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vyre_dist.kernels.cuda.content import ContentSearch
from vyre_dist.kernels.cuda.device import Device, open_device
from vyre_dist.kernels.cuda.keywords import MOST_KEYWORDS, KeywordSight
from vyre_dist.kernels.cuda.lane import Lane
from vyre_dist.kernels.cuda.program_instances import ProgramInstances
from vyre_dist.kernels.cuda.programs import CudaPrograms
from vyre_dist.kernels.cuda.spans import SpanSearch
from vyre_dist.program import ArtifactCache, CompiledPack
from vyre_dist.program.pack_tables import load_tables
from vyre_dist.program.span_tables import build_span_tables
from vyre_dist.program.tunables import Tunables
from vyre_dist.rows.reading import RowReading
from vyre_dist.rules.byte_filters import ByteFilter
from vyre_dist.rules.keyword_table import KeywordTable

MAX_STEPS = 1024
"""How far an automaton walks on the GPU before the host takes over: one thread that walks far keeps
a launch waiting.
"""

DEFAULT_TUNABLES = Tunables(
    threads=768, unroll=4, tile_bytes=64 << 10, bitmap_bits=20, blocks_per_sm=1
)
"""Chosen by trying some on an H100; benchmarks/gpu_scan.py measures them."""

SMALL_TUNABLES = replace(DEFAULT_TUNABLES, bitmap_bits=19)
"""For devices whose blocks have a hundred KiB of shared memory at most (L4, L40S, RTX). Not
measured.
"""

_DEFAULT_SHARED = 160 << 10
"""What a block takes of shared memory with DEFAULT_TUNABLES, at most."""


def fitting_tunables(device: Device) -> Tunables:
    """DEFAULT_TUNABLES, where the device has the shared memory."""
    return DEFAULT_TUNABLES if device.shared_bytes >= _DEFAULT_SHARED else SMALL_TUNABLES


class DevicePack:
    """`byte_filters`: by the pack's rule number, the matches that the search for spans need not
    give. None: it gives all.

    `tunables`: None for those that suit the device. `keywords`: to look for in long documents.
    Raises DeviceUnusableError, NvrtcMissingError or UsageError.
    """

    def __init__(
        self,
        compiled: CompiledPack,
        cache: ArtifactCache,
        byte_filters: Sequence[ByteFilter] | None = None,
        tunables: Tunables | None = None,
        keywords: KeywordTable | None = None,
    ) -> None:
        self.compiled = compiled
        self.tables = load_tables(compiled, cache)
        self.reading = RowReading.of(self.tables)
        self.device = open_device(cache)
        tunables = tunables or fitting_tunables(self.device)
        self.programs = CudaPrograms(self.device, self.tables, tunables, MAX_STEPS)
        self.instances = ProgramInstances(self.programs, self.tables, MAX_STEPS)
        spans = build_span_tables(compiled, self.tables, byte_filters)
        self._search = SpanSearch(self.device, tunables, spans) if spans.any else None
        self._content = ContentSearch(self.device, tunables)
        self._keywords = None
        if keywords is not None and 0 < len(keywords.words) <= MOST_KEYWORDS:
            self._keywords = KeywordSight(self.device, tunables, keywords)

    @property
    def scratch_bytes(self) -> int:
        """The device memory that the searches of one lane take beside its arena and its rows."""
        return self._search.scratch_bytes if self._search else 0

    def lane(self, reserve_bytes: int = 0) -> Lane:
        """A lane, with room for arenas of so many bytes made at once."""
        return Lane(
            self.programs,
            reserve_bytes,
            self._search,
            self._content,
            self._keywords,
            self.instances,
        )
