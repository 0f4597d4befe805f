"""Standard input and pipes, for workers on other nodes, which could not open the driver's copy."""

from __future__ import annotations

import os
from dataclasses import replace

import ray

from vyre_dist.engine.open_document import open_document
from vyre_dist.engine.tasks import AuditTask, Item, Piece, ScanTask, Task

MOST_CARRIED_BYTES = 64 << 20
"""Of a document that goes to its worker as a whole, inside of the task."""

OUT_OF_REACH = (
    "what came by standard input, or by a pipe, of this size is on the driver's node, where this "
    "worker is not: save it "
    "to a file that all nodes can read, and scan that"
)


def carried(task: Task) -> Task:
    """`task` with the bytes in it of such documents as it has whole, if they are not too many."""
    if isinstance(task, AuditTask):
        return replace(task, piece=_carried_piece(task.piece))
    if not isinstance(task, ScanTask) or not any(map(_is_spooled, task.pieces)):
        return task
    return replace(task, pieces=tuple([_carried(item) for item in task.pieces]))


def bound_to_this_node(task: Task) -> bool:
    """Whether only a worker on the driver's node can open what is in `task`.

    `task`: as `carried` gives it.
    """
    items: tuple[Item, ...] = task.pieces if isinstance(task, ScanTask) else (task.piece,)
    return any(map(_is_spooled, items))


def driver_node() -> str:
    """Ray's id of the driver's node; "" for a driver that is on none (ray://)."""
    if ray.util.client.ray.is_connected():
        return ""
    return str(ray.get_runtime_context().get_node_id())


def _is_spooled(item: Item) -> bool:
    if not isinstance(item, Piece) or item.inline is not None or item.open_path is None:
        return False
    return item.open_path.startswith(f"/proc/{os.getpid()}/fd/")


def _carried(item: Item) -> Item:
    return _carried_piece(item) if isinstance(item, Piece) else item


def _carried_piece(item: Piece) -> Piece:
    if not _is_spooled(item) or not item.whole or item.size > MOST_CARRIED_BYTES:
        return item
    with open_document(item) as document:
        return item._replace(inline=document.read(0, item.size), open_path=None)
