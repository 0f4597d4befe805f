"""GpuPayoff: when a scan that began on the processors has a GPU's process started.

To start one takes a processor for a second, which workers would have used, and a scan that is over
before has nothing of it. How long a scan will be is not known: what is known of it counts, and else
it is taken to have as much before it as it has behind it.
"""

from __future__ import annotations

START_SECONDS = 1.3
"""What a GPU's process takes to be ready, and of that START_PROCESSOR_SECONDS of a processor (H200,
warm cache).
"""
START_PROCESSOR_SECONDS = 1.0

_AT_LEAST = 0.1
"""Seconds of scanning before that, however many processors there are: most scans are over by then.
"""
_TIMES = 4
"""How many times its cost the scan before it must be."""
_TIMES_KNOWN = 60
"""The same where most of what was scanned are large documents, and what is left of them does not
pay for it: the rest of such a scan is mostly known.
"""
_TIMES_START = 2
"""How many times what it takes to start must be left of what is known."""
_PLAUSIBLE = 100e6
"""Bytes a second that each processor does at least, once its worker is warm: a scan's first tenths
of a second say less.
"""


class GpuPayoff:
    """`processors`: how many the workers have between them."""

    def __init__(self, processors: int) -> None:
        # where all are busy the others do without what one takes
        self._cost = START_PROCESSOR_SECONDS / processors
        self._plausible = _PLAUSIBLE * processors
        self._began: float | None = None
        self._bytes = self._known = 0

    def began(self, now: float) -> None:
        """The first task was handed out."""
        if self._began is None:
            self._began = now

    def did(self, scanned: int, found: int) -> None:
        """A task is done: so many bytes were scanned, and documents of `found` bytes turned up."""
        self._bytes += scanned
        self._known += found

    def pays(self, now: float) -> bool:
        """Whether to start a GPU's process."""
        if self._began is None:
            return False
        behind = now - self._began
        if behind >= self._after:
            return True
        ahead = self._known - self._bytes
        # at the rate seen so far
        rate = max(self._plausible, self._bytes / behind if behind > 0 else 0.0)
        return ahead >= _TIMES_START * START_SECONDS * rate

    @property
    def _after(self) -> float:
        times = _TIMES_KNOWN if self._known and 2 * self._known >= self._bytes else _TIMES
        return max(_AT_LEAST, times * self._cost)

    def due(self, now: float) -> float:
        """Seconds until it pays at the latest."""
        return self._after if self._began is None else max(0.0, self._began + self._after - now)
