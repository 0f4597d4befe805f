"""Runs one batch of windows as a Setting says: by which lane, in dispatches of which size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from vyre_dist.dispatch.backend import DispatchConfig, SpeculationMode
from vyre_dist.dispatch.report import SpeculationReport
from vyre_dist.dispatch.speculator import AdaptiveSpeculator, ProbingSpeculator, Speculator
from vyre_dist.extract.file_windows import FileWindows
from vyre_dist.kernels import ScanBackend
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome, StartedDispatch, joined
from vyre_dist.kernels.scan_backend import start_scan
from vyre_dist.kernels.tuned import FUSED, SERIAL, Setting

_OUT_OF_REACH_PCT = 1000


class Limits(NamedTuple):
    """What a dispatch has at most, but for its last window."""

    bytes: int
    windows: int

    def parts(self, windows: FileWindows) -> Iterator[tuple[int, FileWindows]]:
        """(number of the first, windows) of the dispatches that these are cut into."""
        first = size = 0
        for w, (start, end) in enumerate(zip(windows.starts, windows.ends, strict=True)):
            size += end - start
            if size >= self.bytes or w + 1 - first >= self.windows or w + 1 == len(windows):
                whole = first == 0 and w + 1 == len(windows)
                yield first, windows if whole else windows.part(first, w + 1)
                first, size = w + 1, 0


def limits_of(backend: ScanBackend, setting: Setting) -> Limits:
    """A dispatch's with `setting`: as many windows more as it has bytes more."""
    size, windows = backend.dispatch_bytes, backend.dispatch_windows
    if setting.dispatch_bytes is None:
        return Limits(size, windows)
    return Limits(setting.dispatch_bytes, max(1, windows * setting.dispatch_bytes // size))


def never_speculating(every: int) -> ProbingSpeculator:
    """Fused as a probe only, one dispatch in `every`, at whatever commit rate."""
    own = AdaptiveSpeculator(_OUT_OF_REACH_PCT)
    while own.should_speculate:
        own.record(SpeculationReport.from_counts(0, 1))
    return ProbingSpeculator(own, every)


def lane_config(setting: Setting) -> DispatchConfig | None:
    """The lane as a setting says it; None for a path that a speculator chooses."""
    if setting.lane == FUSED:
        return DispatchConfig(SpeculationMode.FORCE)
    return DispatchConfig(SpeculationMode.DISABLE) if setting.lane == SERIAL else None


def run_all(
    backend: ScanBackend,
    speculator: Speculator,
    windows: FileWindows,
    config: DispatchConfig,
    limits: Limits,
) -> DispatchOutcome:
    """The matches in `windows`, in as many dispatches as `limits` say, each waited for."""
    return joined(
        [
            (first, _waited(start_scan(backend, speculator, part, config)))
            for first, part in limits.parts(windows)
        ]
    )


def _waited(started: StartedDispatch) -> DispatchOutcome:
    return started if isinstance(started, DispatchOutcome) else started()
