"""A worker's side of a pool: bytes of a task in, bytes of an answer out.

The same in a process and in a Ray actor. What a process says, and how, is in processes/.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from multiprocessing.connection import Connection

import msgpack

from vyre_dist.driver.gpu_share import GpuShare
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.handing_in import handed_in
from vyre_dist.engine.task_codec import decode_result, decode_task, encode_result
from vyre_dist.engine.task_run import TaskRun
from vyre_dist.engine.tasks import TaskResult
from vyre_dist.engine.wire import WireError
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.errors import VyreError, WorkerUnusableError
from vyre_dist.processes.messages import (
    DONE,
    FAILED,
    REFUSED,
    UNUSABLE,
    message,
    read_message,
    text_message,
)
from vyre_dist.processes.serve import detail_of, take_all
from vyre_dist.rules.codec import decode_pack, encode_pack
from vyre_dist.storage.places import try_briefly

LOADER = f"{__name__}:load_worker"
"""What a ForkServer calls with a `worker_load`."""


def serve(
    connection: Connection,
    open_engine: Callable[[], ScanEngine],
    share: GpuShare | None = None,
) -> None:
    """A worker process's life: load, then answer until the driver is gone.

    `share`: of the machine's GPUs, if they are used.
    """
    try:
        engine = open_engine()
        if share:
            share.take(engine)
    except VyreError as error:
        connection.send_bytes(text_message(REFUSED, str(error)))
        return
    try_briefly()
    # what was loaded lives as long as the worker: the collector need not look at it, nor so often
    # at the rest
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        take_all(connection, partial(_take, engine, connection), engine.flush)
    except WorkerUnusableError as error:
        with contextlib.suppress(OSError):
            connection.send_bytes(text_message(UNUSABLE, str(error)))


def worker_load(spec: WorkerSpec, gpu: str) -> bytes:
    """What a worker that is not forked from here has to load. `gpu`: see BackendOptions."""
    load = [encode_pack(spec.pack), asdict(spec.config), gpu]
    return bytes(msgpack.packb(load, unicode_errors="surrogateescape"))


def load_worker(load: bytes) -> Callable[[Connection], None]:
    """What serves a worker's connection.

    An engine that can't be opened is told there, where the pool hears of it.
    """
    pack, config, gpu = msgpack.unpackb(load, unicode_errors="surrogateescape")
    try:
        engine = ScanEngine(decode_pack(pack), EngineConfig(**config), gpu)
    except VyreError as error:
        refusal = text_message(REFUSED, str(error))
        return lambda connection: connection.send_bytes(refusal)

    def live(connection: Connection) -> None:
        # the pool's first word to a worker that has a GPU to feed
        share = GpuShare.decode(connection.recv_bytes()) if gpu else None
        serve(connection, lambda: engine, share)

    return live


def _take(engine: ScanEngine, connection: Connection, task: bytes) -> None:
    """Begin with a task; it is answered when it is done, in the course of the next one perhaps."""
    try:
        decoded = decode_task(task)
    except WireError as error:
        engine.flush()
        connection.send_bytes(failed(detail_of(error)))
        return
    part, proof = decoded.part, decoded.proof
    engine.begin(
        decoded, engine.new_run(lambda run: connection.send_bytes(_answer_of(run, part, proof)))
    )


def _answer_of(run: TaskRun, part: str, proof: str) -> bytes:
    """The answer to a task that is over. `part`, `proof`: see ScanTask."""
    try:
        return message(DONE, encode_result(handed_in(run.result(), part, proof)))
    except Exception as error:  # noqa: BLE001 - whatever went wrong, the driver decides what to do about it
        return failed(detail_of(error))


def answer(engine: ScanEngine, task: bytes) -> bytes:
    """Do a task; an exception becomes an answer that says so, and the worker lives on.

    Raises WorkerUnusableError: this one can't.
    """
    run = engine.new_run(lambda _: None)
    try:
        decoded = decode_task(task)
        engine.begin(decoded, run)
        engine.flush()
    except WireError as error:
        return failed(detail_of(error))
    return _answer_of(run, decoded.part, decoded.proof)


def failed(detail: str) -> bytes:
    """The answer to a task that could not be done."""
    return text_message(FAILED, detail)


def read_answer(data: bytes) -> tuple[TaskResult | None, str]:
    """(the result, "") or (None, what went wrong). Raises WireError."""
    said = read_message(data)
    if said.kind == DONE:
        return decode_result(said.body), ""
    if said.kind == FAILED:
        return None, said.text
    raise WireError("worker's answer", f"a message of kind {said.kind!r}")
