"""RayPool: workers that are Ray actors, for the driver's state machine.

Ray retries and restarts nothing here (max_restarts and max_task_retries are 0): retries are counted
in one place, the machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import ray
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    ActorUnschedulableError,
    ObjectLostError,
    RayError,
    RayTaskError,
    RuntimeEnvSetupError,
)

from vyre_dist.actors.absolute_paths import absolute
from vyre_dist.actors.cluster import (
    capacity_for,
    connect,
    fitting_workers,
    host_of,
    joined_as_client,
    lives,
    node_of,
    starts_here,
    this_package,
)
from vyre_dist.actors.pool_options import actor_options, require_possible
from vyre_dist.actors.probe import Probe
from vyre_dist.actors.ray_errors import error_line
from vyre_dist.actors.room import Room
from vyre_dist.actors.run_metrics import RunMetrics
from vyre_dist.actors.scan_actor import (
    ScanActor,
    from_wire,
    read_gone,
    read_node,
    read_ready,
    to_wire,
)
from vyre_dist.actors.spooled_input import OUT_OF_REACH, bound_to_this_node, carried, driver_node
from vyre_dist.actors.stopped_actors import end_processes
from vyre_dist.driver.events import (
    Event,
    TaskDone,
    TaskFailed,
    WorkerLost,
    WorkerReady,
    WorkerRefused,
)
from vyre_dist.driver.pool import MOST_READ, WorkerSpec, bytes_in
from vyre_dist.driver.worker_facts import WorkerFacts
from vyre_dist.driver.worker_loop import read_answer
from vyre_dist.engine.task_codec import encode_task
from vyre_dist.engine.tasks import Task
from vyre_dist.kernels import require_backend
from vyre_dist.processes.signals import handlers_restored
from vyre_dist.rules.codec import encode_pack

# those for which a GPU is reserved where there are any
_GPU_BACKENDS = frozenset({"auto", "cuda"})

_READY = -1
_PROBE = -2

# Ray gives it to every node
_NODE_LABEL = "ray.io/node-id"

_PROBE_AGAIN_SECONDS = 1.0


class RayPool:
    """At most `workers` actors; None for one for each GPU of the cluster if the backend may use
    one, else one for each CPU.

    One with a GPU uses its share of its node's CPUs, too, though it asks Ray for one only: see
    ScanActor.

    `address`: see cluster.connect. `autoscale`: the cluster may grow, so do not refuse what it has
    no room for now (`workers` must then be given). `gpus_per_worker`: None decides by backend and
    cluster. `ship_package`: bring this vyre_dist to the workers. `runtime_env`: Ray's, for the
    connection that is made here. `probe_seconds`: how long an actor that can't be reached may stay
    so. `stay_connected`: `close` stops the workers only; `disconnect` is called later.
    """

    name = "ray"
    same_machine = False

    def __init__(
        self,
        spec: WorkerSpec,
        workers: int | None = None,
        address: str | None = None,
        *,
        autoscale: bool = False,
        gpus_per_worker: int | None = None,
        ship_package: bool = False,
        runtime_env: Mapping[str, Any] | None = None,
        log_to_driver: bool = False,
        probe_seconds: float = 60.0,
        stay_connected: bool = False,
    ) -> None:
        require_possible(workers, autoscale, gpus_per_worker)
        self.facts: dict[int, WorkerFacts] = {}
        """Who the workers are that have said WorkerReady."""
        self.metrics = RunMetrics()
        self._spec = spec
        self._asked = workers
        self._address = address
        self._autoscale = autoscale
        self._gpus = gpus_per_worker
        self._runtime_env = {**(this_package() if ship_package else {}), **(runtime_env or {})}
        self._log_to_driver = log_to_driver
        self._probe_seconds = probe_seconds
        self._stay_connected = stay_connected
        self._owns_ray = False
        self._actor_class: Any = None
        self._options: dict[str, Any] = {}
        self._arguments: tuple[Any, ...] = ()
        self._cwd = ""
        self._actors: dict[int, Any] = {}
        self._refs: dict[Any, tuple[int, int]] = {}
        self._probes: dict[int, Probe] = {}
        self._notes: dict[str, str] = {}
        self._held: list[Event] = []
        self.at_once = self._count = 0
        self._needs: dict[str, int] = {}
        self._misfits: set[str] = set()
        self._without_gpu: set[int] = set()
        self._room: Room | None = None

    def start(self) -> Sequence[int]:
        """See WorkerPool. Raises ClusterError and InfeasibleError, both UsageErrors."""
        may_use_gpus = self._spec.config.backend in _GPU_BACKENDS and self._gpus != 0
        cpus = len(os.sched_getaffinity(0))
        if self._spec.config.backend == "cuda" and self._gpus != 0 and starts_here(self._address):
            require_backend("cuda")  # to start Ray takes seconds
        self._owns_ray = connect(
            self._address,
            local_cpus=max(self._asked or 1, cpus) if may_use_gpus else self._asked or cpus,
            local_gpus=None if may_use_gpus else 0,
            runtime_env=self._runtime_env,
            log_to_driver=self._log_to_driver,
        )
        if not joined_as_client():  # such a process exports none
            self.metrics.open(ray.get_runtime_context().get_job_id())
        gpus = self._gpus
        if gpus is None:
            found = may_use_gpus and capacity_for({"GPU": 1}).workers > 0
            gpus = 1 if found or self._spec.config.backend == "cuda" else 0
        self._needs = {"GPU": gpus, "CPU": 1} if gpus else {"CPU": 1}
        count = fitting_workers(self._asked, self._needs, self._autoscale)
        self._count = self.at_once = count
        self._cwd = os.getcwd()
        self._actor_class = ray.remote(ScanActor)
        self._options = actor_options(self._needs)
        self._room = Room(self._needs, count, grows=self._asked is None)
        # once for all workers, however many there are
        pack = ray.put(encode_pack(self._spec.pack))
        self._arguments = (pack, asdict(self._spec.config))
        return list(range(count))

    def begin(self, worker: int) -> None:
        """See WorkerPool."""
        options, arguments = self._options, self._arguments
        if self._misfits:
            options = {
                **options,
                "label_selector": {_NODE_LABEL: f"!in({','.join(sorted(self._misfits))})"},
            }
        if worker in self._without_gpu:
            arguments = (arguments[0], {**arguments[1], "backend": "cpu"})
        actor = self._actors[worker] = self._actor_class.options(**options).remote(*arguments)
        self._refs[actor.ready.remote()] = (worker, _READY)

    def submit(self, worker: int, task_id: int, task: Task) -> None:
        """See WorkerPool."""
        actor = self._actors.get(worker)
        # gone already: its WorkerLost is among the events of a poll, and covers this task, too
        if actor is not None:
            task = carried(absolute(task, self._cwd))
            if bound_to_this_node(task) and self.facts[worker].node != driver_node():
                self._held.append(TaskFailed(worker, task_id, OUT_OF_REACH))
                return
            self.metrics.given(worker, task_id)
            message = to_wire(encode_task(task))
            self._refs[actor.run.remote(message)] = (worker, task_id)

    def poll(self, timeout: float) -> list[Event]:
        """See WorkerPool."""
        events = self._poll(timeout)
        self.metrics.told(events)
        return events

    def _poll(self, timeout: float) -> list[Event]:
        events, self._held = self._held, []
        if self._room:
            starting = [a for worker, a in self._actors.items() if worker not in self.facts]
            events += self._room.look(starting, len(self.facts), self._misfits)
        self._probe(events)
        if not self._refs:
            # nobody has anything to do: there is nothing to wait for but time
            if not events:
                time.sleep(timeout)
            return events
        if self._probes:
            timeout = min(timeout, _PROBE_AGAIN_SECONDS)
        refs = list(self._refs)
        ready, _ = ray.wait(refs, num_returns=1, timeout=timeout)
        if ready:
            ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        come, room = set(ready), MOST_READ
        # in the order of submission: what a worker finished counts before its death does
        for ref in refs:
            if room > 0 and ref in come and ref in self._refs:
                self._read(ref, events)
                room -= bytes_in(events[-1:])
        return events

    def _read(self, ref: Any, events: list[Event]) -> None:
        worker, task_id = self._refs.pop(ref)
        try:
            message = ray.get(ref)
        except ActorUnavailableError:
            self._unavailable(worker, task_id)
        except ActorDiedError as error:
            # our constructor raises nothing: what failed is to unpickle or import it
            self._end(worker, events, error, refused=error.actor_init_failed)
        except (RuntimeEnvSetupError, ActorUnschedulableError) as error:
            self._end(worker, events, error, refused=True)
        except (RayTaskError, ObjectLostError) as error:
            if task_id >= 0:
                events.append(TaskFailed(worker, task_id, error_line(error)))
            else:
                self._end(worker, events, error)
        except RayError as error:
            self._end(worker, events, error)
        else:
            self._understand(worker, task_id, from_wire(message), events)

    def _understand(self, worker: int, task_id: int, message: bytes, events: list[Event]) -> None:
        if task_id >= 0:
            if gone := read_gone(message):
                self._lose_gpu(worker, gone, events)
                return
            result, error = read_answer(message)
            events.append(
                TaskDone(worker, task_id, result) if result else TaskFailed(worker, task_id, error)
            )
            return
        found = read_ready(message)
        if isinstance(found, str):
            self._refuse(worker, *read_node(message), found, events)
            return
        if worker not in self.facts:
            self.facts[worker] = found
            if found.cache_trouble:
                self._notes.setdefault(found.host, f"on {found.host}: {found.cache_trouble}")
            events.append(WorkerReady(worker, found.processes, found))
        probe = self._probes.pop(worker, None) if task_id == _PROBE else None
        for lost in probe.lost if probe else ():
            events.append(TaskFailed(worker, lost, "the connection broke before the answer came"))

    # --- actors that can't be reached

    def _unavailable(self, worker: int, task_id: int) -> None:
        """Hold a task's fate until its actor answers again, or is given up.

        Whether the task was done is not known, nor whether the actor lives.
        """
        now = time.monotonic()
        probe = self._probes.setdefault(worker, Probe(now + self._probe_seconds))
        if task_id >= 0:
            probe.lost.append(task_id)
        elif task_id == _PROBE:
            probe.again_at = now + _PROBE_AGAIN_SECONDS

    def _probe(self, events: list[Event]) -> None:
        now = time.monotonic()
        for worker, probe in list(self._probes.items()):
            if now >= probe.deadline:
                self._forget(worker)
                events.append(
                    WorkerLost(worker, f"it could not be reached for {self._probe_seconds:g} s")
                )
            elif probe.again_at is not None and now >= probe.again_at:
                probe.again_at = None
                self._refs[self._actors[worker].ready.remote()] = (worker, _PROBE)

    # --- ends

    def _end(
        self, worker: int, events: list[Event], error: RayError, refused: bool = False
    ) -> None:
        facts = self.facts.get(worker)
        if refused:
            node = node_of(self._actors[worker])
            self._refuse(worker, node, host_of(node), error_line(error), events)
            return
        who = f"process {facts.pid} on {facts.host}: " if facts else ""
        self._forget(worker)
        # a node that goes takes along whatever is there
        unrelated_to_tasks = facts is not None and not lives(facts.node)
        events.append(WorkerLost(worker, who + error_line(error), unrelated_to_tasks))

    def _refuse(self, worker: int, node: str, host: str, why: str, events: list[Event]) -> None:
        """Leave out the worker's node, where any other would meet the same.

        Others may find room elsewhere.
        """
        self._forget(worker)
        if node:
            self._misfits.add(node)
            capacity = capacity_for(self._needs, self._misfits).workers
            if self._autoscale and capacity:
                capacity = self._count  # the cluster grows
            why = f"no worker can run on {host} (node {node}): {why}"
        else:
            capacity = len(self._actors)
        events.append(WorkerRefused(worker, why, node, capacity))

    def _lose_gpu(self, worker: int, why: str, events: list[Event]) -> None:
        """Leave out a worker whose GPU is of no use after all.

        Where nobody asked for a GPU, go on with its processors.
        """
        facts = self.facts[worker]
        if self._spec.config.backend != "auto":
            self._refuse(worker, facts.node, facts.host, why, events)
            return
        self._without_gpu.add(worker)
        self._forget(worker)
        events.append(WorkerLost(worker, f"on {facts.host}: {why}", unrelated_to_tasks=True))

    def _forget(self, worker: int) -> None:
        """Have the actor gone for certain, and what it still had in hand never heard of again."""
        ray.kill(self._actors.pop(worker))
        self.facts.pop(worker, None)
        self._probes.pop(worker, None)
        for ref in [ref for ref, (w, _) in self._refs.items() if w == worker]:
            del self._refs[ref]

    def replace(self, worker: int) -> None:
        """See WorkerPool."""
        if worker in self._actors:
            end_processes(self.facts.get(worker))
            self._forget(worker)
        self.begin(worker)

    def unusable(self) -> str:
        """See WorkerPool. An actor says it before its first task."""
        return ""

    def notes(self) -> Sequence[str]:
        """See WorkerPool. One for each machine whose cache can't be written."""
        return list(self._notes.values())

    def close(self) -> None:
        """See WorkerPool. Then `disconnect`, unless that is left for later."""
        try:
            if ray.is_initialized():
                for worker in list(self._actors):
                    self._forget(worker)
        finally:
            if not self._stay_connected:
                self.disconnect()
        self._actors, self._refs, self._arguments = {}, {}, ()

    def disconnect(self) -> None:
        """Shut Ray down, if this pool connected or started it.

        For some seconds SIGTERM then ends the process at once, whatever handler it has: what must
        not be lost has to be safe before.
        """
        if self._owns_ray and ray.is_initialized():
            with handlers_restored():
                ray.shutdown()
        self._owns_ray = False
