"""Race: many challengers against the default, by successive halving.

All get the same few pairs, the slower half leaves, the others get twice as many, until one is left
and its pairs tell. The default stays unless a challenger wins its comparison; the error is shared
out among them, so that many challengers do not make a wrong winner likelier than one does.
"""

from __future__ import annotations

from collections.abc import Sequence

from vyre_dist.autotune.choice import DEFAULT_CHOICE, Choice
from vyre_dist.autotune.gain import LEAST_PAIRS, Gain
from vyre_dist.tuning.comparison import DEFAULT_ERROR, MOST_PAIRS, Comparison, Verdict

FIRST_PAIRS = 6
"""Of each challenger, before any of them leaves; what is twice as slow loses with these alone."""


class Race:
    """One race. `next` says whom to run against the default, `add` takes what came of it.

    `refused`: why challengers were that could not be run or found something else, by challenger.
    """

    def __init__(
        self,
        challengers: Sequence[Choice],
        error: float = DEFAULT_ERROR,
        most: int = MOST_PAIRS,
        first: int = FIRST_PAIRS,
    ) -> None:
        """`challengers`: without the default, each once; likely winners first. `first`: pairs of
        each, before any of them leaves; with few, one that would win may leave by bad luck.
        """
        share = error / max(1, len(challengers))
        self.compared = {choice: Comparison(share, most) for choice in challengers}
        self.refused: dict[Choice, str] = {}
        self._left = list(self.compared)
        self._round = first
        self._halve()

    @property
    def decided(self) -> bool:
        """Whether no more pairs are wanted."""
        return not self._left

    @property
    def pairs(self) -> int:
        """Of all challengers together."""
        return sum(each.pairs for each in self.compared.values())

    @property
    def left(self) -> Sequence[Choice]:
        """The challengers that go on."""
        return self._left

    def next(self) -> tuple[Choice, int] | None:
        """Who is to run, and how many pairs of it are wanted; None: it is decided."""
        if not self._left:
            return None
        choice = min(self._left, key=lambda each: self.compared[each].pairs)
        return choice, max(1, self._round - self.compared[choice].pairs)

    def add(self, choice: Choice, log_ratio: float) -> None:
        """A pair of a challenger; one that has left is still told how it fares."""
        if choice not in self.compared or choice in self.refused:
            return
        self.compared[choice].add(log_ratio)
        self._halve()

    def refuse(self, choice: Choice, why: str) -> None:
        """A challenger can't be run here, or has found something else than the default."""
        if choice in self.compared and choice not in self.refused:
            self.refused[choice] = why
            self._halve()

    @property
    def winner(self) -> Choice:
        """Who has won so far, the default unless somebody did."""
        won = [
            choice
            for choice, each in self.compared.items()
            if each.verdict is Verdict.WON and choice not in self.refused
        ]
        return min(won, key=lambda each: self.compared[each].ratio, default=DEFAULT_CHOICE)

    @property
    def gain(self) -> Gain | None:
        """The winner's. None where there were too few pairs.

        Where the default stays, 1.0, and from there down to what a challenger may still be, of
        those whose pairs tell something of that.
        """
        winner, among = self.winner, len(self.compared)
        if not winner.is_default:
            return gain_of(self.compared[winner], among)
        tried = [each for choice, each in self.compared.items() if choice not in self.refused]
        most = max([each.pairs for each in tried], default=0)
        if most < LEAST_PAIRS:
            return None
        told = [gain_of(x, among) for x in tried if x.pairs >= min(most, 2 * FIRST_PAIRS)]
        return Gain(1.0, min(1.0, *[each.low for each in told]), 1.0, self.pairs)

    def _halve(self) -> None:
        """Have challengers leave, as far as their pairs tell."""
        self._left = [
            choice
            for choice in self._left
            if choice not in self.refused and self.compared[choice].verdict is not Verdict.LOST
        ]
        while self._left and all(self.compared[c].pairs >= self._round for c in self._left):
            if len(self._left) == 1:
                if self.compared[self._left[0]].verdict is not Verdict.OPEN:
                    self._left = []
                    return
            else:
                ranked = sorted(self._left, key=lambda each: self.compared[each].ratio)
                stay = set(ranked[: (len(ranked) + 1) // 2])
                self._left = [choice for choice in self._left if choice in stay]
            self._round *= 2


def gain_of(compared: Comparison, of: int = 1) -> Gain:
    """What a comparison has measured. `of`: among how many it is the best, for the luckiest of many
    looks better than it is: its interval is wide enough for all of them to hold at once.

    Raises UsageError for fewer pairs than a Gain has.
    """
    low, high = compared.interval_at(0.05 / of)
    return Gain(min(max(compared.ratio, low), high), low, high, compared.pairs)
