"""What must hold in every simulated world, whatever happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from simulator.auditing import ExpectedAudits
from simulator.corpus import RULES
from simulator.rendered import Lines
from simulator.world import ViolationError
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.no_pool import NoPool
from vyre_dist.driver.recorded_plan import RecordedPlan
from vyre_dist.driver.run import Callbacks, ScanOutcome, run_scan
from vyre_dist.input_problem import AUDIT_DIFFERS, NOT_AUDITED, InputProblem
from vyre_dist.ledger.entries import Entry
from vyre_dist.ledger.history import History

if TYPE_CHECKING:
    from simulator.drivers import Driver
    from simulator.simulation import Simulation
    from vyre_dist.storage import Storage

_OPEN_SHARDS_PER_TASK = 4
_LONGEST_WAIT = 4.0
"""Seconds that a record may wait for its commit, where storage is not slow."""

LEAST_STORE_SECONDS, MOST_STORE_SECONDS = 0.3, 2.0
"""From which on a driver may say that its autotune store is slow, and that it may wait for it."""


class Checks:
    """Of one simulation."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def bounded(self, open_shards: int, workers: int, waiting_since: float | None) -> None:
        """Few shards are open, and what is done is committed soon."""
        most = max(self._simulation.config.shards_ahead, _OPEN_SHARDS_PER_TASK * 4 * workers) + 5
        if open_shards > most:
            raise ViolationError(f"{open_shards} shards are open, and at most {most} may be")
        now = self._simulation.world.now
        if waiting_since is not None and now - waiting_since > _LONGEST_WAIT:
            raise ViolationError(f"a record waits for {now - waiting_since:.1f} s")

    def whole(
        self,
        what: str,
        lines: bytes,
        problems: Sequence[InputProblem],
        outcome: ScanOutcome,
        *,
        audited: bool = False,
    ) -> None:
        """A scan or a merge has what it must have, and has counted it once. `audited`: and its
        audits have found what there is to be found.
        """
        from simulator.drivers import counts_of

        expected = self._simulation.corpus.expected()
        told = sorted((each.path, each.reason) for each in problems)
        audits = expected.audits if audited else ExpectedAudits()
        differing = [(path, AUDIT_DIFFERS) for path in audits.differing]
        if told != (wanted_problems := sorted([*expected.problems.items(), *differing])):
            raise ViolationError(f"{what}: problems {told}, not {wanted_problems}")
        if lines != (wanted := b"".join(expected.lines)):
            raise ViolationError(f"{what}: {_first_difference(lines, wanted)}")
        if sorted(n.path for n in outcome.notes if n.reason == "odd") != sorted(expected.notes):
            raise ViolationError(f"{what}: notes {outcome.notes}, not of {expected.notes}")
        left = sorted(n.path for n in outcome.notes if n.reason == NOT_AUDITED)
        if left != sorted(audits.left):
            raise ViolationError(f"{what}: {left} were not audited, and {audits.left} can't be")
        audit_counts = {name: getattr(outcome.totals, name) for name in audits.counts}
        if audit_counts != audits.counts:
            raise ViolationError(f"{what}: audits: counted {audit_counts}, not {audits.counts}")
        if (counts := counts_of(outcome)) != expected.counts:
            raise ViolationError(f"{what}: counted {counts}, not {expected.counts}")

    def part(self, what: str, lines: bytes) -> None:
        """Whoever merges a run that is not over gets some of the documents, in order, each whole or
        not at all; perhaps as it was before it was changed.
        """
        rest = lines
        corpus = self._simulation.corpus
        for own, before in zip(corpus.expected().lines, corpus.before, strict=True):
            for each in sorted((own, *before), key=len, reverse=True):
                if each and rest.startswith(each):
                    rest = rest[len(each) :]
                    break
        if rest:
            raise ViolationError(f"{what}: has what is not to be found: {rest[:200]!r}")

    def kept(self, emitted: bytes, lines: bytes) -> None:
        """What a driver has put out is there when it has ended, however it did."""
        if not lines.startswith(emitted):
            raise ViolationError(f"put out, and lost: {_first_difference(lines, emitted)}")

    def of_store(self, driver: Driver) -> None:
        """A driver has asked the autotune store for what it needs, has waited for it for a short
        time only, has published what is true, and has told once of what was wrong with it.
        """
        stores, problem = driver.stores, driver.run_stores.problem
        waited = sum([store.waited for store in stores])
        if waited > MOST_STORE_SECONDS:
            raise ViolationError(f"{driver.process.name} waited {waited:.2f} s for its store")
        asked = [key for store in stores for key in store.asked]
        if len(set(asked)) < len(asked):
            raise ViolationError(f"{driver.process.name} asked its store for the same twice")
        for record in [record for store in stores for record in store.offered]:
            if not self._simulation.server.is_true(record):
                raise ViolationError(f"{record} was published, and is not what was measured")
        useless = any(store.broken or store.misled for store in stores)
        if useless and not problem and not driver.process.dead:
            raise ViolationError(f"{driver.process.name} knows of nothing wrong with its store")
        if (
            problem
            and not useless
            and waited < LEAST_STORE_SECONDS
            and driver not in self._simulation.stopped
        ):
            raise ViolationError(f"{problem!r}, and there was nothing")
        told = [f"warning: {problem}; the scan goes on without it"] if problem else []
        if driver.finished and driver.told.said != told:
            raise ViolationError(f"{driver.told.said} was said of {problem!r}")

    def once(self, history: History) -> None:
        """No two entries that count cover the same."""
        seen: set[tuple[int, int]] = set()
        for known in history.shards():
            for done in known.done:
                for each in covered(done.entry):
                    if each in seen:
                        raise ViolationError(f"document {each} is covered twice")
                    seen.add(each)


def covered(entry: Entry) -> Iterator[tuple[int, int]]:
    """The documents that an entry covers, with -1, and the pieces with their starts."""
    for first, end in entry.covered.documents:
        for document in range(first, end):
            yield document, -1
    there = {(part.document, part.start) for part in entry.result.parts}
    for document, start, _ in entry.covered.pieces:
        # what nobody scanned, as its document had been given up, may be scanned yet
        if (document, start) in there:
            yield document, start


def covered_in(history: History) -> set[tuple[int, int]]:
    """All that counts."""
    return {
        each for known in history.shards() for done in known.done for each in covered(done.entry)
    }


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
