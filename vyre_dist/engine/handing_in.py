"""Handing in: a worker puts what it has found into the run's place, if it reaches that.

A folder may have the same name on another machine and be another one, and a worker elsewhere may
lack what it takes to reach a store. So a worker that is not on the driver's machine looks for a
file there that only the run's place has, and gives the driver all that it can't put there itself.
"""

from __future__ import annotations

import os
import time

from vyre_dist.engine.part_files import file_result, is_small
from vyre_dist.engine.tasks import TaskResult
from vyre_dist.errors import VyreError

_AGAIN_SECONDS = 60.0
"""A place that was out of reach is left alone for so long: to try takes its time."""

_proven: set[str] = set()
_not_before: dict[str, float] = {}


def handed_in(result: TaskResult, part: str, proof: str) -> TaskResult:
    """`result` with what is large in it in the part file `part`, or as it is where this process
    does not reach that. `proof`: a file beside it that is in the run's place alone; "" for none.
    """
    if not part or is_small(result):
        return result
    folder = os.path.dirname(part)
    if time.monotonic() < _not_before.get(folder, 0.0):
        return result
    try:
        if proof and (place := f"{folder}/{proof}") not in _proven:
            # most scans have no part files
            from vyre_dist.storage import open_storage

            open_storage(folder).size(proof)
            _proven.add(place)
        return file_result(result, part)
    except (OSError, VyreError):
        # no room, no access, no such place, a package that is not there: the driver sees to it
        _not_before[folder] = time.monotonic() + _AGAIN_SECONDS
        return result
