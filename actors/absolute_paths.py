"""Tasks whose paths mean the same in a process with another working directory than the driver's."""

from __future__ import annotations

import os
from dataclasses import replace

from vyre_dist.engine.tasks import FolderRun, Item, Piece, ScanTask, Task


def absolute(task: Task, cwd: str) -> Task:
    """`task` with its relative paths made absolute, from `cwd`."""
    if isinstance(task, ScanTask):
        return replace(task, pieces=tuple([_absolute_item(item, cwd) for item in task.pieces]))
    return replace(task, piece=_absolute_piece(task.piece, cwd))


def _absolute_item(item: Item, cwd: str) -> Item:
    if not isinstance(item, FolderRun):
        return _absolute_piece(item, cwd)
    prefix = item.prefix if item.open_prefix is None else item.open_prefix
    return item if prefix.startswith("/") else item._replace(open_prefix=os.path.join(cwd, prefix))


def _absolute_piece(piece: Piece, cwd: str) -> Piece:
    path = piece.open_path or piece.path
    if piece.inline is not None or path.startswith("/"):
        return piece
    return piece._replace(open_path=os.path.join(cwd, path))
