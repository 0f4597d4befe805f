"""RunRate: bytes a second of a run, from when tasks began and ended, in any order of these."""

from __future__ import annotations

SECONDS = 600.0
"""The rate is that of the latest ten minutes."""
_STEP_NS = 10_000_000_000
_PAUSE_STEPS = 12
"""Nothing for two minutes: an earlier driver's time begins there."""


class RunRate:
    """Holds one sum for ten seconds, however many tasks there are."""

    def __init__(self) -> None:
        self._steps: dict[int, tuple[int, int]] = {}

    def add(self, began_ns: int, ended_ns: int, size: int) -> None:
        """Count a task of `size` bytes; one that has no times is left out."""
        if not began_ns or ended_ns < began_ns:
            return
        step = ended_ns // _STEP_NS
        known, began = self._steps.get(step, (0, began_ns))
        self._steps[step] = known + size, min(began, began_ns)

    def of(self, now: float | None) -> float | None:
        """Bytes a second up to `now`, None: up to the last task's end; None if nothing is known."""
        if not self._steps:
            return None
        last = max(self._steps)
        end_ns = (last + 1) * _STEP_NS if now is None else int(now * 1e9)
        first_ns = end_ns - int(SECONDS * 1e9)
        size, began_ns, previous = 0, end_ns, last
        for step in sorted(self._steps, reverse=True):
            if (step + 1) * _STEP_NS <= first_ns or previous - step > _PAUSE_STEPS:
                break
            own, began = self._steps[step]
            size, began_ns, previous = size + own, min(began_ns, began), step
        seconds = (end_ns - max(began_ns, first_ns)) / 1e9
        return size / seconds if size and seconds > 0 else None
