"""Ahead of time: a pack is tuned on real files, in this process and without a budget.

Trials are the scan's own (engine/dispatches.py): a challenger and the default on the same bytes.
Files are read in one order, and each challenger begins with the first of a class, so that whoever
tunes on the same files measures the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from vyre_dist.autotune.choice import Choice
from vyre_dist.engine.config import GPU_SHARD_BYTES, EngineConfig
from vyre_dist.engine.shards import pack_shards, size_of
from vyre_dist.engine.tasks import (
    Challenge,
    DocumentProblem,
    Item,
    Piece,
    ScanTask,
    TrialPair,
    piece_of,
)
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.errors import UsageError
from vyre_dist.input_problem import InputProblem
from vyre_dist.kernels.tuned import COMPILING
from vyre_dist.program import ArtifactCache
from vyre_dist.program.program_facts import ProgramFacts
from vyre_dist.rules.model import PackData
from vyre_dist.sources import DocumentRef, WalkOptions, walk
from vyre_dist.tuning.comparison import Comparison
from vyre_dist.tuning.halving import Race
from vyre_dist.tuning.variants import challengers
from vyre_dist.tuning.workload import WorkloadClass

FIRST_PAIRS = 16
"""Of each challenger, before the slower half leaves: more than a scan can pay for, so that others
who tune on the same data agree. One that is clearly slower may leave with fewer.
"""

MOST_BYTES = 512 << 20
"""Of the files; of more, evenly spread parts are measured."""

_SHARD_BYTES = 8 << 20
_COMPILING_SECONDS = 180.0
_NO_LIMIT_NS = 1 << 62


@dataclass(frozen=True, slots=True)
class Sample:
    """The files to measure on. `tasks`: in order, of `shard_bytes` at most. `bytes`: of these;
    `there`: of all files. `problems`: inputs that could not be listed.
    """

    tasks: tuple[ScanTask, ...]
    shard_bytes: int
    bytes: int
    there: int
    problems: tuple[InputProblem, ...] = ()

    @classmethod
    def of(cls, paths: Sequence[str], backend: str, most_bytes: int = MOST_BYTES) -> Sample:
        """Below `paths`, as a scan walks them. Raises UsageError where there is nothing."""
        shard_bytes = GPU_SHARD_BYTES if backend == "cuda" else _SHARD_BYTES
        documents: list[DocumentRef] = []
        problems: list[InputProblem] = []
        for found in walk(paths, WalkOptions()):
            if isinstance(found, InputProblem):
                problems.append(found)
            elif found.size > 0:
                documents.append(found)
        there = sum(document.size for document in documents)
        shards = pack_shards(_pieces(documents), shard_bytes)
        tasks = [ScanTask(tuple(shard)) for shard in shards]
        if not tasks:
            why = f": {problems[0].path}: {problems[0].detail}" if problems else ""
            raise UsageError(
                f"nothing to measure on in {', '.join(paths)}{why}; name files, or a folder with "
                "files, such as those that will be scanned"
            )
        step = max(1.0, there / most_bytes)
        chosen = tuple(tasks[int(n * step)] for n in range(round(len(tasks) / step) or 1))
        return cls(chosen, shard_bytes, sum(map(size_of, chosen)), there, tuple(problems))


def _pieces(documents: Iterable[DocumentRef]) -> Iterator[Item]:
    return (piece_of(number, ref) for number, ref in enumerate(documents))


@dataclass(slots=True)
class ClassOfTasks:
    """The tasks of a sample that are of one workload class, and what they hold."""

    workload: str
    tasks: list[ScanTask] = field(default_factory=list)
    documents: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class TunedAhead:
    """The race of one class. `programs`: what was raced."""

    workload: ClassOfTasks
    programs: ProgramFacts
    race: Race


class AheadOfTime:
    """An engine of its own, to measure with. `problems`: of documents that could not be read.

    `clock`: seconds, for what is compiled meanwhile.
    """

    def __init__(
        self,
        pack: PackData,
        backend: str,
        sample: Sample,
        cache: ArtifactCache,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises what ScanEngine raises."""
        config = EngineConfig(backend=backend, shard_bytes=sample.shard_bytes)
        self.engine = ScanEngine(pack, config, cache=cache)
        self._sample, self._clock = sample, clock
        self._classes: dict[str, ClassOfTasks] = {}
        self._at: dict[tuple[str, Choice], int] = {}
        self.problems: dict[int, DocumentProblem] = {}
        self.programs = self._survey()

    @property
    def classes(self) -> Sequence[ClassOfTasks]:
        """Those of the sample, the one with the most bytes first."""
        return sorted(self._classes.values(), key=lambda each: (-each.bytes, each.workload))

    def class_of(self, workload: str) -> ClassOfTasks | None:
        return self._classes.get(workload)

    def path_of(self, number: int) -> str:
        """Of document `number` of the sample."""
        pieces = (piece for task in self._sample.tasks for piece in task.pieces)
        return next(
            (each.path for each in pieces if isinstance(each, Piece) and each.document == number),
            "",
        )

    def _survey(self) -> ProgramFacts:
        """Run everything once: what is of which class, and what the engine runs by default."""
        programs = None
        for task in self._sample.tasks:
            result = self.engine.run(task)
            self.problems |= {each.document: each for each in result.problems}
            documents = result.documents + len(result.parts)
            workload = WorkloadClass.of(result.bytes, documents, result.matches)
            programs = result.programs
            if workload is not None:
                found = self._classes.setdefault(workload.name, ClassOfTasks(workload.name))
                found.tasks.append(task)
                found.documents += documents
                found.bytes += result.bytes
        if not self._classes:
            raise UsageError(
                f"none of the {len(self.problems)} files could be read: "
                f"{next((each.detail for each in self.problems.values()), 'they are empty')}"
            )
        if programs is None:
            raise UsageError(f"the backend {self.engine.backend.name} can't be tuned")
        return programs

    def tuned(self, each: ClassOfTasks, go_on: Callable[[], object]) -> TunedAhead:
        """Race all challengers of the default on a class's tasks. `go_on`: called after each few
        pairs.
        """
        race = Race(challengers(self.programs), first=FIRST_PAIRS)
        while (wanted := race.next()) is not None:
            choice, pairs = wanted
            for pair in self._pairs(each, choice, pairs):
                if pair.refused or not pair.equal:
                    race.refuse(choice, pair.refused or "it found something else than the default")
                    break
                race.add(choice, pair.log_ratio)
            go_on()
        return TunedAhead(each, self.programs, race)

    def compared(self, each: ClassOfTasks, choice: Choice, pairs: int) -> Comparison | str:
        """So many pairs of a choice against the default; or why it can't be run."""
        comparison = Comparison()
        while comparison.pairs < pairs:
            for pair in self._pairs(each, choice, pairs - comparison.pairs):
                if pair.refused or not pair.equal:
                    return pair.refused or "it found something else than the default"
                comparison.add(pair.log_ratio)
        return comparison

    def _pairs(self, each: ClassOfTasks, choice: Choice, most: int) -> Sequence[TrialPair]:
        """Some pairs of a choice on the class's next task, one at least, or one that says why there
        is none.
        """
        trial = Challenge(choice, most, _NO_LIMIT_NS)
        place, idle = (each.workload, choice), 0
        began = self._clock()
        while True:
            at = self._at[place] = self._at.get(place, -1) + 1
            task = each.tasks[at % len(each.tasks)]
            result = self.engine.run(ScanTask(task.pieces, trial=trial))
            pairs = [
                pair for pair in result.pairs if pair.workload == each.workload or pair.refused
            ]
            if pairs:
                return pairs
            if self._compiles(choice):
                self._at[place] = -1  # what is measured begins with the first one
                if self._clock() - began < _COMPILING_SECONDS:
                    continue
                why = f"its programs were not compiled in {_COMPILING_SECONDS:.0f} s"
            else:
                idle += 1
                if idle < 2 * len(each.tasks) + 2:
                    continue
                why = "none of its runs could be compared with the default's"
            return [TrialPair(choice, each.workload, 0.0, 0, 0, True, why)]

    def _compiles(self, choice: Choice) -> bool:
        try:
            return self.engine.backend.prepare(choice) == COMPILING
        except UsageError:
            return False  # its next trial says why
