"""ScanActor: what runs on a cluster's worker. It answers bytes with bytes and decides nothing.

Also how those bytes look. The class is plain: ray_pool.py makes an actor of it, a test can call it
as it is.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any, TypeAlias

import msgpack
import numpy as np
import numpy.typing as npt
import ray

from vyre_dist import __version__
from vyre_dist.actors.cluster import cpus_beside
from vyre_dist.driver.worker_facts import WorkerFacts
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.tuned_codec import programs_of, wire_programs
from vyre_dist.errors import GpuGoneError, VyreError, WorkerUnusableError
from vyre_dist.processes.messages import read_message, text_message
from vyre_dist.rules.codec import decode_pack

_LOG = logging.getLogger(__name__)

GPU_GONE = "gpu-gone"
"""What an actor says in place of an answer when nobody owns its GPU any more; why, in the text."""

Wire: TypeAlias = bytes | npt.NDArray[np.uint8]
"""A message on its way through Ray."""

MOST_PROCESSES = 32
"""Of a team, at most: the driver, which lists the files for all workers, has to keep up with
them.
"""

# Ray copies bytes several times over (20 MiB there and back: 163 ms) and arrays hardly at all (27
# ms); for small messages it makes no difference.
_AS_ARRAY_FROM = 256 << 10


def to_wire(data: bytes) -> Wire:
    """`data` in the form that Ray carries fastest."""
    return data if len(data) < _AS_ARRAY_FROM else np.frombuffer(data, np.uint8)


def from_wire(message: Wire) -> bytes:
    """The inverse of to_wire."""
    return message if isinstance(message, bytes) else message.tobytes()


class ScanActor:
    """One worker: a ScanEngine whose tasks are done one after another, in the order given.

    With a GPU it is a Team of processes which have an engine each, and the GPU together: at most
    one for each CPU that goes with the GPU on its node, but for the one that the GPU's own process
    takes. A single one can't read as fast as a GPU scans. They are started as tasks come. `run` may
    be called from as many threads then.
    """

    def __init__(self, pack: bytes, config: Mapping[str, Any]) -> None:
        """Keep what `ready` will load.

        An exception in here would cost Ray the actor, and us the reason.

        `pack`: from encode_pack. `config`: EngineConfig's fields.
        """
        self._pack = pack
        self._config = dict(config)
        self._run: Callable[[bytes], bytes] | None = None
        self._facts: WorkerFacts | None = None
        self._lock = threading.Lock()

    def ready(self) -> bytes:
        """Load the pack, once. The answer is for read_ready: who this is, or why it can't work."""
        try:
            with self._lock:
                if self._run is None:
                    self._run = self._load()
        except VyreError as error:
            return _packed(["refused", __version__, str(error), _where()])
        except ImportError as error:
            return _packed(
                ["refused", __version__, f"something that it needs is missing: {error}", _where()]
            )
        facts = self._facts
        if facts is None:
            return _packed(["ready", __version__, {}])
        programs = None if facts.programs is None else wire_programs(facts.programs)
        plain = {**asdict(replace(facts, programs=None)), "programs": programs}
        return _packed(["ready", __version__, plain])

    def _load(self) -> Callable[[bytes], bytes]:
        """What does tasks."""
        # a node that lacks one of them, Hyperscan say, says so
        from vyre_dist.driver.worker_facts import facts_of
        from vyre_dist.kernels import resolve_backend
        from vyre_dist.storage.places import try_briefly

        try_briefly()
        config = EngineConfig(**self._config)
        own = _own_gpus()
        pack = decode_pack(self._pack)
        processes = max(1, min(cpus_beside(len(own)) - 1, MOST_PROCESSES)) if own else 1
        if own:
            # also with one process: calls come from several threads, and an engine is for one
            from vyre_dist.driver.pool import WorkerSpec
            from vyre_dist.driver.team import Team

            team = Team(WorkerSpec(pack, config), processes)
            # who asked for the GPU hears before any work is done that there is none
            team.start()
            gpu, run, trouble, programs = team.device, team.run, "", None
        else:
            from vyre_dist.driver.worker_loop import answer
            from vyre_dist.engine.worker import ScanEngine

            engine = ScanEngine(pack, config)
            gpu, run, trouble = "", partial(answer, engine), engine.cache.trouble
            programs = engine.backend.facts
        backend = resolve_backend(config.backend)
        facts = facts_of(backend, gpu, node=_node(), gpus=own, processes=processes)
        self._facts = replace(facts, cache_trouble=trouble, programs=programs)
        return run

    def run(self, task: Wire) -> Wire:
        """Do a task (encode_task's bytes); the answer is for read_answer. Comes after `ready`."""
        if self._run is None:
            raise RuntimeError("run was called before ready")
        try:
            return to_wire(self._run(from_wire(task)))
        except GpuGoneError as error:
            return text_message(GPU_GONE, str(error))
        except WorkerUnusableError as error:
            # to the driver it is a worker that was lost; the next one may say why it can't start
            _LOG.error("%s", error)
            os._exit(1)


def read_ready(data: bytes) -> WorkerFacts | str:
    """What `ready` answered: the facts, or the reason for which this worker can't work."""
    kind, version, body, *_ = _unpacked(data)
    if version != __version__:
        return (
            f"it runs vyre-dist {version}, the driver {__version__}: install the same version on "
            "every node, "
            "or have the driver's package shipped"
        )
    if kind == "refused":
        return str(body)
    programs = None if body["programs"] is None else programs_of(body["programs"])
    return WorkerFacts(**{**body, "gpus": tuple(body["gpus"]), "programs": programs})


def read_node(data: bytes) -> tuple[str, str]:
    """(Ray's id of the node, its host's name) of whoever answered to `ready`; "" for not said."""
    place = next((part for part in _unpacked(data)[2:] if isinstance(part, dict)), {})
    return str(place.get("node", "")), str(place.get("host", ""))


def read_gone(data: bytes) -> str:
    """Why there is no GPU any more for who answered so to `run`; "" for the answer to a task."""
    said = read_message(data)
    return said.text if said.kind == GPU_GONE else ""


def _packed(message: list[Any]) -> bytes:
    return bytes(msgpack.packb(message, unicode_errors="surrogateescape"))


def _unpacked(data: bytes) -> list[Any]:
    message: list[Any] = msgpack.unpackb(data, unicode_errors="surrogateescape")
    return message


def _where() -> dict[str, str]:
    return {"node": _node(), "host": os.uname().nodename}


def _node() -> str:
    return ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""


def _own_gpus() -> tuple[str, ...]:
    """The ids of the GPUs that Ray gave this worker."""
    if not ray.is_initialized():
        return ()
    return tuple(str(g) for g in ray.get_runtime_context().get_accelerator_ids().get("GPU", ()))
