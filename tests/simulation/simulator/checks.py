"""What must hold in every simulated world, whatever happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simulator.corpus import RULES, Expected
from simulator.rendered import Lines
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.no_pool import NoPool
from vyre_dist.driver.recorded_plan import RecordedPlan
from vyre_dist.driver.run import Callbacks, ScanOutcome, run_scan
from vyre_dist.input_problem import InputProblem
from vyre_dist.ledger.history import History

if TYPE_CHECKING:
    from simulator.simulation import Simulation
    from vyre_dist.storage import Storage

_OPEN_SHARDS_PER_TASK = 4
_LONGEST_WAIT = 45.0
"""Seconds that something may wait for its commit; the slowest operations of the storage take 20."""


class ViolationError(AssertionError):
    """Something does not hold."""


class Checks:
    """Of one simulation."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def bounded(self, open_shards: int, workers: int, waiting_since: float | None) -> None:
        """Few shards are open, and what is done is committed soon."""
        most = max(self._simulation.config.shards_ahead, _OPEN_SHARDS_PER_TASK * 2 * workers) + 5
        if open_shards > most:
            raise ViolationError(f"{open_shards} shards are open, and at most {most} may be")
        now = self._simulation.world.now
        if waiting_since is not None and now - waiting_since > self._simulation.longest_wait:
            raise ViolationError(f"a record waits for {now - waiting_since:.1f} s")

    def whole(
        self, what: str, lines: bytes, problems: Sequence[InputProblem], outcome: ScanOutcome
    ) -> None:
        """A scan or a merge has what it must have, and has counted it once."""
        from simulator.drivers import counts_of

        expected = self._simulation.corpus.expected()
        if lines != (wanted := b"".join(expected.lines)):
            raise ViolationError(f"{what}: {_first_difference(lines, wanted)}")
        told = sorted((each.path, each.reason) for each in problems)
        if told != sorted(expected.problems.items()):
            raise ViolationError(f"{what}: problems {told}, not {expected.problems}")
        if sorted(n.path for n in outcome.notes if n.reason == "odd") != sorted(expected.notes):
            raise ViolationError(f"{what}: notes {outcome.notes}, not of {expected.notes}")
        if (counts := counts_of(outcome)) != expected.counts:
            raise ViolationError(f"{what}: counted {counts}, not {expected.counts}")

    def part(self, what: str, lines: bytes, expected: Expected) -> None:
        """Whoever merges a run that is not over gets some of the documents, in order, each whole or
        not at all.
        """
        rest = lines
        for own in expected.lines:
            if own and rest.startswith(own):
                rest = rest[len(own) :]
        if rest:
            raise ViolationError(f"{what}: has what is not to be found: {rest[:200]!r}")


def merged(storage: Storage) -> tuple[bytes, list[InputProblem], ScanOutcome, History]:
    """What vyre-dist merge gives now."""
    lines = Lines()
    problems: list[InputProblem] = []
    told = Callbacks(lines.write, problems.append, lambda _: None, lambda _t, _p: None)
    history = History(storage)
    plan = RecordedPlan(history, None, (), 1)
    config = MachineConfig(only_entries=True)
    outcome = run_scan(plan, NoPool(), RULES, told, config)
    return lines.whole(), problems, outcome, history


def _first_difference(found: bytes, wanted: bytes) -> str:
    ours, theirs = found.splitlines(), wanted.splitlines()
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False), 1):
        if one != other:
            return f"line {number} is {one[:160]!r}, not {other[:160]!r}"
    return f"{len(ours)} lines, not {len(theirs)}"
