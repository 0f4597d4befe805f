"""Whether the next dispatch should speculate: the adaptive core, and probing beside it.

AdaptiveSpeculator is the contract's arithmetic and nothing else. A disabled one sees no samples and
so would stay disabled for ever; ProbingSpeculator wraps it and runs one dispatch in N fused all the
same.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol, SupportsIndex

from vyre_dist.dispatch.report import (
    U32_MAX,
    MergedReport,
    SpeculationReport,
    saturating_u32,
    threshold_ppm,
)
from vyre_dist.errors import UsageError, as_int

DEFAULT_THRESHOLD_PCT = 15
DEFAULT_PROBE_EVERY = 64

# The moving average keeps 3/4 of its past at each sample.
_EMA_SHIFT = 2


class Speculator(Protocol):
    """What dispatch_prefilter_confirm needs to know of a speculator."""

    def choose(self) -> bool:
        """Whether to run the fused program now. Called once per dispatch in AUTO mode."""

    def record(self, report: SpeculationReport) -> None:
        """Learn what a fused dispatch counted."""


@dataclass(frozen=True, slots=True)
class SpeculatorState:
    """One consistent view of a speculator, for reports."""

    threshold_ppm: int
    ema_ppm: int
    enabled: bool
    samples: int


class AdaptiveSpeculator:
    """Watches commit rates and switches speculation off below a threshold and on above it.

    The average is kept in ppm, as integers: ema += (observation − ema) >> 2. Speculation goes off
    below threshold − threshold/4, on again from threshold + threshold/4; between the two nothing
    changes. Safe to call from several threads.
    """

    def __init__(self, threshold_pct: SupportsIndex = DEFAULT_THRESHOLD_PCT) -> None:
        self._threshold_ppm = threshold_ppm(threshold_pct)
        self._ema_ppm = self._threshold_ppm
        self._enabled = True
        self._samples = 0
        self._lock = threading.Lock()

    @classmethod
    def calibrated(cls, threshold_pct: SupportsIndex | None) -> AdaptiveSpeculator:
        """Starts at a stored, measured threshold, or at the default where none was measured."""
        return cls(DEFAULT_THRESHOLD_PCT if threshold_pct is None else threshold_pct)

    @property
    def threshold_ppm(self) -> int:
        return self._threshold_ppm

    def set_threshold(self, threshold_pct: SupportsIndex) -> None:
        """Go on with another threshold. Before the first sample the average begins there, too."""
        with self._lock:
            self._threshold_ppm = threshold_ppm(threshold_pct)
            if not self._samples:
                self._ema_ppm = self._threshold_ppm

    @property
    def ema_ppm(self) -> int:
        """The smoothed commit rate, parts per million."""
        return self._ema_ppm

    @property
    def enabled(self) -> bool:
        return self._enabled

    @property
    def samples(self) -> int:
        """How many reports went into the average."""
        return self._samples

    @property
    def should_speculate(self) -> bool:
        return self._enabled

    def choose(self) -> bool:
        return self.should_speculate

    def record(self, report: SpeculationReport | MergedReport) -> None:
        """Fold one report into the average; one that attempted nothing is ignored."""
        if report.attempted_tiles == 0:
            return
        observation = report.commit_rate_ppm
        with self._lock:
            # Python's >> on a negative int rounds toward minus infinity, as the contract asks.
            self._ema_ppm = saturating_u32(
                self._ema_ppm + ((observation - self._ema_ppm) >> _EMA_SHIFT)
            )
            self._samples += 1
            margin = self._threshold_ppm // 4
            if not self._enabled and self._ema_ppm >= min(self._threshold_ppm + margin, U32_MAX):
                self._enabled = True
            elif self._enabled and self._ema_ppm < self._threshold_ppm - margin:
                self._enabled = False

    def state(self) -> SpeculatorState:
        """Threshold, average, switch and sample count of one moment."""
        with self._lock:
            return SpeculatorState(self._threshold_ppm, self._ema_ppm, self._enabled, self._samples)


class ProbingSpeculator:
    """An AdaptiveSpeculator that is asked for evidence even while it is disabled.

    While the wrapped speculator says no, `every` − 1 dispatches run serially and the next one runs
    fused; its report reaches the wrapped speculator like any other. `every` = 1 probes always. Safe
    to call from several threads: of `every` concurrent decisions exactly one is a probe.
    """

    def __init__(
        self, speculator: AdaptiveSpeculator, every: SupportsIndex = DEFAULT_PROBE_EVERY
    ) -> None:
        self.speculator = speculator
        self.every = as_int("every", every)
        if self.every < 1:
            raise UsageError(
                f"every must be 1 or more (1 dispatch in `every` probes), found {self.every}"
            )
        self._serial_in_a_row = 0
        self._probes = 0
        self._lock = threading.Lock()

    @property
    def should_speculate(self) -> bool:
        """What `choose` would answer now; reading it decides nothing."""
        return self.speculator.should_speculate or self._serial_in_a_row + 1 >= self.every

    @property
    def probes(self) -> int:
        """How many fused dispatches were chosen against the wrapped speculator's advice."""
        return self._probes

    def choose(self) -> bool:
        with self._lock:
            if self.speculator.should_speculate:
                self._serial_in_a_row = 0
                return True
            if self._serial_in_a_row + 1 >= self.every:
                self._serial_in_a_row = 0
                self._probes += 1
                return True
            self._serial_in_a_row += 1
            return False

    def record(self, report: SpeculationReport | MergedReport) -> None:
        self.speculator.record(report)
