"""FasterOfTwo: whether a worker's next dispatch goes to its GPU or to its processor, by what both
have taken for a byte so far.

Which one is faster is not known before: a GPU that many workers share, or small files, may leave
the processor ahead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

BASELINE = 12
"""Dispatches of a worker that its processor does before anything is compared: a short scan needs no
GPU.
"""

_BASELINE_SECONDS = 0.2
"""Or dispatches of so long, after the first: of large pieces a dozen take as long as a GPU takes
for a hundred times as much.
"""

_ENOUGH_SECONDS = 0.5
"""What is older counts half."""
_MEASURED = 3
"""Dispatches on a GPU after its first one, which has memory to register, until it is known. The
best of them counts: all workers come at the same time, and wait for each other's memory.
"""
_PROBES_SHARE = 1 / 32
"""Of the time, for looking whether the slower one is still that."""


class _Pace:
    """What dispatches took of late. `latest`: seconds of the last one."""

    def __init__(self) -> None:
        self.size = self.dispatches = 0
        self.seconds = self.latest = 0.0

    def add(self, size: int, seconds: float) -> None:
        if self.seconds > _ENOUGH_SECONDS:
            self.size, self.seconds = self.size // 2, self.seconds / 2
        self.size, self.seconds = self.size + size, self.seconds + seconds
        self.latest = seconds
        self.dispatches += 1

    def keep_best(self, size: int, seconds: float) -> None:
        """Be what this dispatch took if it is the first one, or better than those before."""
        if not self.size or seconds * self.size < self.seconds * size:
            self.size, self.seconds = size, seconds
        self.latest = seconds
        self.dispatches += 1

    @property
    def per_byte(self) -> float:
        return self.seconds / max(1, self.size)


class FasterOfTwo:
    """`gpu_next`: whether the GPU has the next dispatch, if it is ready; `trying`: it is not known
    to be the faster one, so that little should be risked.

    What counts is the processor time from one dispatch's end to the next one's, for a dispatch
    saves or makes work around it, and what a dispatch waits. `clock`, `processor_clock`: for tests.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        processor_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._clock, self._processor_clock = clock, processor_clock
        self._before = processor_clock()
        self._waited = 0.0
        self._cpu, self._gpu = _Pace(), _Pace()
        self._since_probe = 0.0
        self.gpu_next = self.trying = False

    @contextmanager
    def dispatch(self, on_gpu: bool, size: int) -> Iterator[None]:
        """A dispatch of so many bytes, which ends with this."""
        with self.part():
            yield
        now = self._processor_clock()
        self._took(on_gpu, size, now - self._before + self._waited)
        self._before, self._waited = now, 0.0

    def skip(self) -> None:
        """What was done since the last dispatch's end counts for neither."""
        self._before, self._waited = self._processor_clock(), 0.0

    @contextmanager
    def part(self) -> Iterator[None]:
        """A part of the dispatch that comes before its end."""
        began, busy = self._clock(), self._processor_clock()
        yield
        waited = self._clock() - began - (self._processor_clock() - busy)
        self._waited += max(0.0, waited)

    @property
    def _known_by_seconds(self) -> bool:
        return self._cpu.seconds >= _BASELINE_SECONDS

    def _took(self, on_gpu: bool, size: int, seconds: float) -> None:
        pace, other = (self._gpu, self._cpu) if on_gpu else (self._cpu, self._gpu)
        if not pace.dispatches:
            # the first one has memory to register, or modules to import and patterns to compile
            pace.dispatches = 1
        elif on_gpu and pace.dispatches <= _MEASURED:
            pace.keep_best(size, seconds)
        else:
            pace.add(size, seconds)
        if self._cpu.dispatches < BASELINE and not self._known_by_seconds:
            self.gpu_next = False
        elif self._gpu.dispatches <= _MEASURED:
            self.gpu_next = self.trying = True
        else:
            faster_is_gpu = self._gpu.per_byte <= self._cpu.per_byte
            probed = on_gpu is not faster_is_gpu
            self._since_probe = 0.0 if probed else self._since_probe + seconds
            due = self._since_probe * _PROBES_SHARE >= other.latest and not probed
            self.gpu_next = faster_is_gpu is not due
            self.trying = self.gpu_next and not faster_is_gpu
