"""Recording: to whom a scan tells what it has planned and done, so that another one can go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from vyre_dist.engine.tasks import Item
from vyre_dist.input_problem import InputProblem
from vyre_dist.ledger.entries import Entry

if TYPE_CHECKING:
    from vyre_dist.ledger.records import Worker


class Recording(Protocol):
    """See RunDirectory, and StagedRun. All methods are called from one thread."""

    @property
    def proof(self) -> str:
        """See handing_in.py; of the folder that part files are in. Raises OSError."""
        ...

    def part(self, shard: int, task_id: int) -> str:
        """The file for what a task finds; no other task of the run has the same. "" for none."""
        ...

    def listed(self, problem: InputProblem) -> None:
        """An input could not be listed."""
        ...

    def planned(self, shard: int, items: tuple[Item, ...]) -> None:
        """A shard was planned, perhaps by an earlier driver."""
        ...

    def plan_ended(self) -> None:
        """There are no more shards."""
        ...

    def worker(self, worker: Worker) -> None:
        """A worker is ready; it is told for people alone."""
        ...

    def record(self, number: int, entry: Entry, began_ns: int, worker: int | None = None) -> None:
        """Keep an entry; `commit` tells when it is. `began_ns`, `worker`: see Done."""
        ...

    def patience(self, most: float) -> float:
        """In how many seconds `commit` has something to do, `most` at most."""
        ...

    def commit(self, *, idle: bool) -> int | None:
        """The number of the last entry that is kept now; None if that is no news.

        `idle`: nobody is at work, so that there is nothing to wait for. Raises OSError, and
        RunTakenError if the run is another driver's by now.
        """
        ...

    def check_owner(self) -> None:
        """Raises RunTakenError if the run is another driver's by now, and OSError."""
        ...
