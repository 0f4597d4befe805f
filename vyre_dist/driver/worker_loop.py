"""A worker's side of a pool: bytes of a task in, bytes of an answer out. The same in a process and
in a Ray actor.
"""

from __future__ import annotations

import contextlib
import gc
import queue
import signal
import threading
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from typing import Any

import msgpack

from vyre_dist.driver.signals import ENDING
from vyre_dist.engine.task_codec import decode_result, decode_task, encode_result
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.engine.worker_process import detail_of, receive
from vyre_dist.errors import VyreError, WorkerUnusableError

READY = b"ready"
REFUSED = b"refused "
UNUSABLE = b"unusable "
"""What a process says beside its answers: that it is loaded; why it can't be; and why it ends. Text
follows the last two.
"""


def serve(
    connection: Connection, open_engine: Callable[[], ScanEngine], not_ours: Iterable[Any] = ()
) -> None:
    """A worker process's life: load, then answer until the driver is gone.

    `not_ours`: what it inherited and has to close.
    """
    for signum in ENDING:
        # whatever a forked worker's parent does about them
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    for other in not_ours:
        other.close()
    try:
        engine = open_engine()
    except VyreError as error:
        connection.send_bytes(REFUSED + str(error).encode(errors="surrogateescape"))
        return
    # what was loaded lives as long as the worker: the collector need not look at it, nor so often
    # at the rest
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=receive, args=(connection, tasks), daemon=True).start()
    # a driver that closed its end, or died, may be seen here before the thread sees it
    try:
        with contextlib.suppress(OSError):
            connection.send_bytes(READY)
            while True:
                connection.send_bytes(answer(engine, tasks.get()))
    except WorkerUnusableError as error:
        with contextlib.suppress(OSError):
            connection.send_bytes(UNUSABLE + str(error).encode(errors="surrogateescape"))


def answer(engine: ScanEngine, data: bytes) -> bytes:
    """Do the task in `data`; an exception becomes an answer that says so, and the worker lives on.

    Raises WorkerUnusableError: this one can't.
    """
    try:
        body = encode_result(engine.run(decode_task(data)))
    except WorkerUnusableError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever went wrong, the driver decides what to do about it
        return failed(detail_of(error))
    return bytes(msgpack.packb(["done", body]))


def failed(detail: str) -> bytes:
    """The answer to a task that could not be done."""
    # paths in it may be no UTF-8
    return bytes(msgpack.packb(["failed", detail], unicode_errors="surrogateescape"))


def read_answer(data: bytes) -> tuple[Any, str]:
    """(TaskResult, "") or (None, what went wrong). Raises WireError."""
    kind, body = msgpack.unpackb(data, unicode_errors="surrogateescape")
    return (decode_result(body), "") if kind == "done" else (None, body)
