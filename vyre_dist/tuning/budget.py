"""Budget: what a scan may spend on finding out what is faster. Seconds are workers' seconds.

Two limits hold at once. What challengers' runs have cost is 1 % of what the scan has taken so far,
at most; so a scan that is over in no time spends nothing. And what is begun must be able to pay for
itself: with the most that a challenger could save of what is left of the scan.
"""

from __future__ import annotations

from dataclasses import dataclass

SHARE = 0.01
"""Of the scan's time, for runs of challengers."""

CAUTION = 4.0
"""How many times slower than the default a challenger is taken to be before it has run."""

HOPE = 0.3
"""What part of the default's time a challenger is taken to save at most before it has run."""


@dataclass(slots=True)
class Budget:
    """What was spent, and what may be. All workers of a scan share one.

    `worked`: seconds of finished tasks, `spent`: of these, by challengers. `granted`: what running
    tasks may still spend.
    """

    share: float = SHARE
    worked: float = 0.0
    spent: float = 0.0
    granted: float = 0.0

    @property
    def room(self) -> float:
        """What may be granted now, in seconds."""
        return max(0.0, self.share * self.worked - self.spent - self.granted)

    def allows(self, cost: float, saved: float, left: float, runs: int) -> bool:
        """Whether a challenger may run now.

        `cost`: seconds that one run of it is likely to take. `saved`: the part of the default's
        time that it may save, of `left` seconds of work that is still to be done. `runs`: of
        challengers, before anything can be decided. What is left has to pay for so many, and has
        to be long enough to allow them.
        """
        needed = cost * runs
        decidable = self.room + self.share * left >= needed
        return 0 < cost <= self.room and decidable and left * saved > needed

    def grant(self, cost: float, saved: float, left: float, runs: int) -> float:
        """The seconds that a challenger may run, 0.0 for none; they are taken as granted."""
        room = self.room if self.allows(cost, saved, left, runs) else 0.0
        self.granted += room
        return room

    def returned(self, granted: float, spent: float, worked: float) -> None:
        """A task is over that had been `granted` so much; it took `worked`, of that `spent` for
        challengers.
        """
        self.granted = max(0.0, self.granted - granted)
        self.spent += spent
        self.worked += worked
