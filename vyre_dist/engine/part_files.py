"""Part files: what a task has found, written by its worker, in a run directory.

The driver gets names in place of bytes. A part is the encoded blocks and spans as they are, each in
a frame of its own; what decides whether it counts is the ledger, and not that it is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

from vyre_dist.engine.filed import Filed
from vyre_dist.engine.finding_blocks import Findings
from vyre_dist.engine.spool import Kept, bytes_of
from vyre_dist.engine.tasks import TaskResult
from vyre_dist.leftovers import LOCK_NAME

INLINE_BYTES = 8 << 10
"""A result with less stays as it is: the ledger has it, and a file would cost more than it saves.
"""


def with_bytes(
    result: TaskResult, kept: Callable[[Kept], Kept], of_part: Callable[[Kept], Kept] | None = None
) -> TaskResult:
    """`result` with `kept` of all that may be large in it, in its place. `of_part`: what is done
    instead with the parts of split documents.
    """
    if not result.parts and not result.findings.blocks:
        return result  # of most
    blocks = [block._replace(data=kept(block.data)) for block in result.findings.blocks]
    own = of_part or kept
    parts = [
        replace(part, newlines=own(part.newlines), spans=own(part.spans), kept=own(part.kept))
        for part in result.parts
    ]
    return replace(result, findings=Findings(blocks=blocks), parts=parts)


def large_in(result: TaskResult) -> Iterator[Kept]:
    """All that may be large in `result`."""
    for block in result.findings.blocks:
        yield block.data
    for part in result.parts:
        yield from (part.newlines, part.spans, part.kept)


def filed_in(result: TaskResult) -> Iterator[Filed]:
    """What of `result` is in part files."""
    return (kept for kept in large_in(result) if isinstance(kept, Filed))


def is_small(result: TaskResult) -> bool:
    """Whether `result` needs no part file, beside those that it has."""
    own = [len(each) for each in large_in(result) if not isinstance(each, Filed)]
    return sum(own) < INLINE_BYTES


def file_result(result: TaskResult, part: str) -> TaskResult:
    """Write what is large in `result` to the part file `part`, unless it is little. Raises OSError.

    What is in part files already stays there.
    """
    if is_small(result):
        return result
    # most scans have no part files
    from vyre_dist.storage.frames import framed
    from vyre_dist.storage.places import open_storage

    frames: list[bytes] = []
    end = 0

    def filed(kept: Kept) -> Kept:
        nonlocal end
        if not kept or isinstance(kept, Filed):
            return kept
        frame = framed(len(frames), bytes_of(kept))
        frames.append(frame)
        place = Filed(part, end, len(kept))
        end += len(frame)
        return place

    result = with_bytes(result, filed)
    folder, name = os.path.split(part)
    # of a run that goes away with its driver's machine a part may be lost: it is found again
    private = os.path.exists(os.path.join(os.path.dirname(folder), LOCK_NAME))
    open_storage(folder, durable=not private).put(name, frames)
    return result
