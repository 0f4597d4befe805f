"""A worker's side of a pool: bytes of a task in, bytes of an answer out. The same in a process and in a Ray actor."""

from __future__ import annotations

from typing import Any

import msgpack

from vyre_dist.engine.tasks import decode_result, decode_task, encode_result
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.engine.worker_process import detail_of
from vyre_dist.errors import WorkerUnusableError


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
