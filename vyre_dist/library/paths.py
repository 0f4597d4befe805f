"""PathRun: one scan of paths on the driver, with the inputs and the workers that it is to have."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass

from vyre_dist.driver.in_process_pool import InProcessPool
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.pool import WorkerPool, WorkerSpec
from vyre_dist.driver.run import Callbacks, ScanAbortedError, ScanOutcome, scan_rounds
from vyre_dist.engine.audit_sample import AuditSample
from vyre_dist.engine.config import EngineConfig
from vyre_dist.errors import UsageError
from vyre_dist.library.engines import Engines
from vyre_dist.library.options import WorkerOptions
from vyre_dist.rules.model import PackData
from vyre_dist.secret_key import SecretKey
from vyre_dist.sources import WalkStats, pipe_id, spool_pipes, walk_folders
from vyre_dist.sources.walk_options import WalkOptions
from vyre_dist.temporary import temporary_directory

logger = logging.getLogger("vyre_dist")


@dataclass(frozen=True, slots=True)
class PathRun:
    """What to scan, with what, and who does it. `engines`: where it is the calling process."""

    names: Sequence[str]
    walk: WalkOptions
    workers: WorkerOptions
    pack: PackData
    config: EngineConfig
    engines: Engines
    secret_key: SecretKey | None

    def rounds(self, callbacks: Callbacks, stats: WalkStats) -> Generator[ScanOutcome, None, None]:
        """The scan round by round; see driver/run.py. Closing the iterator ends it.

        Raises UsageError where no worker can start and where pipes find no room, ScanAbortedError.
        """
        with ExitStack() as stack:
            pool = self._pool(stack)
            named_pipes = [name for name in self.names if pipe_id(name) is not None]
            folder = temporary_directory() if named_pipes else ""
            inputs = walk_folders(
                self.names,
                self.walk,
                own_files=self._own_files,
                stats=stats,
                pipes=stack.enter_context(spool_pipes(named_pipes, folder)),
            )
            plan = Plan(inputs, self.config.shard_bytes)
            try:
                yield from scan_rounds(
                    plan, pool, self.pack.rules, callbacks, secret_key=self.secret_key
                )
            except ScanAbortedError as error:
                if error.refused and not error.outcome.totals.documents:
                    raise UsageError(str(error)) from error
                raise
            for path in stats.unused_ignore_files:
                logger.warning(
                    "%s is not used: it would leave out all of the folder that was named", path
                )
            for note in pool.notes():
                logger.warning("%s", note)

    @property
    def _own_files(self) -> Set[tuple[int, int]]:
        """The key is not for a report."""
        return frozenset() if self.secret_key is None else self.secret_key.own_files

    def _pool(self, stack: ExitStack) -> WorkerPool:
        spec, workers = WorkerSpec(self.pack, self.config), self.workers
        if workers.address is not None:
            from vyre_dist.actors.ray_pool import RayPool

            return RayPool(spec, workers.count, workers.address, autoscale=workers.autoscale)
        if workers.count is not None:
            from vyre_dist.driver.local_pool import LocalPool

            return LocalPool(spec, workers.count, gpus=workers.gpus)
        engine = self.engines.borrow()
        stack.callback(self.engines.give_back, engine)
        # the next scan has its own, or none
        engine.sample = AuditSample(self.config.audit_rate, self.config.audit_seed)
        stack.callback(setattr, engine, "sample", AuditSample(0.0, 0))
        return InProcessPool(engine)
