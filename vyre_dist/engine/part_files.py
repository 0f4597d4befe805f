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

INLINE_BYTES = 8 << 10
"""A result with less stays as it is: the ledger has it, and a file would cost more than it saves.
"""


def with_bytes(result: TaskResult, kept: Callable[[Kept], Kept]) -> TaskResult:
    """`result` with `kept` of all that may be large in it, in its place."""
    blocks = [block._replace(data=kept(block.data)) for block in result.findings.blocks]
    parts = [replace(part, spans=kept(part.spans), kept=kept(part.kept)) for part in result.parts]
    return replace(result, findings=Findings(blocks=blocks), parts=parts)


def filed_in(result: TaskResult) -> Iterator[Filed]:
    """What of `result` is in part files."""
    for block in result.findings.blocks:
        if isinstance(block.data, Filed):
            yield block.data
    for part in result.parts:
        for kept in (part.spans, part.kept):
            if isinstance(kept, Filed):
                yield kept


def file_result(result: TaskResult, part: str) -> TaskResult:
    """Write what is large in `result` to the part file `part`, unless it is little. Raises OSError.

    What is in part files already stays there.
    """
    data = [block.data for block in result.findings.blocks]
    for each in result.parts:
        data += [each.spans, each.kept]
    data = [each for each in data if each and not isinstance(each, Filed)]
    if sum(map(len, data)) < INLINE_BYTES:
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
    open_storage(folder).put(name, frames)
    return result
